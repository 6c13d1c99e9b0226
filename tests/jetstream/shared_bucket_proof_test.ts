// Nothing but NATS: the log in one stream, the snapshots of all replicas in another.

import { JetStreamBucket } from "../../src/jetstream.ts";
import { ObjectStorage } from "../../src/storage/object/mod.ts";
import { assert, test } from "../support/harness.ts";
import { bytes, fill, openLog, type OpenReplica, openReplica, reaches } from "./kit.ts";
import { type NatsServer, withNats } from "../support/nats.ts";

interface InBucket extends OpenReplica {
  /** Closes the replica, and what it stands on. */
  end(): Promise<void>;
}

/** A replica whose snapshots are in the bucket of all. */
async function openInBucket(server: NatsServer, member: string): Promise<InBucket> {
  const connection = await server.connect();
  const bucket = await JetStreamBucket.open(connection, { bucket: "snapshots" });
  const storage = await ObjectStorage.open(bucket, { retain: 1 });
  const opened = await openReplica(server, member, { storage, retry: { initial: 600_000 } });
  return {
    ...opened,
    async end() {
      await opened.close();
      await bucket.close();
      await connection.close();
    },
  };
}

test("shared bucket: one replica saves, all purge; a new one begins with that snapshot", () =>
  withNats(async (server) => {
    const [a, b] = [await openInBucket(server, "a"), await openInBucket(server, "b")];
    for (let i = 0; i < 40; i++) await a.replica.propose(bytes(`${i}`));
    await a.replica.snapshot().result;
    await reaches(b.replica, 40n);
    await b.replica.propose(bytes("one more"));
    await b.replica.snapshot().result; // of what it has, in the same storage
    await a.replica.purge();
    await a.log.refresh();
    assert.equal(a.log.firstIndex, 41n);
    await b.replica.propose(bytes("after"));
    const c = await openInBucket(server, "c");
    assert.equal(c.replica.status().snapshot?.meta.lastIncludedIndex, 41n);
    assert.equal(c.replica.machine.state, b.replica.machine.state);
    assert.equal(c.replica.status().appliedIndex, 42n);
    for (const { end } of [c, b, a]) await end();
  }));

test("shared bucket: the server is killed while a snapshot is saved to it; the next save is whole", () =>
  withNats(async (server) => {
    const a = await openInBucket(server, "a");
    await fill(a.log, 2000);
    await reaches(a.replica, 2000n);
    const saving = a.replica.snapshot().result.then(() => "saved", () => "failed");
    await server.kill();
    await server.start();
    await saving;
    const { index } = await a.replica.propose(bytes("after"));
    await a.replica.snapshot().result;
    const { state } = a.replica.machine;
    await a.end();
    const again = await openInBucket(server, "a");
    assert.equal(again.replica.machine.state, state);
    assert.equal(again.replica.status().snapshot?.meta.lastIncludedIndex, index);
    await again.end();
    // Without the bucket it is too late: the entries are purged.
    const { log, close } = await openLog(server, "late");
    assert.equal(log.firstIndex, index + 1n);
    await close();
  }));

test("shared bucket: of two that save at the same entry one does, and its snapshot is the other's too", () =>
  withNats(async (server) => {
    const [a, b] = [await openInBucket(server, "a"), await openInBucket(server, "b")];
    await fill(a.log, 40);
    await Promise.all([reaches(a.replica, 40n), reaches(b.replica, 40n)]);
    const [first, second] = await Promise.all([a.replica.snapshot().result, b.replica.snapshot().result]);
    assert.equal(Number(first.taken) + Number(second.taken), 1);
    assert.equal(first.snapshot?.meta.lastIncludedIndex, 40n);
    assert.equal(second.snapshot?.meta.lastIncludedIndex, 40n);
    await a.log.refresh();
    assert.equal(a.log.firstIndex, 41n, "neither needs them");
    await b.end();
    await a.end();
  }));
