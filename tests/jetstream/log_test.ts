// A stream as a log: what is written is there, and what must not be is said.

import {
  jetstream,
  JetStreamApiError,
  type JetStreamManager,
  jetstreamManager,
  type StreamConfig,
} from "@nats-io/jetstream";
import { NoRespondersError, TimeoutError } from "@nats-io/nats-core";
import { assert, rejects, test } from "../support/harness.ts";
import { JetStreamBucket, JetStreamLog } from "../../src/jetstream.ts";
import { isWrongSequence, passes, wrap } from "../../src/jetstream/errors.ts";
import { bytes, eventually, fill, openLog, STREAM, take, text } from "./kit.ts";
import { type NatsServer, withNats } from "../support/nats.ts";
import { overriding } from "../support/overriding.ts";

const never = new AbortController().signal;

/** Makes a stream that is not as the library makes it. */
async function makeStream(server: NatsServer, config: Partial<StreamConfig>, name = STREAM): Promise<void> {
  const connection = await server.connect();
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name, subjects: [`${name}.log`], ...config });
  await connection.close();
}

/** Makes the stream anew, with nothing in it: servers from 2.10 on may find a deleted one's messages again. */
async function makeAnew(manager: JetStreamManager): Promise<void> {
  for (let last = 1; last > 0;) {
    await manager.streams.delete(STREAM);
    last = (await manager.streams.add({ name: STREAM, subjects: [`${STREAM}.log`] })).state.last_seq;
  }
}

test("JetStreamLog: what is proposed has the sequence as its index, and is there again from any entry on", () =>
  withNats(async (server) => {
    const { log, close } = await openLog(server);
    assert.deepEqual([log.firstIndex, log.lastIndex], [1n, 0n]);
    const first = await log.propose({ data: bytes("one") });
    assert.deepEqual([first.index, first.term, text(first)], [1n, 1n, "one"]);
    await log.propose({ data: new Uint8Array(0), configuration: { peers: ["ä", "b"], oldPeers: ["ä"] } });
    await log.propose({ data: bytes("three") });
    assert.equal(log.lastIndex, 3n);
    assert.deepEqual(await take(log, 1n, 3), [
      { index: 1n, term: 1n, data: bytes("one") },
      { index: 2n, term: 1n, data: new Uint8Array(0), configuration: { peers: ["ä", "b"], oldPeers: ["ä"] } },
      { index: 3n, term: 1n, data: bytes("three") },
    ]);
    assert.deepEqual((await take(log, 3n, 1)).map(text), ["three"]);
    assert.deepEqual([await log.term(0n), await log.term(3n), await log.term(4n)], [0n, 1n, undefined]);
    await log.refresh();
    assert.isAbove(log.byteLength, 8);
    await close();
    const again = await openLog(server);
    assert.deepEqual([again.log.firstIndex, again.log.lastIndex], [1n, 3n]);
    await again.close();
  }));

test("JetStreamLog: many at once by two members are there once each, those of one in the order of asking", () =>
  withNats(async (server) => {
    const [a, b] = [await openLog(server, "a"), await openLog(server, "b")];
    const [ofA, ofB] = await Promise.all([fill(a.log, 3000, "a"), fill(b.log, 3000, "b")]);
    for (const indices of [ofA, ofB]) {
      for (let i = 1; i < indices.length; i++) assert.isTrue(indices[i]! > indices[i - 1]!);
    }
    const all = await take(b.log, 1n, 6000);
    assert.deepEqual(all.map(({ index }) => index), Array.from({ length: 6000 }, (_, i) => BigInt(i + 1)));
    assert.equal(new Set(all.map(text)).size, 6000);
    assert.equal(text(all[Number(ofA[1234]) - 1]!), "a1234");
    await a.close();
    await b.close();
  }));

test("JetStreamLog: a stream that many make at once", async () => {
  for (let round = 0; round < 5; round++) {
    await withNats(async (server) => {
      const opened = await Promise.all(Array.from({ length: 6 }, (_, i) => openLog(server, `m${i}`)));
      await Promise.all(opened.map(({ log }) => log.refresh()));
      await Promise.all(opened.map(({ log }) => fill(log, 2)));
      assert.equal((await take(opened[5]!.log, 1n, 12)).length, 12);
      for (const { close } of opened) await close();
    });
  }
});

