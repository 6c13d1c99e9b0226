// The parameters of what is in NATS, each with a value of every kind; nothing of it is sent.

import { JetStreamBucket } from "../../src/jetstream.ts";
import { give, isRight } from "../boundary/check.ts";
import { members, parameter, type Slot } from "../boundary/slot.ts";
import {
  isArrayOf,
  isBytes,
  isEither,
  isIndex,
  isInteger,
  isNothing,
  isObject,
  isOne,
  isReadable,
  isSignal,
  isString,
  isText,
  KINDS,
  valueOf,
} from "../boundary/values.ts";
import type { World } from "../boundary/world.ts";
import { assert, test } from "../support/harness.ts";
import { withNats } from "../support/nats.ts";
import { Random } from "../support/random.ts";
import { openLog } from "./kit.ts";

// deno-lint-ignore no-explicit-any -- what is given is not of the type
type Any = any;

async function checkAll(slots: readonly Slot[]): Promise<void> {
  const wrong: string[] = [];
  for (const slot of slots) {
    for (let kind = 0; kind < KINDS; kind++) {
      const value = valueOf(kind, new Random(kind));
      if (isRight(slot, value)) continue;
      const outcome = await give(slot, {} as World, value);
      if (outcome.wrong !== undefined) wrong.push(outcome.wrong);
    }
  }
  if (wrong.length > 0) throw new Error(wrong.slice(0, 20).join("\n"));
}

test("boundary: a bucket in JetStream refuses what is not for it, and writes nothing", () =>
  withNats(async (server) => {
    const connection = await server.connect();
    const bucket = await JetStreamBucket.open(connection, { bucket: "test" });
    await bucket.put("a", new Uint8Array(10));
    const isKey = (v: unknown) => isText(v) && v !== "" && (v as string).length <= 1000;
    const put = (key: Any, body: Any, options: object = {}) => bucket.put(key, body, { ifMatch: "no", ...options });
    await checkAll([
      parameter("get", "", isKey, (_, v: Any) => bucket.get(v)),
      ...members("get", (_, it) => bucket.get("a", it), { range: isObject, signal: isSignal }),
      parameter("put", "", isKey, (_, v: Any) => put(v, new Uint8Array(1))),
      parameter("put", "body", isEither(isBytes, isReadable), (_, v: Any) => put("b", v)),
      parameter(
        "put",
        "ifMatch",
        isEither(isString, isOne(undefined)),
        (_, v: Any) => put("b", new Uint8Array(1), { ifMatch: v }),
      ),
      parameter(
        "put",
        "signal",
        isEither(isSignal, isOne(undefined)),
        (_, v: Any) => put("b", new Uint8Array(1), { signal: v }),
      ),
      parameter("delete", "keys", isArrayOf(isKey), (_, v: Any) => bucket.delete(v)),
      ...members("list", (_, it) => bucket.list(it), {
        ...{ prefix: isString, cursor: isString, limit: isInteger(1, 1000), signal: isSignal },
      }),
    ]);
    assert.deepEqual((await bucket.list()).objects.map(({ key }) => key), ["a"]);
    await bucket.close();
    await connection.close();
  }));

test("boundary: a log in JetStream refuses what is not for it, and appends nothing", () =>
  withNats(async (server) => {
    const { log, close } = await openLog(server);
    await log.propose({ data: new Uint8Array(1) });
    await checkAll([
      parameter("propose", "", isNothing, (_, v: Any) => log.propose(v)),
      parameter("propose", "data", isBytes, (_, v: Any) => log.propose({ data: v })),
      parameter("propose", "onfiguration", isOne(undefined), (_, v: Any) =>
        log.propose({ data: new Uint8Array(1), configuration: v })),
      ...members("propose", (_, it) =>
        log.propose({ data: new Uint8Array(1) }, it), {
        expectedLastIndex: (v) =>
          isIndex(v) || v === undefined,
        signal: (v) =>
          isSignal(v) || v === undefined,
      }),
      parameter("follow", "from", isIndex, (_, v: Any) => log.follow(v, new AbortController().signal)),
      parameter("follow", "signal", isSignal, (_, v: Any) => log.follow(1n, v)),
      parameter("term", "index", isIndex, (_, v: Any) => log.term(v)),
      parameter("purge", "index", isIndex, (_, v: Any) => log.purge(v)),
    ]);
    await log.refresh();
    assert.strictEqual(log.lastIndex, 1n);
    await close();
  }));
