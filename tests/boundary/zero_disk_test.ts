// 0 means the same for every time-out and every trigger: none; and `Infinity` as well. The table below has all of them.

import fc from "fast-check";
import { readdirSync, readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import {
  archive,
  KeyValueMachine,
  MemoryLog,
  MemoryStorage,
  notifyInstall,
  openRemote,
  pull,
  push,
  Replica,
  snapshotHandler,
  type SnapshotHandlerOptions,
  type TriggerOptions,
  utf8Codec,
} from "../../mod.ts";
import { pullBraft, serveBraft } from "../../src/braft.ts";
import { Tracker } from "../../src/async/mod.ts";
import { limitOf } from "../../src/checks.ts";
import { purgeIndex } from "../../src/executor/purge.ts";
import { Triggers } from "../../src/executor/triggers.ts";
import { watchWork } from "../../src/executor/watch.ts";
import { serve } from "../../src/serve.ts";
import { assert, test } from "../support/harness.ts";
import { FakeClock, inFakeTime } from "../support/fake_clock.ts";
import { save } from "../support/samples.ts";

/** Longer than any of the time-outs here, in milliseconds: after it the other side says something at last. */
const FAR = 1e9;

/** A server that says nothing until it is far too late. */
function silent(): { readonly url: string; fetch(): Promise<Response> } {
  const fetch = () =>
    new Promise<Response>((resolve) => setTimeout(() => resolve(new Response(null, { status: 404 })), FAR));
  return { url: "http://silent", fetch };
}

/** Whether work ended before it was {@linkcode FAR} too late. */
function endedEarly(work: () => Promise<unknown>): Promise<boolean> {
  return inFakeTime(async (clock) => {
    await work().catch(() => {});
    return clock.passed < FAR;
  });
}

async function withSnapshot<T>(work: (storage: MemoryStorage) => Promise<T>): Promise<T> {
  const storage = new MemoryStorage();
  await save(storage, 9n, { state: new Uint8Array(1000) });
  return await work(storage);
}

/** Whether a client of the handler that begins to send, and says no more, is sent away. */
function isSentAway(stallTimeout: number): Promise<boolean> {
  return withSnapshot(async (storage) => {
    const reader = await storage.open();
    const [first] = await Array.fromAsync(archive(reader));
    await reader.close();
    return await endedEarly(async () => {
      const options: SnapshotHandlerOptions = { allowWrites: true, stallTimeout };
      const handler = snapshotHandler(new MemoryStorage(), options);
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          controller.enqueue(first!);
          setTimeout(() => controller.error(new Error("it breaks off")), FAR);
        },
      });
      const put = { method: "PUT", body, duplex: "half" } as RequestInit;
      await (await handler(new Request("http://here/snapshots/9", put))).text();
      await handler.close();
    });
  });
}