test("a stream of a log, of its members and of a bucket is said to overlap with itself while another makes it", () =>
  withNats(async (server) => {
    const connection = await server.connect();
    let refusals = 0;
    const refuse = (times: number) => {
      const left = new Map<string, number>();
      return overriding(connection, {
        async request(...args) {
          const [subject] = args;
          const more = left.get(subject) ?? times;
          if (!subject.startsWith("$JS.API.STREAM.CREATE.") || more === 0) return await connection.request(...args);
          left.set(subject, more - 1);
          refusals++;
          const error = { code: 400, err_code: 10065, description: "subjects overlap with an existing stream" };
          const answer = await connection.request("$JS.API.INFO");
          return overriding(answer, { data: bytes(JSON.stringify({ type: "create_response", error })) });
        },
      });
    };
    const log = await JetStreamLog.open(refuse(2), { stream: STREAM, member: "a" });
    assert.equal(refusals, 4, "the stream, and that of the members");
    assert.equal((await log.propose({ data: bytes("1") })).index, 1n);
    await log.close();
    const bucket = await JetStreamBucket.open(refuse(2), { bucket: "shared" });
    assert.equal(refusals, 6);
    await bucket.close();
    const other = await rejects(JetStreamLog.open(refuse(Infinity), { stream: "taken", member: "a" }), "UNAVAILABLE");
    assert.match(other.message, /subjects overlap/);
    await connection.close();
  }));

test("opening waits for servers that do not answer in time, or have no leader, and asks again", () =>
  withNats(async (server) => {
    const connection = await server.connect();
    const failures = [new TimeoutError(), new NoRespondersError("$JS.API.INFO"), new TimeoutError()];
    let failed = 0;
    const failing = () => { // every other request, at first
      let requests = 0;
      return overriding(connection, {
        request(...args) {
          const failure = failures[requests++ / 2];
          if (failure === undefined) return connection.request(...args);
          failed++;
          return Promise.reject(failure);
        },
      });
    };
    const log = await JetStreamLog.open(failing(), { stream: STREAM, member: "a" });
    const bucket = await JetStreamBucket.open(failing(), { bucket: "late" });
    assert.equal(failed, 2 * failures.length);
    assert.equal((await log.propose({ data: bytes("1") })).index, 1n);
    assert.isDefined(await bucket.put("a", bytes("1"), { ifNoneMatch: "*" }));
    await log.close();
    await bucket.close();
    await connection.close();
  }));

test("JetStreamLog: at an expected place, or not at all", () =>
  withNats(async (server) => {
    const { log, close } = await openLog(server);
    assert.equal((await log.propose({ data: bytes("1") }, { expectedLastIndex: 0n })).index, 1n);
    const error = await rejects(log.propose({ data: bytes("2") }, { expectedLastIndex: 0n }), "STALE");
    assert.match(error.message, /leaderboard/);
    assert.equal((await log.propose({ data: bytes("2") }, { expectedLastIndex: 1n })).index, 2n);
    assert.deepEqual((await take(log, 1n, 2)).map(text), ["1", "2"]);
    await close();
  }));

test("JetStreamLog: a command that the server does not take is refused, and harms no other", () =>
  withNats(async (server) => {
    const { log, close } = await openLog(server);
    for (const size of [2 ** 20, 2 ** 20 + 1, 2 ** 22]) {
      const error = await rejects(log.propose({ data: new Uint8Array(size) }), "MALFORMED");
      assert.deepEqual([error.actual, error.expected], [size, 2 ** 20]);
    }
    const large = new Uint8Array(2 ** 20 - 1000).fill(7);
    for (let i = 0; i < 20; i++) await log.propose({ data: large }); // more than one request takes
    assert.deepEqual((await take(log, 1n, 20)).map(({ data }) => data.length), Array(20).fill(large.length));
    await close();
  }));

test("JetStreamLog: a message that is not ours: what is before it is given, and nothing after it", () =>
  withNats(async (server) => {
    const { log, connection, close } = await openLog(server);
    await fill(log, 2);
    await jetstream(connection).publish(`${STREAM}.log`, "who knows");
    await fill(log, 2);
    const given: bigint[] = [];
    const error = await rejects(async () => {
      for await (const entries of log.follow(1n, never)) given.push(...entries.map(({ index }) => index));
    }, "MALFORMED");
    assert.deepEqual(given, [1n, 2n]);
    assert.deepEqual([error.index, error.source], [3n, STREAM]);
    assert.match(error.message, /Message 3 of the stream leaderboard/);
    await close();
  }));

