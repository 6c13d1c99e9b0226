import { MemoryLog, MemoryStorage, Replica, snapshotHandler, Throttle } from "../../mod.ts";
import { serve } from "../../src/transfer/server/serve.ts";
import { assert, gate, test } from "../support/harness.ts";
import { CountingMachine } from "./counting_machine.ts";
import { withWorker } from "../support/miniflare.ts";
import { Remote } from "./remote.ts";

function word(i: number): Uint8Array {
  return new TextEncoder().encode(`word ${i}`);
}

function open(storage: MemoryStorage): Promise<Replica<CountingMachine>> {
  return Replica.open({ machine: new CountingMachine(), log: new MemoryLog(), storage });
}

test("a Node process pulls from a Durable Object, and goes on with its entries", () =>
  withWorker(async (worker) => {
    const counter = new Remote(worker, "sleeper/a");
    for (let i = 0; i < 20; i++) await counter.add(`word${i}`);
    await counter.snapshot();
    const node = await open(new MemoryStorage());
    const { snapshot } = await node.install([counter.url]);
    assert.equal(snapshot?.meta.lastIncludedIndex, 20n);
    assert.deepEqual(node.machine.counts, await counter.counts());
    await node.close();
  }));

test("a Durable Object pulls from a Node process, keeps that, and takes its own snapshots after it", () =>
  withWorker(async (worker) => {
    const storage = new MemoryStorage();
    const node = await open(storage);
    await Promise.all(Array.from({ length: 5000 }, (_, i) => node.propose(word(i))));
    await node.snapshot().result;
    const handler = snapshotHandler(storage, { allowWrites: true, target: node });
    const server = await serve(handler, { port: 0 });
    try {
      const counter = new Remote(worker, "sleeper/a");
      for (let i = 0; i < 10; i++) await counter.add("gone"); // of another history: the snapshot replaces it
      const status = await counter.install(server.url);
      assert.deepEqual([status.appliedIndex, status.snapshotIndex, status.firstIndex], ["5000", "5000", "5001"]);
      assert.deepEqual(await counter.counts(), node.machine.counts);
      await worker.crash();
      assert.deepEqual(await counter.counts(), node.machine.counts);
      assert.equal(await counter.add("more"), 5001n);
      await counter.snapshot();
      await node.install([counter.url]).result;
      assert.equal(node.machine.counts["more"], 1);
      assert.equal(node.status().appliedIndex, 5001n);
    } finally {
      await server.close();
      await handler.close();
      await node.close();
    }
  }));

test("a Durable Object that is lost in the middle of an install has what it had, and installs when it is asked again", () =>
  withWorker(async (worker) => {
    const storage = new MemoryStorage();
    const node = await open(storage);
    const long = (i: number) => new TextEncoder().encode(`${i} ${"word".repeat(256)}`);
    await Promise.all(Array.from({ length: 4000 }, (_, i) => node.propose(long(i))));
    await node.snapshot().result;
    let begun = gate();
    const handler = snapshotHandler(storage, { allowWrites: true, throttle: new Throttle(2_000_000) }); // it takes two seconds
    const server = await serve((request) => {
      if (request.url.includes("/content")) begun.open();
      return handler(request);
    }, { port: 0 });
    try {
      const counter = new Remote(worker, "sleeper/a");
      await counter.add("mine");
      for (const crash of [() => counter.crash(), () => worker.crash()]) {
        begun = gate();
        const installing = counter.install(server.url).then(() => true, () => false);
        await begun.promise;
        await crash();
        assert.isFalse(await installing);
        assert.deepEqual(await counter.counts(), { mine: 1 });
      }
      const { appliedIndex } = await counter.install(server.url);
      assert.equal(appliedIndex, "4000");
      await counter.crash();
      assert.deepEqual(await counter.counts(), node.machine.counts);
    } finally {
      await server.close();
      await handler.close();
      await node.close();
    }
  }));
