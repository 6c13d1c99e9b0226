// The parameters of what needs a disk, in a directory.

import { DirectoryBucket } from "../../src/bucket/directory/bucket.ts";
import { MemoryStorage, snapshotHandler, type SnapshotStorage, type SnapshotWriter } from "../../mod.ts";
import { nodeListener, serve } from "../../src/serve.ts";
import { pullBraft, serveBraft } from "../../src/braft.ts";
import type { OpfsLog } from "../../src/opfs.ts";
import { sqliteEngine, SqliteLog } from "../../src/sqlite.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { sourceFiles } from "../../src/format/disk/mod.ts";
import { addFiles, extract, fileFloor } from "../../src/storage/directory/mod.ts";
import { members, parameter, type Slot } from "./slot.ts";
import {
  isArrayOf,
  isBoolean,
  isBytes,
  isEither,
  isFunction,
  isGroup,
  isIndex,
  isInteger,
  isNothing,
  isNumber,
  isObject,
  isOne,
  isPath,
  isReadable,
  isSignal,
  isString,
  isText,
} from "./values.ts";

// deno-lint-ignore no-explicit-any -- what is given is not of the type
type Any = any;

/** Those of a directory storage, which is open at `storage` below the directory. */
export function storageSlots(directory: string, storage: SnapshotStorage): Slot[] {
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
  const adding = async (add: (writer: Required<SnapshotWriter>) => unknown) => {
    const writer = await storage.create() as Required<SnapshotWriter>;
    try {
      return await add(writer);
    } finally {
      await writer.abort();
    }
  };
  const extracting = async (path: Any, options?: Any) => {
    const reader = await storage.open();
    try {
      return await extract(reader, path, options);
    } finally {
      await reader.close();
    }
  };
  const passing = { file: () => new WritableStream(), info: () => ({ name: "f" }) };
  return [
    ...members("DirectoryStorage.create", async (_, it) => await (await storage.create(it)).abort(), {
      ...{ onBytes: isFunction, onReused: isFunction, raw: isBoolean },
    }),
    parameter("fileFloor", "path", isPath, (_, v: Any) => fileFloor(v)),
    parameter("addFiles", "writer", isNothing, (_, v: Any) => addFiles(v, directory)),
    parameter("addFiles", "path", isPath, (_, v: Any) => addFiles(passing, v)),
    parameter("addFiles", "name", isEither(isString, isOne(undefined)), (_, v: Any) => addFiles(passing, "/no", v)),
    ...members("addFiles", (_, it) => addFiles(passing, `${directory}/none`, "f", it), {
      ...{ immutable: isBoolean, reference: isBoolean, disk: isNothing },
    }),
    parameter("extract", "reader", isNothing, (_, v: Any) => extract(v, `${directory}/out`)),
    parameter("extract", "directory", isPath, (_, v) => extracting(v)),
    ...members("extract", (_, it) => extracting(directory, it), { signal: isSignal, disk: isNothing }),
    parameter("writer.add", "path", isPath, (_, v: Any) => adding((it) => it.add(v))),
    parameter(
      ...["writer.add", "name"] as const,
      isEither(isString, isOne(undefined)),
      (_, v: Any) => adding((it) => it.add(`${directory}/none`, v)),
    ),
    ...members("writer.add", (_, v: Any) => adding((it) => it.add(`${directory}/none`, "f", v)), {
      ...{ immutable: isBoolean, reference: isBoolean },
    }),
    parameter("writer.remove", "file", isString, (_, v: Any) => adding((it) => it.remove(v))),
    parameter("sourceFiles", "path", isPath, (_, v: Any) => sourceFiles(v)),
    ...members("sourceFiles", (_, it) => sourceFiles(`${directory}/new`, it), { disk: isNothing }),
    parameter("DirectoryStorage.open", "root", isPath, (_, v: Any) => DirectoryStorage.open(v)),
    ...members("DirectoryStorage.open", (_, it) => DirectoryStorage.open(`${directory}/new`, it), {
      ...{
        retain: isEither(isInteger(1), isFunction),
        signer: isNothing,
        onWarning: isFunction,
        disk: isNothing,
        group: isGroup,
      },
      ...{
        durability: isOne("full", "file", "none"),
        readOnly: isBoolean,
        keepInstalls: isNumber(0),
        temp: (v) => isPath(v) || v === undefined,
        resolve: isFunction,
      },
    }),
    parameter("writer.file", "written", isBytes, (_, v) => write({}, v)),
    parameter("writer.file, pieces", "written", isBytes, (_, v) => write({ chunkSize: "pieces" }, v)),
    parameter("storage.open", "index", isEither(isIndex, isObject, isOne(undefined)), (_, v: Any) => storage.open(v)),
    parameter("storage.quarantine", "index", isIndex, (_, v: Any) => storage.quarantine(v, "reason")),
    parameter("storage.restore", "index", isIndex, (_, v: Any) => storage.restore(v)),
    parameter("storage.bindGroup", "group", isGroup, (_, v: Any) => storage.bindGroup(v)),
    parameter("storage.install", "manifest", isNothing, (_, v: Any) => storage.install(v)),
  ];
}

