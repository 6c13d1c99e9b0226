import {
  type InstallNotification,
  MemoryStorage,
  type NotificationReply,
  type NotifiedSources,
  notifyInstall,
  type Replica,
  type ReplicaOptions,
  snapshotHandler,
  type SnapshotStorage,
} from "../../mod.ts";
import { assert, gate, test, turns } from "../support/harness.ts";
import { sourceOf, type TestSource } from "../support/servers.ts";
import { entries, open, parts } from "../support/parts.ts";
import { commit, type Probe } from "../support/probe.ts";

type OnNotification = ReplicaOptions<Probe>["onNotification"];

/** What a leader in a term says, that has the log from an entry on. */
function from(index: bigint, term = 1n): InstallNotification {
  return { term, firstAvailable: { index, term } };
}

/** A follower, and a server with snapshot 9 of somebody else's. */
async function following(
  onNotification: (source: TestSource) => OnNotification,
  work: (replica: Replica<Probe>, storage: SnapshotStorage) => Promise<void>,
): Promise<void> {
  const there = new MemoryStorage();
  await commit(there, { lastIncludedIndex: 9n, lastIncludedTerm: 1n }, "installed");
  const source = sourceOf("there", there);
  const asked = onNotification(source);
  const replica = await open(parts(), asked === undefined ? {} : { onNotification: asked });
  try {
    await work(replica, there);
  } finally {
    await replica.close();
    await source.close();
    await there.close();
  }
}

/** Asks until it is not in progress any more. */
async function answer(replica: Replica<Probe>, notification: InstallNotification): Promise<NotificationReply> {
  for (;;) {
    const reply = await replica.notify(notification);
    if (reply.result !== "IN_PROGRESS") return reply;
    await turns(1);
  }
}

test("notified: it installs, says so once, and needs no more", () =>
  following((source) => () => ({ sources: [source] }), async (replica) => {
    const first = await replica.notify(from(10n));
    assert.strictEqual(first.result, "IN_PROGRESS");
    assert.strictEqual(first.term, 1n);
    assert.strictEqual(first.progress?.phase, "look");
    assert.deepEqual(await answer(replica, from(10n)), {
      result: "SNAPSHOT_INSTALLED",
      snapshotIndex: 9n,
      snapshotTerm: 1n,
      term: 1n,
    });
    assert.strictEqual(replica.machine.state, "installed");
    const installed = { result: "ALREADY_INSTALLED", snapshotIndex: 9n, snapshotTerm: 1n, term: 1n } as const;
    assert.deepEqual(await replica.notify(from(10n)), installed);
    assert.deepEqual(await replica.notify(from(10n, 2n)), { ...installed, term: 2n });
    assert.deepEqual(await replica.notify(from(3n, 3n)), { ...installed, term: 3n });
  }));

test("notified: who leads, and since when it was not heard, comes to who finds the sources", () => {
  const heard: InstallNotification["leader"][] = [];
  const listening = () => ({ leader }: InstallNotification) => void heard.push(leader);
  return following(listening, async (replica) => {
    const handler = snapshotHandler(new MemoryStorage(), { target: replica, allowWrites: true });
    const target = { url: "http://follower", fetch: handler };
    for (
      const leader of [{ id: "n1", silentFor: 0 }, { id: "ключ", silentFor: 1500.5 }, {
        id: "x".repeat(255),
        silentFor: Infinity,
      }]
    ) {
      await notifyInstall(target, { ...from(10n), leader }).result;
    }
    await notifyInstall(target, from(10n)).result;
    assert.deepEqual(heard.map((leader) => leader && [leader.id.length, leader.silentFor]), [
      [2, 0],
      [4, 1500.5],
      [255, Number.MAX_SAFE_INTEGER],
      undefined,
    ]);
    const wrong = [
      { id: "" },
      { id: 7 },
      { id: "x".repeat(256), silentFor: 0 },
      { id: "n", silentFor: -1 },
      { id: "n" },
      5,
      [],
      null,
    ];
    for (const leader of wrong) {
      const response = await handler(
        new Request("http://follower/snapshots/notification", {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ term: "1", firstAvailable: { index: "10", term: "1" }, leader }),
        }),
      );
      assert.strictEqual(response.status, 400, JSON.stringify(leader));
      await response.body?.cancel();
    }
    assert.lengthOf(heard, 4);
    await handler.close();
  });
});

