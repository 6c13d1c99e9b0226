// Replicas that follow another one: the log over fetch, installs, promotion, and histories that are not one.

import { hasCode, KeyValueMachine, MemoryLog, MemoryStorage, Replica, SnapshotError, utf8Codec } from "../../mod.ts";
import type { FollowerEvent } from "../../src/extend.ts";
import { assert, rejects, test } from "../support/harness.ts";
import { node, put, within } from "../support/log_nodes.ts";

/** Resolves at the first event that fits. */
function until(events: FollowerEvent[], wanted: (event: FollowerEvent) => boolean): {
  readonly seen: Promise<FollowerEvent>;
  readonly onEvent: (event: FollowerEvent) => void;
} {
  const { promise, resolve } = Promise.withResolvers<FollowerEvent>();
  const onEvent = (event: FollowerEvent) => {
    events.push(event);
    if (wanted(event)) resolve(event);
  };
  return { seen: promise, onEvent };
}

test("a follower has what its leader has, old and new, and says so", async () => {
  const [leader, second] = [await node("leader"), await node("second")];
  await within([leader, second], async () => {
    await put(leader, 3000);
    const follower = second.replica.follow([leader.source]);
    await follower.caughtUp();
    await put(leader, 10, 3000);
    await follower.caughtUp(3010n);
    assert.equal(second.machine.get("k3009"), "v3009");
    assert.deepEqual(await second.log.digest(3010n), await leader.log.digest(3010n));
    const { lag, state, appliedIndex } = follower.status();
    assert.deepEqual({ lag, state, appliedIndex }, {
      lag: { entries: 0n, bytes: 0, duration: 0 },
      state: "following",
      appliedIndex: 3010n,
    });
    assert.deepInclude(JSON.parse(JSON.stringify(follower.status())), {
      lag: { entries: "0", bytes: 0, duration: 0 },
      appliedIndex: "3010",
    });
  });
});

test("a follower takes no proposals, and says who leads", async () => {
  const [leader, second] = [await node("leader"), await node("second")];
  await within([leader, second], async () => {
    const follower = second.replica.follow([leader.source]);
    const error = await rejects(second.replica.propose(second.machine.put("a", "b")), "FORBIDDEN");
    assert.equal(error.source, "http://leader");
    await follower.close();
    await rejects(second.replica.propose(second.machine.put("a", "b")), "FORBIDDEN");
    assert.equal(second.replica.status().role, "follower");
  });
});

test("who is far behind installs a snapshot first, and goes on by the log", async () => {
  const [leader, second] = [
    await node("leader", { purge: { upToSnapshotIndex: "newest", gap: 1 } }),
    await node("second"),
  ];
  await within([leader, second], async () => {
    await put(leader, 100);
    await leader.replica.snapshot().result;
    await put(leader, 50, 100);
    assert.equal(leader.log.firstIndex, 101n);
    const events: FollowerEvent[] = [];
    const { onEvent } = until(events, () => false);
    const follower = second.replica.follow([leader.source], { onEvent });
    await follower.caughtUp(150n);
    assert.deepEqual([second.machine.get("k7"), second.machine.get("k149")], ["v7", "v149"]);
    assert.equal(second.log.firstIndex, 101n);
    assert.deepEqual(events.map(({ type }) => type), ["installing", "connected", "caughtUp"]);
    assert.deepEqual(await second.log.digest(150n), await leader.log.digest(150n));
  });
});

test("a follower is followed", async () => {
  const [leader, second, third] = [await node("leader"), await node("second"), await node("third")];
  await within([leader, second, third], async () => {
    await put(leader, 10);
    second.replica.follow([leader.source]);
    const follower = third.replica.follow([second.source]);
    await follower.caughtUp(10n);
    await put(leader, 10, 10);
    await follower.caughtUp(20n);
    assert.equal(third.machine.get("k19"), "v19");
  });
});

test("if a source fails another one is followed, and nothing comes twice", async () => {
  const [leader, second, third] = [await node("leader"), await node("second"), await node("third")];
  await within([leader, second, third], async () => {
    await put(leader, 10);
    await second.replica.follow([leader.source]).caughtUp(10n);
    const events: FollowerEvent[] = [];
    const { seen, onEvent } = until(events, (event) => event.type === "connected" && event.source === "http://leader");
    second.isUp = true;
    const follower = third.replica.follow([second.source, leader.source], { onEvent });
    await follower.caughtUp(10n);
    second.isUp = false;
    await second.close(); // ends its streams
    await seen;
    await put(leader, 10, 10);
    await follower.caughtUp(20n);
    assert.equal(third.log.lastIndex, 20n);
    assert.equal(third.machine.get("k19"), "v19");
  });
});

test("a promoted follower leads, and the former leader takes no more", async () => {
  const [first, second] = [await node("first"), await node("second")];
  await within([first, second], async () => {
    await put(first, 5);
    const { seen, onEvent } = until([], ({ type }) => type === "told");
    const follower = second.replica.follow([first.source], { onEvent, address: "http://second" });
    await follower.caughtUp(5n);
    const entry = await follower.promote();
    assert.deepEqual([entry.index, entry.term], [6n, 2n]);
    assert.equal((await second.replica.propose(second.machine.put("new", "one"))).term, 2n);
    await seen;
    const error = await rejects(first.replica.propose(first.machine.put("old", "one")), "STALE");
    assert.equal(error.source, "http://second");
    assert.equal(first.log.lastIndex, 5n);
    await first.replica.follow([second.source]).caughtUp(7n);
    assert.equal(first.machine.get("new"), "one");
    assert.equal(first.replica.status().appliedTerm, 2n);
  });
});

