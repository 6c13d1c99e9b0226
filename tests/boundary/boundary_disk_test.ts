// The parameters of what needs a disk, each with a value of every kind; nothing in the directory changes.

import { readdirSync, statSync } from "node:fs";
import { MemoryStorage, snapshotHandler } from "../../mod.ts";
import { serve } from "../../src/transfer/server/serve.ts";
import { sqliteEngine, SqliteLog } from "../../src/sqlite.ts";
import { DirectoryBucket } from "../../src/bucket/directory/bucket.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { assert, rejects, test } from "../support/harness.ts";
import { Random } from "../support/random.ts";
import { save } from "../support/samples.ts";
import { inTemp } from "../support/temp.ts";
import { give, isRight } from "./check.ts";
import { members, parameter, type Slot } from "./slot.ts";
import {
  isArrayOf,
  isBoolean,
  isBytes,
  isEither,
  isFunction,
  isIndex,
  isInteger,
  isNothing,
  isNumber,
  isOne,
  isPath,
  isReadable,
  isSignal,
  isString,
  isText,
  KINDS,
  valueOf,
} from "./values.ts";
import type { World } from "./world.ts";

// deno-lint-ignore no-explicit-any -- what is given is not of the type
type Any = any;

/** What there is below a directory, with sizes; but for the journal of a database, which reading may begin. */
function treeOf(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((name) => !/-(wal|shm)$/.test(name))
    .map((name) => `${name} ${statSync(`${directory}/${name}`).size}`).sort();
}

/** Gives each parameter a value of every kind. */
async function checkAll(slots: readonly Slot[], directory: string): Promise<void> {
  const before = treeOf(directory);
  const wrong: string[] = [];
  for (const slot of slots) {
    for (let kind = 0; kind < KINDS; kind++) {
      const value = valueOf(kind, new Random(kind));
      if (isRight(slot, value)) continue;
      const outcome = await give(slot, {} as World, value);
      if (outcome.wrong !== undefined) wrong.push(outcome.wrong);
    }
    assert.deepEqual(treeOf(directory), before, `${slot.of}, ${slot.name}`);
  }
  if (wrong.length > 0) throw new Error(wrong.slice(0, 20).join("\n"));
}

test("boundary: a directory storage refuses what is not for it, and nothing on the disk changes", () =>
  inTemp(async (directory) => {
    const root = `${directory}/storage`;
    const storage = await DirectoryStorage.open(root);
    await save(storage, 5n, { state: new Uint8Array(1000) });
    const write = async (options: object, value: unknown) => {
      const writer = await storage.create();
      try {
        const sink = writer.file("f", options).getWriter();
        sink.closed.catch(() => {});
        await sink.write(value as Uint8Array);
      } finally {
        await writer.abort();
      }
    };
    await checkAll([
      parameter("DirectoryStorage.open", "root", isPath, (_, v: Any) => DirectoryStorage.open(v)),
      ...members("DirectoryStorage.open", (_, it) => DirectoryStorage.open(`${directory}/new`, it), {
        ...{ retain: isInteger(1), signer: isNothing, onWarning: isFunction, disk: isNothing },
        ...{ durability: isOne("full", "file", "none"), readOnly: isBoolean, keepInstalls: isNumber(0) },
      }),
      parameter("writer.file", "written", isBytes, (_, v) => write({}, v)),
      parameter("writer.file, pieces", "written", isBytes, (_, v) => write({ chunkSize: "pieces" }, v)),
      parameter("storage.open", "index", isEither(isIndex, isOne(undefined)), (_, v: Any) => storage.open(v)),
      parameter("storage.quarantine", "index", isIndex, (_, v: Any) => storage.quarantine(v, "reason")),
      parameter("storage.install", "manifest", isNothing, (_, v: Any) => storage.install(v)),
    ], directory);
    await rejects(DirectoryStorage.open(`${directory}/new`, { durability: "ful" as "full" }), "MALFORMED");
    await storage.close();
  }));