test("JetStreamLog: a hole, in the middle and at the end", () =>
  withNats(async (server) => {
    await makeStream(server, { deny_delete: false });
    const { log, connection, close } = await openLog(server);
    await fill(log, 5);
    const manager = await jetstreamManager(connection);
    await manager.streams.deleteMessage(STREAM, 3);
    const error = await rejects(() => take(log, 1n, 5), "CORRUPT");
    assert.equal(error.index, 3n);
    assert.match(error.message, /Entry 3 is missing/);
    assert.deepEqual((await take(log, 4n, 2)).map(({ index }) => index), [4n, 5n]);
    await manager.streams.deleteMessage(STREAM, 5);
    assert.equal((await rejects(() => take(log, 4n, 2), "CORRUPT")).index, 5n);
    assert.equal((await rejects(() => take(log, 5n, 1), "CORRUPT")).index, 5n);
    await close();
  }));

test("JetStreamLog: a stream that could lose entries is refused, with the reason", () =>
  withNats(async (server) => {
    const unfit: [Record<string, unknown>, RegExp][] = [
      [{ max_age: 3600e9 }, /max_age drops what is older than 3600000 ms/],
      [{ max_msgs: 10 }, /max_msgs keeps only 10/],
      [{ max_bytes: 100_000 }, /max_bytes/],
      [{ max_msgs_per_subject: 5 }, /max_msgs_per_subject/],
      [{ retention: "workqueue" }, /retention is workqueue/],
      [{ retention: "interest" }, /retention is interest/],
      [{ storage: "memory" }, /storage is memory/],
      [{ allow_rollup_hdrs: true }, /allow_rollup_hdrs/],
      [{ subjects: ["a", "b"] }, /subjects a, b/],
      [{ subjects: ["a.*"] }, /subjects a\.\*/],
      [{ subjects: [], sources: [{ name: "other" }] }, /other streams/],
      [{ no_ack: true }, /no_ack/],
      [{ duplicate_window: 100e6 }, /duplicate_window/],
    ];
    for (const [number, [config, reason]] of unfit.entries()) {
      const stream = `${STREAM}-${number}`;
      await makeStream(server, config as Partial<StreamConfig>, stream);
      const error = await rejects(openLog(server, "a", { stream }), "UNSUPPORTED");
      assert.match(error.message, reason);
      assert.equal(error.source, stream);
    }
  }));

test("JetStreamLog: a stream that becomes unfit while it is read", () =>
  withNats(async (server) => {
    const { log, connection, close } = await openLog(server);
    await fill(log, 1);
    await (await jetstreamManager(connection)).streams.update(STREAM, { max_age: 3600e9 });
    await rejects(log.refresh(), "UNSUPPORTED");
    await rejects(take(log, 1n, 1), "UNSUPPORTED");
    await close();
  }));

test("JetStreamLog: a stream that is sealed takes nothing, and says so at once; what it has is there", () =>
  withNats(async (server) => {
    const a = await openLog(server);
    await fill(a.log, 3);
    const manager = await jetstreamManager(a.connection);
    await manager.streams.update(STREAM, { sealed: true } as Partial<StreamConfig>);
    const error = await rejects(a.log.propose({ data: bytes("more") }), "UNSUPPORTED");
    assert.include(error.message, "sealed");
    assert.lengthOf(await take(a.log, 1n, 3), 3);
    await a.close();
  }));

test("JetStreamLog: what was purged is said, also while it is being read", () =>
  withNats(async (server) => {
    const { log, connection, close } = await openLog(server);
    await fill(log, 5000);
    const manager = await jetstreamManager(connection);
    let given = 0n;
    const error = await rejects(async () => {
      for await (const entries of log.follow(1n, never)) {
        if (given === 0n) await manager.streams.purge(STREAM, { seq: 4991 });
        given = entries.at(-1)!.index;
      }
    }, "NOT_FOUND");
    assert.deepEqual([error.index, error.expected], [given + 1n, 4991n]);
    assert.equal((await take(log, 4991n, 10)).length, 10);
    assert.deepEqual([log.firstIndex, log.lastIndex], [4991n, 5000n]);
    await manager.streams.purge(STREAM);
    await log.refresh();
    assert.deepEqual([log.firstIndex, log.lastIndex], [5001n, 5000n]);
    assert.equal((await fill(log, 1))[0], 5001n);
    await close();
  }));

test("JetStreamLog: a reader that stops leaves no consumer behind", () =>
  withNats(async (server) => {
    const { log, connection, close } = await openLog(server);
    await fill(log, 10);
    await take(log, 1n, 10);
    const stop = new AbortController();
    const reading = rejects(async () => {
      for await (const _ of log.follow(1n, stop.signal)) stop.abort(new Error("enough"));
    }, "CANCELLED");
    assert.equal(((await reading).cause as Error).message, "enough");
    const manager = await jetstreamManager(connection);
    await eventually("no consumer", async () => (await manager.streams.info(STREAM)).state.consumer_count === 0);
    await close();
  }));

