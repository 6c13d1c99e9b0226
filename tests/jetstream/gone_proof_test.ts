// What a log does when the server loses what it needs: it waits as long as it promises, in real time.

import { jetstreamManager } from "@nats-io/jetstream";
import { assert, rejects, test } from "../support/harness.ts";
import { eventually, fill, known, openLog, STREAM, take } from "./kit.ts";
import { withNats } from "../support/nats.ts";

const never = new AbortController().signal;

test("JetStreamLog: a consumer that is deleted under it is made again, without a gap or a double", () =>
  withNats(async (server) => {
    const { log, connection, close } = await openLog(server);
    const manager = await jetstreamManager(connection);
    const indices: bigint[] = [];
    let deleted = 0;
    const following = (async () => {
      for await (const entries of log.follow(1n, never)) {
        indices.push(...entries.map(({ index }) => index));
        if (indices.length >= 5000) return;
        if (indices.length < deleted * 500) continue;
        deleted++;
        for await (const { name } of manager.consumers.list(STREAM)) await manager.consumers.delete(STREAM, name);
      }
    })();
    for (let i = 0; i < 50; i++) await fill(log, 100);
    await following;
    assert.deepEqual(indices, Array.from({ length: 5000 }, (_, i) => BigInt(i + 1)));
    assert.isAtLeast(deleted, 5);
    await close();
  }));

test("JetStreamLog: a stream that is gone is waited for, but not for ever", () =>
  withNats(async (server) => {
    const { log, connection, close } = await openLog(server);
    await fill(log, 3);
    await (await jetstreamManager(connection)).streams.delete(STREAM);
    const error = await rejects(take(log, 1n, 1), "UNAVAILABLE");
    assert.match(error.message, /stream not found/);
    await close();
  }));

test("members: one that is dead holds nothing back after its time, and is forgotten; one that lives does", () =>
  withNats(async (server) => {
    const patient = await openLog(server, "a");
    const behind = await openLog(server, "slow");
    const dead = await openLog(server, "dead");
    await fill(patient.log, 100);
    await dead.close(); // from here on it is not heard of
    await behind.log.purge(20n);
    await patient.log.purge(80n);
    assert.equal(patient.log.firstIndex, 1n, "its time is not over");
    await behind.close();
    await patient.close();
    const slow = await openLog(server, "slow", { memberTimeout: 200 }); // heard of every 50 ms; it purges nothing now
    const heard = performance.now();
    const options = { memberTimeout: 4000 }; // a machine that stands still for seconds makes nobody dead
    const a = await openLog(server, "a", options);
    await eventually("dead", async () => {
      await a.log.purge(80n);
      return a.log.firstIndex > 1n;
    });
    await eventually("the slow one is there for longer", async () => {
      await a.log.purge(80n);
      return performance.now() - heard > 1.5 * options.memberTimeout;
    });
    assert.equal(a.log.firstIndex, 21n, "it is alive, though all it does is to be there");
    assert.deepEqual(await known(a), { a: "80", slow: "20" });
    const { state } = await (await jetstreamManager(a.connection)).streams.info(`KV_${STREAM}-members`);
    assert.equal(state.messages, 2, "nothing is left of it");
    await slow.close();
    await a.close();
  }));

test("members: without a limit one that is dead holds the log back", () =>
  withNats(async (server) => {
    for (const memberTimeout of [0, Infinity]) {
      const a = await openLog(server, "a", { memberTimeout });
      const dead = await openLog(server, "dead", { memberTimeout });
      await fill(a.log, 100);
      await dead.close();
      await a.log.purge(80n);
      assert.equal(a.log.firstIndex, 1n);
      assert.property(await known(a), "dead");
      await a.close();
    }
  }));
