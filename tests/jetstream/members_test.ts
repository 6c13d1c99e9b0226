// Purging, by what the members of a log need.

import { jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { assert, test } from "../support/harness.ts";
import { eventually, fill, type OpenLog, openLog, STREAM, take } from "./kit.ts";
import { withNats } from "../support/nats.ts";

/** Which members the bucket has, and up to where they need nothing. */
async function known({ connection }: OpenLog): Promise<Record<string, string>> {
  const bucket = await new Kvm(connection).open(`${STREAM}-members`);
  const all: Record<string, string> = {};
  for await (const name of await bucket.keys()) {
    all[name] = (await bucket.get(name))!.json<{ safeIndex: string }>().safeIndex;
  }
  return all;
}

test("members: the log is purged up to what the last of them does not need", () =>
  withNats(async (server) => {
    const [a, b, c] = [await openLog(server, "a"), await openLog(server, "b"), await openLog(server, "c")];
    await fill(a.log, 100);
    await a.log.purge(90n);
    assert.deepEqual([a.log.firstIndex, a.log.lastIndex], [1n, 100n], "the others need all");
    await b.log.purge(50n);
    assert.equal(b.log.firstIndex, 1n);
    await c.log.purge(70n);
    assert.equal(c.log.firstIndex, 51n);
    await b.log.purge(60n);
    assert.equal(b.log.firstIndex, 61n);
    await b.log.purge(10n); // it needs less already
    await c.log.purge(1000n); // there is not so much
    assert.equal(c.log.firstIndex, 61n);
    assert.deepEqual(await known(a), { a: "90", b: "60", c: "1000" });
    await a.log.refresh();
    assert.deepEqual((await take(a.log, 61n, 40)).length, 40);
    await Promise.all([a.close(), b.close(), c.close()]);
  }));

test("members: one that comes later needs all that is there, and keeps its place when it starts again", () =>
  withNats(async (server) => {
    const a = await openLog(server, "a");
    await fill(a.log, 100);
    await a.log.purge(40n);
    assert.equal(a.log.firstIndex, 41n);
    const b = await openLog(server, "b");
    assert.deepEqual(await known(a), { a: "40", b: "40" });
    await fill(a.log, 100);
    await a.log.purge(200n);
    assert.equal(a.log.firstIndex, 41n, "nothing that it is going to read");
    await b.log.purge(60n);
    assert.equal(b.log.firstIndex, 61n);
    await b.close();
    await a.log.purge(200n);
    assert.equal(a.log.firstIndex, 61n, "it may be a restart");
    const again = await openLog(server, "b");
    await a.log.purge(200n);
    assert.deepEqual([a.log.firstIndex, (await known(a))["b"]], [61n, "60"]);
    await again.close();
    await a.close();
  }));

test("members: one that is dead holds nothing back after its time, and is forgotten; one that lives does", () =>
  withNats(async (server) => {
    const patient = await openLog(server, "a");
    const slow = await openLog(server, "slow", { memberTimeout: 200 }); // it is heard of four times as often
    const dead = await openLog(server, "dead");
    await fill(patient.log, 100);
    await dead.close(); // from here on it is not heard of
    await slow.log.purge(20n);
    const heard = performance.now();
    await patient.log.purge(80n);
    assert.equal(patient.log.firstIndex, 1n, "its time is not over");
    await patient.close();
    const options = { memberTimeout: 1500 };
    const a = await openLog(server, "a", options);
    await eventually("dead", async () => {
      await a.log.purge(80n);
      return a.log.firstIndex > 1n;
    });
    await eventually("the slow one is silent for longer", async () => {
      await a.log.purge(80n);
      return performance.now() - heard > 2 * options.memberTimeout;
    });
    assert.equal(a.log.firstIndex, 21n, "it is alive, though all it does is to be there");
    assert.deepEqual(await known(a), { a: "80", slow: "20" });
    const { state } = await (await jetstreamManager(a.connection)).streams.info(`KV_${STREAM}-members`);
    assert.equal(state.messages, 2, "nothing is left of it");
    await slow.close();
    await a.close();
  }));