test("of two promotions at once one is refused, and the term is the other's", async () => {
  const [first, second] = [await node("first"), await node("second")];
  await within([first, second], async () => {
    await put(first, 5);
    const follower = second.replica.follow([first.source]);
    await follower.caughtUp(5n);
    const [high, low] = await Promise.allSettled([follower.promote({ term: 7n }), follower.promote({ term: 5n })]);
    assert.deepEqual([high.status === "fulfilled" && high.value.term, low.status], [7n, "rejected"]);
    await rejects(low.status === "rejected" ? Promise.reject(low.reason) : Promise.resolve(), "BUSY");
    assert.equal((await second.replica.propose(second.machine.put("new", "one"))).term, 7n);
    assert.equal(second.log.lastIndex, 7n);
    assert.equal((await follower.promote()).term, 8n);
  });
});

test("one that cannot be promoted, since its log has no room, does not lead", async () => {
  const [leader, second] = [await node("leader"), await node("second")];
  await within([leader, second], async () => {
    await put(leader, 3);
    const follower = second.replica.follow([leader.source]);
    await follower.caughtUp();
    const { log } = second;
    const append = log.append.bind(log);
    log.append = () => Promise.reject(new SnapshotError("NO_SPACE", "It is full"));
    await rejects(follower.promote(), "NO_SPACE");
    log.append = append;
    const error = await rejects(second.replica.propose(second.machine.put("a", "b")), "FORBIDDEN");
    assert.deepEqual([error.source, second.replica.status().role], ["http://leader", "follower"]);
    await put(leader, 1, 3);
    assert.equal((await follower.promote()).term, 2n);
    await second.replica.propose(second.machine.put("a", "b"));
  });
});

test("one that is promoted, and has heard of nobody, leads in a term that is not the first leader's", async () => {
  const purge = { gap: 1, upToSnapshotIndex: "newest" as const };
  const [first, second] = [await node("first", { purge }), await node("second")];
  await within([first, second], async () => {
    await put(first, 3);
    await first.replica.snapshot().result;
    assert.equal(first.log.firstIndex, 4n); // of its history nothing but the last term is left to be compared
    first.isUp = false;
    assert.equal((await second.replica.follow([first.source]).promote()).term, 2n);
    await put(second, 2, 10);
    const { seen, onEvent } = until([], ({ type }) => type === "disconnected");
    first.replica.follow([second.source], { onEvent });
    const event = await seen;
    assert.isTrue(event.type === "disconnected" && hasCode(event.error, "STALE"), JSON.stringify(event.type));
    assert.equal(first.machine.get("k2"), "v2");
  });
});

test("what only a former leader had is never mixed in, and is named", async () => {
  const [first, second] = [await node("first"), await node("second")];
  await within([first, second], async () => {
    await put(first, 5);
    const follower = second.replica.follow([first.source]);
    await follower.caughtUp(5n);
    await follower.close();
    await put(first, 3, 100); // 6 to 8, which the other does not get
    first.isUp = false;
    await follower.promote();
    await put(second, 10, 200);
    const events: FollowerEvent[] = [];
    const { seen, onEvent } = until(events, (event) => event.type === "disconnected" && hasCode(event.error, "STALE"));
    const back = first.replica.follow([second.source], { onEvent });
    const event = await seen;
    const error = (event as { readonly error: unknown }).error;
    assert(hasCode(error, "STALE") && error.index === 6n && error.fields.actual === 8n, String(error));
    assert.equal(back.status().problem?.code, "STALE");
    assert.equal(first.log.lastIndex, 8n);
    assert.equal(first.machine.get("k102"), "v102");
    assert.equal(first.machine.get("k200"), undefined);
  });
});

test("a leader that was away learns at its opening that another one leads", async () => {
  const [first, second] = [await node("first"), await node("second")];
  await within([first, second], async () => {
    await put(first, 5);
    const follower = second.replica.follow([first.source]);
    await follower.caughtUp(5n);
    first.isUp = false;
    await follower.promote();
    await first.close();
    const log = new MemoryLog();
    const storage = new MemoryStorage();
    const machine = new KeyValueMachine(utf8Codec());
    const again = await Replica.open({ machine, log, storage, followers: [second.source] });
    const error = await rejects(again.propose(machine.put("a", "b")), "STALE");
    assert.equal(error.source, "http://second");
    await again.close();
  });
});

test("nobody dethrones a leader by a word, unless he may write", async () => {
  const leader = await node("leader", {}, {});
  await within([leader], async () => {
    const body = JSON.stringify({ term: "9", leader: "http://evil" });
    const headers = { "Content-Type": "application/json" };
    const response = await leader.source.fetch!(
      new Request("http://leader/log/leader", { method: "POST", body, headers }),
    );
    assert.equal(response.status, 403);
    await response.body?.cancel();
    await leader.source.fetch!(new Request("http://leader/log?follower=x&durable=0")).then((answer) => answer.text());
    await put(leader, 1);
  });
});

test("the log is kept for followers that may be heard, and not for others", async () => {
  for (const allowWrites of [true, false]) {
    const leader = await node("leader", { purge: { upToSnapshotIndex: false, gap: 1 } }, { allowWrites });
    await within([leader], async () => {
      await leader.source.fetch!(new Request("http://leader/log?follower=x&durable=5")).then((answer) => answer.text());
      for (let i = 0; i < 3; i++) {
        await put(leader, 20, 20 * i);
        await leader.replica.snapshot().result;
      }
      assert.equal(leader.log.firstIndex, allowWrites ? 6n : 41n);
    });
  }
});