/** Whether a copy from a node of braft's that says nothing ends. */
async function braftGivesUp(timeout: number): Promise<boolean> {
  const sockets = new Set<Socket>();
  let isOver = false;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    if (isOver) socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  try {
    return await endedEarly(async () => {
      const timer = setTimeout(() => {
        isOver = true;
        for (const socket of sockets) socket.destroy();
      }, FAR);
      await pullBraft(`remote://127.0.0.1:${port}/1`, new MemoryStorage(), { timeout }).result.finally(() => {
        clearTimeout(timer);
      });
    });
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

/** Whether a follower leaves a source that says nothing. */
async function followerLeaves(timeout: number): Promise<boolean> {
  const machine = new KeyValueMachine(utf8Codec());
  return await inFakeTime(async (clock) => {
    const replica = await Replica.open({ machine, log: new MemoryLog(), storage: new MemoryStorage() });
    const left = await new Promise<boolean>((resolve) => {
      replica.follow([silent()], {
        timeout,
        onEvent: ({ type }) => void (type === "disconnected" && resolve(clock.passed < FAR)),
      });
    });
    await replica.close();
    return left;
  });
}

function isCancelled(kind: "saveTimeout" | "stallTimeout", limit: number): Promise<boolean> {
  const [stop, clock] = [new AbortController(), new FakeClock()];
  const other = kind === "saveTimeout" ? "stallTimeout" : "saveTimeout";
  const unwatch = watchWork("save", stop, new Tracker(), clock, { [kind]: limit, [other]: 0 });
  while (!stop.signal.aborted && clock.fire(clock.now() + FAR));
  unwatch();
  return Promise.resolve(stop.signal.aborted);
}

/** Whether a member that is not heard of lets the log go. */
function isForgotten(safeIndexTimeout: number): Promise<boolean> {
  const state = { snapshotIndex: 50n, oldestSnapshot: 50n, firstIndex: 1n, lastIndex: 60n, now: FAR };
  const members = () => [{ matchIndex: 10n, lastSeen: 0 }];
  return Promise.resolve(purgeIndex(state, { gap: 1, members, safeIndexTimeout }) === 50n);
}

/** By the file that checks it: whether the time-out comes, while nothing is heard. */
const TIMEOUTS: Readonly<Record<string, (limit: number) => Promise<boolean>>> = {
  "braft/pull.ts timeout": braftGivesUp,
  "executor/checks.ts saveTimeout": (limit) => isCancelled("saveTimeout", limit),
  "executor/checks.ts stallTimeout": (limit) => isCancelled("stallTimeout", limit),
  "executor/follow_options.ts timeout": followerLeaves,
  "executor/purge.ts safeIndexTimeout": isForgotten,
  "transfer/client/notify.ts timeout": (timeout) => {
    const notification = { term: 1n, firstAvailable: { index: 5n, term: 1n } };
    return endedEarly(() => notifyInstall(silent(), notification, { timeout, retryFor: 0 }).result);
  },
  "transfer/client/pull.ts timeout": (timeout) =>
    endedEarly(() => pull(new MemoryStorage(), [silent()], { timeout, retryFor: 0 }).result),
  "transfer/client/push.ts timeout": (timeout) =>
    withSnapshot(async (storage) => {
      const reader = await storage.open();
      return await endedEarly(() => push(reader, silent(), { timeout, retryFor: 0 }).result)
        .finally(() => reader.close());
    }),
  "transfer/client/remote.ts timeout": (timeout) => endedEarly(() => openRemote(silent(), { timeout, retryFor: 0 })),
  "transfer/server/options.ts stallTimeout": isSentAway,
};

/** Those that are tried elsewhere. */
const ELSEWHERE = [
  "braft/server.ts stallTimeout", // below: a socket's timers are the system's
  "transfer/server/serve.ts stallTimeout",
  "jetstream/log.ts memberTimeout", // tests/jetstream/gone_proof_test.ts
];

const limits = fc.oneof(fc.integer({ min: 1, max: 1e6 }), fc.double({ min: 0.5, max: 1e6, noNaN: true }));

test("0: a limit of 0 is none, and any other is itself", () => {
  for (const none of [0, -0, Infinity]) assert.equal(limitOf(none), Infinity);
  fc.assert(fc.property(limits, (limit) => limitOf(limit) === limit));
});

for (const [name, comes] of Object.entries(TIMEOUTS)) {
  test(`0: ${name} never comes, and any other does`, async () => {
    for (const none of [0, -0, Infinity]) assert.isFalse(await comes(none), `of ${none}`);
    await fc.assert(fc.asyncProperty(limits, comes), { numRuns: 4 });
  });
}

test("0: all time-outs of all options are in the table", () => {
  const found: string[] = [];
  for (const name of readdirSync("src", { recursive: true }) as string[]) {
    if (!name.endsWith(".ts")) continue;
    const source = readFileSync(`src/${name}`, "utf8");
    for (const [, option] of source.matchAll(/(\w+): checkTimeout\b/g)) found.push(`${name} ${option}`);
    for (const [, option] of source.matchAll(/(\w*[tT]imeout): duration\(/g)) {
      throw new Error(`${name}: ${option} is a time-out, and is not checked as one`);
    }
    // Each says it.
    for (
      const [doc, , option] of source.matchAll(/\/\*\*((?:(?!\*\/)[^])*)\*\/\s+readonly (\w*[tT]imeout)\?: number/g)
    ) {
      assert.match(doc.replaceAll(/\s*\*\s*/g, " "), /0\s+for no limit/, `${name}: ${option}`);
    }
  }
  assert.sameMembers([...new Set(found)], [...Object.keys(TIMEOUTS), ...ELSEWHERE]);
});

/** Asserts that of two servers the second closes a connection, on which no more is said, and not the first. */
async function secondCloses(
  servers: readonly { readonly port: number; close(): Promise<void> }[],
  hello: string,
): Promise<void> {
  const sockets: Socket[] = [];
  try {
    const first = await Promise.race(servers.map(({ port }, i) =>
      new Promise<number>((resolve) => {
        const socket = connect({ host: "127.0.0.1", port }, () => socket.write(hello));
        sockets.push(socket.on("error", () => {}).on("data", () => {}));
        socket.once("close", () => resolve(i));
      })
    ));
    assert.equal(first, 1);
  } finally {
    for (const socket of sockets) socket.destroy();
    for (const server of servers) await server.close();
  }
}

test("0: a server of braft's protocol keeps a silent follower, and with a limit it does not", async () => {
  for (const none of [0, Infinity]) {
    const open = (stallTimeout: number) => serveBraft({ port: 0, stallTimeout });
    await secondCloses([await open(none), await open(30)], "");
  }
});

test("0: a server over HTTP keeps a client that sends half of its headers, and with a limit it does not", async () => {
  if ("Bun" in globalThis) return; // its own server counts in whole seconds
  const open = async (stallTimeout: number) => {
    const server = await serve(() => Promise.resolve(new Response()), { port: 0, stallTimeout });
    return { port: Number(new URL(server.url).port), close: () => server.close() };
  };
  for (const none of [0, Infinity]) {
    await secondCloses([await open(none), await open(30)], "GET / HTTP/1.1\r\nA: b\r\n");
  }
});

const TRIGGERS: readonly (keyof TriggerOptions)[] = ["interval", "entries", "logBytes", "logFactor"];

/** Whether a trigger calls for a snapshot, in a long time, of a log that has grown by much. */
function calls(trigger: keyof TriggerOptions, value: number): boolean {
  let times = 0;
  const clock = new FakeClock();
  const none = { interval: 0, entries: 0, logBytes: 0, logFactor: 0 };
  const triggers = new Triggers({ ...none, [trigger]: value }, {}, clock, () => times++);
  triggers.start();
  clock.advance(1e8);
  triggers.applied({ appliedIndex: 10n ** 12n, snapshotIndex: 1n, snapshotBytes: 10, logBytes: 1e12 });
  triggers.stop();
  return times > 0;
}

for (const trigger of TRIGGERS) {
  test(`0: the trigger ${trigger} never fires, and any other does`, () => {
    for (const none of [0, -0, Infinity]) assert.isFalse(calls(trigger, none), `of ${none}`);
    fc.assert(fc.property(fc.integer({ min: 1e4, max: 1e6 }), (value) => calls(trigger, value)), { numRuns: 20 });
  });
}