test("notified: a leader of an earlier term than the state's", () =>
  following((source) => () => ({ sources: [source] }), async (replica) => {
    await answer(replica, from(10n, 5n));
    assert.deepEqual(await replica.notify(from(20n, 0n)), { result: "NOT_LEADER", term: 1n });
    assert.strictEqual((await replica.notify(from(9n, 6n))).result, "ALREADY_INSTALLED");
  }));

test("notified: a word raises neither term nor index: the leader is heard after a false one", () =>
  following((source) => () => ({ sources: [source] }), async (replica) => {
    const largest = 2n ** 63n - 1n;
    assert.strictEqual((await answer(replica, from(largest, largest))).result, "SNAPSHOT_INSTALLED");
    assert.strictEqual((await answer(replica, from(largest, largest))).result, "SNAPSHOT_UNAVAILABLE");
    assert.strictEqual((await replica.notify(from(10n, 1n))).result, "ALREADY_INSTALLED");
    assert.strictEqual((await replica.notify(from(20n, 1n))).result, "IN_PROGRESS");
    assert.strictEqual((await answer(replica, from(20n, 1n))).result, "SNAPSHOT_UNAVAILABLE");
  }));

test("notified: no source, none at all, and one that fails; each is said once and tried again", async () => {
  let found: NotifiedSources | undefined | Error;
  let asked = 0;
  await following(() => () => {
    asked++;
    if (found instanceof Error) throw found;
    return found;
  }, async (replica, there) => {
    for (
      const [what, reason] of [
        [undefined, /no source/],
        [{ sources: [] }, /no source/],
        [new Error("who knows"), /who knows/],
        [{ sources: [{ url: "http://x", fetch: () => Promise.resolve(new Response("", { status: 404 })) }] }, /404/],
      ] as const
    ) {
      found = what;
      const reply = await answer(replica, from(10n));
      assert.strictEqual(reply.result, "SNAPSHOT_UNAVAILABLE");
      assert.match(reply.reason!, reason);
    }
    assert.strictEqual(asked, 4);
    const source = sourceOf("there", there);
    found = { sources: [source] };
    assert.strictEqual((await answer(replica, from(10n))).result, "SNAPSHOT_INSTALLED");
    await source.close();
  });
});

test("notified: one install at a time, whatever it is told meanwhile", async () => {
  const look = gate();
  let asked = 0;
  await following((source) => async () => {
    asked++;
    await look.promise;
    return { sources: [source] };
  }, async (replica) => {
    for (const first of [5n, 10n, 10n]) {
      assert.strictEqual((await replica.notify(from(first))).result, "IN_PROGRESS");
    }
    assert.strictEqual((await replica.notify(from(5n))).result, "SNAPSHOT_EXPIRED");
    assert.strictEqual((await replica.notify(from(10n, 2n))).result, "IN_PROGRESS");
    look.open();
    const reply = await answer(replica, from(10n, 2n));
    assert.deepEqual(reply, { result: "SNAPSHOT_INSTALLED", snapshotIndex: 9n, snapshotTerm: 1n, term: 2n });
    assert.strictEqual(asked, 1);
  });
});

test("notified: what failed does not matter, if it came to the entries in another way", async () => {
  const look = gate();
  await following(() => async () => {
    await look.promise;
    return undefined;
  }, async (replica) => {
    assert.strictEqual((await replica.notify(from(3n))).result, "IN_PROGRESS");
    await replica.append(entries(1, 2));
    look.open();
    assert.deepEqual(await answer(replica, from(3n)), {
      result: "ALREADY_INSTALLED",
      snapshotIndex: 2n,
      snapshotTerm: 1n,
      term: 1n,
    });
    assert.deepEqual(await answer(replica, from(3n)), {
      result: "ALREADY_INSTALLED",
      snapshotIndex: 2n,
      snapshotTerm: 1n,
      term: 1n,
    });
  });
});

