// Purging, by what the members of a log need.

import { jetstreamManager } from "@nats-io/jetstream";
import { MemoryStorage, Replica } from "../../mod.ts";
import type { FailingTask } from "../../src/extend.ts";
import { assert, test } from "../support/harness.ts";
import { Probe } from "../support/probe.ts";
import { fill, known, openLog, STREAM, take } from "./kit.ts";
import { withNats } from "../support/nats.ts";

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

test("members: one that cannot say that it is alive is told so at the tenth time, and counted", () =>
  withNats(async (server) => {
    const { promise: tenth, resolve } = Promise.withResolvers<FailingTask>();
    const a = await openLog(server, "a", { memberTimeout: 40, onFailing: resolve });
    const storage = new MemoryStorage();
    const replica = await Replica.open({ machine: new Probe(), log: a.log, storage, triggers: { interval: 0 } });
    assert.deepEqual(replica.status().failing, []);
    const manager = await jetstreamManager(a.connection);
    await manager.streams.delete(`KV_${STREAM}-members`); // somebody else did
    const { task, failures, error } = await tenth;
    assert.deepEqual([task, failures], ["beat", 10]);
    assert.match(error.message, /could not be told that this member is alive, 10 times in a row/);
    const [failing] = replica.status().failing;
    assert.equal(failing!.task, "beat");
    assert.isAtLeast(failing!.failures, 10);
    await replica.close();
    await a.close();
  }));