test("boundary: a directory bucket refuses what is not for it, and nothing on the disk changes", () =>
  inTemp(async (directory) => {
    const bucket = await DirectoryBucket.open(`${directory}/bucket`);
    await bucket.put("a", new Uint8Array(10));
    const isKey = (v: unknown) => isText(v) && v !== "" && (v as string).length <= 1000;
    const stream = (v: unknown) => new ReadableStream({ start: (it) => (it.enqueue(v as Any), it.close()) });
    await checkAll([
      parameter("DirectoryBucket.open", "root", isPath, (_, v: Any) => DirectoryBucket.open(v)),
      ...members("DirectoryBucket.open", (_, it) => DirectoryBucket.open(`${directory}/bucket`, it), {
        disk: isNothing,
      }),
      parameter("get", "", isKey, (_, v: Any) => bucket.get(v)),
      ...members("get", (_, it) => bucket.get("a", it), { range: isNothing, signal: isSignal }).slice(1),
      parameter("put", "", isKey, (_, v: Any) => bucket.put(v, new Uint8Array(1), { ifMatch: "no" })),
      parameter("put", "body", isEither(isBytes, isReadable), (_, v: Any) => bucket.put("b", v, { ifMatch: "no" })),
      parameter("put", "piece", isBytes, (_, v: Any) => bucket.put("b", stream(v), { ifMatch: "no" })),
      parameter("delete", "keys", isArrayOf(isKey), (_, v: Any) => bucket.delete(v)),
      ...members("list", (_, it) => bucket.list(it), {
        ...{ prefix: isString, cursor: isString, limit: isInteger(1, 1000), signal: isSignal },
      }),
    ], directory);
  }));

test("boundary: what is kept in SQLite refuses what is not for it, and nothing of it is written", () =>
  inTemp(async (directory) => {
    const path = `${directory}/log.db`;
    const log = await SqliteLog.open(path);
    const entry = { index: 2n, term: 1n, data: new Uint8Array(1) };
    await log.append([{ ...entry, index: 1n }]);
    const isEmpty = (v: unknown) => Array.isArray(v) && v.length === 0;
    await checkAll([
      parameter("SqliteLog.open", "path", isPath, (_, v: Any) => SqliteLog.open(v)),
      parameter("append", "entr", isEmpty, (_, v: Any) => log.append(v)),
      parameter("append", "", isOne(2n), (_, v: Any) => log.append([{ ...entry, index: v }])),
      parameter("append", "", (v) => isIndex(v) && v !== 0n, (_, v: Any) => log.append([{ ...entry, term: v }])),
      parameter("append", "data", isBytes, (_, v: Any) => log.append([{ ...entry, data: v }])),
      parameter(
        "append",
        "onfiguration",
        isOne(undefined),
        (_, v: Any) => log.append([{ ...entry, configuration: v }]),
      ),
      parameter("entries", "from", isIndex, (_, v: Any) => log.entries(v)),
      parameter("term", "index", isIndex, (_, v: Any) => log.term(v)),
      parameter("purge", "index", isIndex, (_, v: Any) => log.purge(v)),
      parameter("reset", "index", isIndex, (_, v: Any) => log.reset(v, 1n)),
      parameter("reset", "term", isIndex, (_, v: Any) => log.reset(9n, v)),
      parameter("sqliteEngine", "path", isPath, (_, v: Any) => sqliteEngine(v)),
      ...members("sqliteEngine", (_, it) => sqliteEngine(`${directory}/new.db`, it), { table: () => true }),
    ], directory);
    assert.deepEqual([log.firstIndex, log.lastIndex, log.byteLength], [1n, 1n, 1]);
    await log.close();
    const again = await SqliteLog.open(path);
    assert.strictEqual(again.lastIndex, 1n);
    await again.close();
  }));

test("boundary: a server refuses what is not for it, and listens to nobody", () =>
  inTemp(async (directory) => {
    const handler = snapshotHandler(new MemoryStorage());
    await checkAll([
      parameter("serve", "handler", isFunction, (_, v: Any) => serve(v, { port: 0 })),
      parameter("serve", "options.port", isInteger(0, 65535), (_, v: Any) => serve(handler, { port: v })),
      parameter("serve", "options.hostname", isEither(isString, isOne(undefined)), (_, v: Any) =>
        serve(handler, { port: 0, hostname: v })),
    ], directory);
    await handler.close();
  }));