test("JetStreamLog: a stream that was made anew is another log", () =>
  withNats(async (server) => {
    const { log, connection, close } = await openLog(server);
    await fill(log, 3);
    const manager = await jetstreamManager(connection);
    await makeAnew(manager);
    await rejects(take(log, 1n, 1), "CORRUPT");
    await rejects(log.refresh(), "CORRUPT");
    await close();
  }));

// As servers from 2.10 on do in a cluster, if several make a stream at once.
test("JetStreamLog: a stream that is said to be made at another time is the same log if it has what was seen", () =>
  withNats(async (server) => {
    const connection = await server.connect();
    let isLater = false;
    const told = overriding(connection, {
      async request(...args) {
        const answer = await connection.request(...args);
        if (!isLater || args[0] !== `$JS.API.STREAM.INFO.${STREAM}`) return answer;
        const info = { ...answer.json<Record<string, unknown>>(), created: "2030-01-01T00:00:00Z" };
        return overriding(answer, { data: bytes(JSON.stringify(info)) });
      },
    });
    const open = () => JetStreamLog.open(told, { stream: STREAM, member: "a" });
    const ways: readonly ((log: JetStreamLog) => Promise<unknown>)[] = [
      (log) => log.propose({ data: bytes("own") }),
      (log) => take(log, 1n, 4),
      () => Promise.resolve(), // it was there when the log was opened
    ];
    const manager = await jetstreamManager(connection);
    for (const see of ways) {
      const first = await open();
      await fill(first, 4);
      const log = await open();
      await see(log);
      isLater = true;
      await log.refresh();
      assert.equal(log.lastIndex, see === ways[0] ? 5n : 4n);
      await makeAnew(manager);
      isLater = false;
      await first.close();
      const other = await open();
      await fill(other, 6, "other");
      await rejects(log.refresh(), "CORRUPT");
      await makeAnew(manager);
      for (const it of [log, other]) await it.close();
    }
    await connection.close();
  }));

test("JetStreamLog: no JetStream, no permission, no names", async () => {
  await withNats(
    async (server) => {
      assert.match((await rejects(openLog(server), "UNSUPPORTED")).message, /no JetStream/);
      await rejects(openLog(server, "a.b"), "MALFORMED");
      await rejects(openLog(server, "a", { stream: "x*" }), "MALFORMED");
    },
    "",
    false,
  );
  const users = `authorization { users: [
    { user: all, password: p },
    { user: reader, password: p, permissions: { publish: { deny: ["leaderboard.log"] } } },
    { user: nobody, password: p, permissions: { publish: ["nothing"] } },
  ] }`;
  await withNats(async (server) => {
    const as = (user: string, pass = "p") => ({ connect: () => server.connect({ user, pass }) });
    const writer = await openLog(as("all"));
    await fill(writer.log, 3);
    await rejects(openLog(as("nobody")), "FORBIDDEN");
    const reader = await openLog(as("reader"), "b");
    assert.equal((await take(reader.log, 1n, 3)).length, 3);
    const error = await rejects(reader.log.propose({ data: bytes("x") }), "FORBIDDEN");
    assert.match(error.message, /needs permission/);
    await reader.close();
    await writer.close();
  }, users);
});

test("JetStreamLog: closed, and a connection that is closed under it", () =>
  withNats(async (server) => {
    const { log, connection, close } = await openLog(server);
    await fill(log, 1);
    const following = take(log, 2n, 1);
    await log.close();
    await rejects(following, "CLOSED");
    await rejects(log.propose({ data: bytes("x") }), "CLOSED");
    await close();
    assert.isTrue(connection.isClosed());
    const other = await openLog(server);
    const reading = take(other.log, 2n, 1);
    reading.catch(() => {});
    await other.connection.close();
    await rejects(reading, "CLOSED");
    await rejects(other.log.propose({ data: bytes("x") }), "CLOSED");
    await rejects(other.log.refresh(), "CLOSED");
    await other.close();
  }));

test("JetStreamLog: both of the server's words for a race that was lost are one", () => {
  for (const err_code of [10071, 10164]) {
    const error = new JetStreamApiError({ code: 400, err_code, description: "wrong last sequence: 7" });
    assert.strictEqual(wrap(error, "append to", "s").code, "STALE");
    assert.isTrue(isWrongSequence(error));
    assert.isFalse(passes(error));
  }
});