/** Those of a directory bucket, which is open at `bucket` below the directory. */
export function bucketSlots(directory: string, bucket: DirectoryBucket): Slot[] {
  const isKey = (v: unknown) => isText(v) && v !== "" && (v as string).length <= 1000;
  const stream = (v: unknown) => new ReadableStream({ start: (it) => (it.enqueue(v as Any), it.close()) });
  const of = (name: string) => `DirectoryBucket.${name}`;
  return [
    parameter(of("open"), "root", isPath, (_, v: Any) => DirectoryBucket.open(v)),
    ...members(of("open"), (_, it) => DirectoryBucket.open(`${directory}/bucket`, it), { disk: isNothing }),
    parameter(of("get"), "", isKey, (_, v: Any) => bucket.get(v)),
    ...members(of("get"), (_, it) => bucket.get("a", it), { range: isNothing, signal: isSignal }).slice(1),
    parameter(of("put"), "", isKey, (_, v: Any) => bucket.put(v, new Uint8Array(1), { ifMatch: "no" })),
    parameter(of("put"), "body", isEither(isBytes, isReadable), (_, v: Any) => bucket.put("b", v, { ifMatch: "no" })),
    parameter(of("put"), "piece", isBytes, (_, v: Any) => bucket.put("b", stream(v), { ifMatch: "no" })),
    parameter(of("delete"), "keys", isArrayOf(isKey), (_, v: Any) => bucket.delete(v)),
    ...members(of("list"), (_, it) => bucket.list(it), {
      ...{ prefix: isString, cursor: isString, limit: isInteger(1, 1000), signal: isSignal },
    }),
  ];
}

/** Those of a log that has one entry. */
export function logSlots(name: "SqliteLog" | "OpfsLog", log: SqliteLog | OpfsLog): Slot[] {
  const entry = { index: 2n, term: 1n, data: new Uint8Array(1) };
  const isEmpty = (v: unknown) => Array.isArray(v) && v.length === 0;
  const of = (method: string) => `${name}.${method}`;
  const append = (member: string, right: (v: unknown) => boolean, name = "") =>
    parameter(of("append"), name, right, (_, v: Any) => log.append([{ ...entry, [member]: v }]));
  return [
    parameter(of("append"), "entr", isEmpty, (_, v: Any) => log.append(v)),
    append("index", isOne(2n)),
    append("term", (v) => isIndex(v) && v !== 0n),
    append("data", isBytes, "data"),
    append("configuration", isOne(undefined), "onfiguration"),
    parameter(of("bindGroup"), "group", isGroup, (_, v: Any) => log.bindGroup(v)),
    parameter(of("entries"), "from", isIndex, (_, v: Any) => log.entries(v)),
    ...(name === "SqliteLog"
      ? [parameter(of("batches"), "from", isIndex, (_, v: Any) => (log as SqliteLog).batches(v))]
      : []),
    append("time", isEither(isInteger(0), isOne(undefined)), "time"),
    parameter(of("term"), "index", isIndex, (_, v: Any) => log.term(v)),
    parameter(of("digest"), "index", isIndex, (_, v: Any) => log.digest(v)),
    parameter(of("bindDigest"), "digest", () => false, (_, v: Any) => log.bindDigest(v)),
    parameter(of("purge"), "index", isIndex, (_, v: Any) => log.purge(v)),
    parameter(of("reset"), "index", isIndex, (_, v: Any) => log.reset(v, 1n)),
    parameter(of("reset"), "term", isIndex, (_, v: Any) => log.reset(9n, v)),
  ];
}

/** Those of what is kept in SQLite: of a log that has one entry, and an engine. */
export function sqliteSlots(directory: string, log: SqliteLog): Slot[] {
  return [
    parameter("SqliteLog.open", "path", isPath, (_, v: Any) => SqliteLog.open(v)),
    ...members("SqliteLog.open", async (_, it) => (await SqliteLog.open(`${directory}/new.db`, it)).close(), {
      group: isGroup,
    }),
    ...logSlots("SqliteLog", log),
    parameter("sqliteEngine", "path", isPath, (_, v: Any) => sqliteEngine(v)),
    ...members("sqliteEngine", (_, it) => sqliteEngine(`${directory}/new.db`, it), { table: () => true }),
  ];
}

/** Those of a server. */
export function serverSlots(): Slot[] {
  const handler = (request: Request) => snapshotHandler(new MemoryStorage())(request);
  return [
    parameter("serve", "handler", isFunction, (_, v: Any) => serve(v, { port: 0 })),
    parameter("nodeListener", "handler", isFunction, (_, v: Any) => Promise.resolve().then(() => nodeListener(v))),
    parameter("serve", "options.port", isInteger(0, 65535), (_, v: Any) => serve(handler, { port: v })),
    parameter(
      "serve",
      "options.hostname",
      isEither(isString, isOne(undefined)),
      (_, v: Any) => serve(handler, { port: 0, hostname: v }),
    ),
    ...members("serveBraft", (_, it) => serveBraft(it), {
      ...{ "!port": isInteger(0, 65535), hostname: isString, throttle: isNothing, stallTimeout: isNumber(0) },
    }, () => ({ port: 0 })),
    parameter("pullBraft", "uri", isNothing, (_, v: Any) => pullBraft(v, new MemoryStorage())),
    parameter("pullBraft", "storage", isNothing, (_, v: Any) => pullBraft("remote://127.0.0.1:1/1", v)),
    ...members("pullBraft", (_, it) => pullBraft("remote://127.0.0.1:1/1", new MemoryStorage(), it), {
      ...{ signal: isSignal, throttle: isNothing, timeout: isNumber(0) },
    }),
  ];
}