test("notified: a snapshot that is too old for the leader is installed, and then another one is looked for", () =>
  following((source) => () => ({ sources: [source] }), async (replica, there) => {
    assert.deepEqual(await answer(replica, from(20n)), {
      result: "SNAPSHOT_INSTALLED",
      snapshotIndex: 9n,
      snapshotTerm: 1n,
      term: 1n,
    });
    assert.strictEqual((await answer(replica, from(20n))).result, "SNAPSHOT_UNAVAILABLE");
    await commit(there, { lastIncludedIndex: 25n, lastIncludedTerm: 1n }, "later");
    assert.deepEqual(await answer(replica, from(20n)), {
      result: "SNAPSHOT_INSTALLED",
      snapshotIndex: 25n,
      snapshotTerm: 1n,
      term: 1n,
    });
    assert.strictEqual(replica.machine.state, "later");
  }));

test("notified: a machine that cannot load it does not make it stick", () =>
  following((source) => () => ({ sources: [source] }), async (replica) => {
    let fails = true;
    replica.machine.onLoad = () => {
      if (fails) throw new Error("cannot load");
    };
    const { cause, ...reply } = await answer(replica, from(10n));
    assert.deepEqual(reply, { result: "SNAPSHOT_UNAVAILABLE", reason: "cannot load", term: 1n });
    assert.instanceOf(cause, Error);
    fails = false;
    assert.deepEqual(await answer(replica, from(10n)), {
      result: "SNAPSHOT_INSTALLED",
      snapshotIndex: 9n,
      snapshotTerm: 1n,
      term: 1n,
    });
    assert.strictEqual(replica.machine.state, "installed");
  }));

test("notified: a replica that was closed, and one that takes no notifications", async () => {
  await following((source) => () => ({ sources: [source] }), async (replica) => {
    await replica.close();
    assert.strictEqual((await answer(replica, from(10n))).result, "SNAPSHOT_UNAVAILABLE");
  });
  await following(() => undefined, async (replica) => {
    assert.deepEqual(await replica.notify(from(10n)), { result: "CONF_MISMATCH" });
  });
});

test("notified: over HTTP, by a leader that asks again and again", () =>
  following((source) => ({ sources }) => {
    assert.deepEqual(sources, ["http://there"]);
    return { sources: [source] };
  }, async (replica) => {
    const storage = new MemoryStorage();
    const handler = snapshotHandler(storage, { allowWrites: true, target: replica });
    const follower = { url: "http://follower", fetch: handler };
    const notification = { ...from(10n), sources: ["http://there"] };
    const reply = await notifyInstall(follower, notification, { interval: 1 }).result;
    assert.deepEqual(reply, { result: "SNAPSHOT_INSTALLED", snapshotIndex: 9n, snapshotTerm: 1n, term: 1n });
    assert.strictEqual((await notifyInstall(follower, notification).result).result, "ALREADY_INSTALLED");
    assert.strictEqual((await notifyInstall(follower, from(10n, 0n)).result).result, "NOT_LEADER");
    assert.strictEqual((await notifyInstall(follower, from(9n)).result).result, "ALREADY_INSTALLED");
    await handler.close();
    await storage.close();
  }));

test("notified: whoever notifies over HTTP learns nothing of what its sources answered: it could look around by them", async () => {
  const answers: Readonly<Record<string, () => Promise<Response>>> = {
    "an absent page": () => Promise.resolve(new Response("no such page", { status: 404 })),
    "a page": () => Promise.resolve(new Response("<h1>Printer</h1>", { headers: { "Content-Type": "text/html" } })),
    "a login": () => Promise.resolve(new Response("who?", { status: 401 })),
    "nothing": () => Promise.reject(new TypeError("connection refused")),
  };
  const told = new Set<string>();
  for (const [what, fetch] of Object.entries(answers)) {
    const url = "http://10.0.0.1:631/admin";
    const onNotification = () => ({ sources: [{ url, fetch }], options: { retryFor: 0 } });
    await following(() => onNotification, async (replica, there) => {
      const handler = snapshotHandler(there, { target: replica, allowWrites: true });
      const inner: TestSource["fetch"] = (request) => handler(request);
      let reply: NotificationReply;
      do reply = await notifyInstall({ url: "http://follower", fetch: inner }, from(10n)); while (
        reply.result === "IN_PROGRESS"
      );
      assert.strictEqual(reply.result, "SNAPSHOT_UNAVAILABLE", what);
      told.add(reply.reason!);
      await handler.close();
    });
  }
  assert.deepEqual([...told], ["The server could not do it"]);
});
