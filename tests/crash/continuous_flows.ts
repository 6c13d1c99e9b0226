// A follower, its promotion and a backup: each to be crashed in at every operation. After each crash a follower has what it
// said it has, of the leader's history and no other; and what a backup gives is the leader's state at that entry.

import {
  MemoryLog,
  MemoryStorage,
  Replica,
  SnapshotError,
  type SnapshotHandler,
  snapshotHandler,
  type SourceOptions,
} from "../../mod.ts";
import { Backup, restoreBackup, verifyBackup } from "../../src/backup.ts";
import { DirectoryBucket } from "../../src/bucket/directory/mod.ts";
import { inFakeTime } from "../support/fake_clock.ts";
import { assert } from "../support/harness.ts";
import { overriding } from "../support/overriding.ts";
import type { Flow } from "./flows.ts";
import { twice } from "./promise.ts";
import {
  command,
  type Disk,
  machine,
  propose,
  type ReplicaMark,
  stateAt,
  summed,
  withReplica,
} from "./replica_flows.ts";
import type { Machine } from "./replica_flows.ts";
import type { SimulatedDisk } from "./simulated_disk.ts";

/** The leader's snapshot, and its last entry; the one after that is the first of a promoted follower's term. */
const [SNAPSHOT, LAST] = [8n, 14n];
const TERM_ENTRY = LAST + 1n;
/** Failures of a follower after which its user stops waiting for it. */
const PATIENCE = 2;

/** A leader that is on no disk, so that it outlives every crash. */
class Leader {
  readonly log = new MemoryLog();
  readonly #storage = new MemoryStorage();

  /** Opens it for a while. */
  async with<T>(work: (replica: Replica<Machine>, source: SourceOptions) => Promise<T>): Promise<T> {
    const storage = overriding(this.#storage, { close: () => Promise.resolve() });
    const triggers = { interval: 0, entries: 0 };
    const replica = await Replica.open({ machine: machine(false), log: this.log, storage, triggers });
    const handler: SnapshotHandler = snapshotHandler(this.#storage, { target: replica });
    try {
      return await work(replica, { url: "http://leader", fetch: (request) => handler(request) });
    } finally {
      await handler.close();
      await replica.close();
    }
  }

  /** Proposes up to an entry. */
  async lead(replica: Replica<Machine>, upTo: bigint): Promise<void> {
    while (replica.status().lastIndex < upTo) {
      await replica.propose(command(replica.machine, replica.status().lastIndex + 1n));
      if (replica.status().lastIndex === SNAPSHOT) await replica.snapshot().result;
    }
  }

  /** One with all of its entries; or, if it is `purged`, those behind its snapshot. */
  static async make(isPurged: boolean): Promise<Leader> {
    const leader = new Leader();
    await leader.with((replica) => leader.lead(replica, LAST));
    if (isPurged) {
      await leader.log.digest(SNAPSHOT);
      await leader.log.purge(SNAPSHOT);
    }
    return leader;
  }
}

/** Follows until all is there; fails if that fails again and again. */
async function followAll(replica: Replica<Machine>, source: SourceOptions) {
  const failed = Promise.withResolvers<never>();
  let failures = 0;
  const follower = replica.follow([source], {
    timeout: 0,
    onEvent(event) {
      if (event.type === "disconnected" && ++failures === PATIENCE) failed.reject(event.error);
    },
  });
  try {
    await Promise.race([follower.caughtUp(LAST), failed.promise]);
    return follower;
  } catch (error) {
    await follower.close();
    throw error;
  }
}

/** Fails unless a replica has what was acknowledged, and its history is the leader's as far as that goes. */
async function isOfHistory(replica: Replica<Machine>, acknowledged: bigint, leader: Leader): Promise<void> {
  const { appliedIndex, firstIndex } = replica.status();
  assert.isTrue(
    appliedIndex >= acknowledged,
    `Entry ${acknowledged} was acknowledged, and ${appliedIndex} is the last`,
  );
  assert.deepEqual([...replica.machine.entries()].sort(), stateAt(appliedIndex, TERM_ENTRY));
  const common = appliedIndex < LAST ? appliedIndex : LAST;
  if (appliedIndex === 0n || common < firstIndex) return;
  assert.deepEqual(await replica.log!.digest(common), await leader.log.digest(common), `the history up to ${common}`);
}

/** Takes over, unless that has happened already. */
async function promote(replica: Replica<Machine>, source: SourceOptions, disk: Disk): Promise<void> {
  if (replica.status().appliedIndex >= TERM_ENTRY) return;
  const follower = await followAll(replica, source);
  disk.mark({ acknowledged: LAST });
  const { index, term } = await follower.promote();
  assert.deepEqual([index, term], [TERM_ENTRY, 2n]);
  disk.mark({ acknowledged: index });
}

/** Does something beside a leader, in fake time: nobody waits before trying again. */
function inTime(leader: Leader, work: (source: SourceOptions) => Promise<void>): Promise<void> {
  return inFakeTime(() => leader.with((_, source) => work(source)));
}

function followerFlow(name: string, leader: Leader): Flow<ReplicaMark> {
  return {
    name,
    prepare: () => Promise.resolve(),
    run: (disk) =>
      withReplica(disk, undefined, false, (replica) =>
        inTime(leader, async (source) => {
          const follower = await twice(() => followAll(replica, source));
          disk.mark({ acknowledged: LAST });
          await twice(() => replica.snapshot().result);
          await follower.close();
          await twice(() => promote(replica, source, disk));
          await propose(disk, replica, 2);
          await twice(() => replica.snapshot().result);
          await propose(disk, replica, 1);
        })),
    async recover(disk, promised) {
      const { acknowledged, files } = summed(promised);
      await withReplica(disk, files, false, (replica) =>
        inTime(leader, async (source) => {
          await isOfHistory(replica, acknowledged, leader);
          await promote(replica, source, disk);
          await propose(disk, replica, 1);
          await twice(() => replica.snapshot().result);
          await isOfHistory(replica, replica.status().lastIndex, leader);
        }));
      assert.equal(disk.counts.open, 0, "Files are open");
    },
  };
}

/** All flows of followers. */
export async function followerFlows(): Promise<Flow<ReplicaMark>[]> {
  return [
    followerFlow("a follower that installs, follows and is promoted", await Leader.make(true)),
    followerFlow("a follower that has all of a log, purges it and is promoted", await Leader.make(false)),
  ];
}

const BUCKET = "/volume/backup";

/** A backup in a directory: what was uploaded is restored, and is the leader's. */
export function backupFlow(): Flow<bigint> {
  let leader = new Leader();
  /** Backs up to the next few entries, and says so. */
  const backUp = (disk: SimulatedDisk<bigint>, upTo: readonly bigint[]): Promise<void> =>
    inFakeTime(() =>
      leader.with(async (replica) => {
        const bucket = await twice(() => DirectoryBucket.open(BUCKET, { disk }));
        const failed = Promise.withResolvers<never>();
        failed.promise.catch(() => {});
        const backup = await twice(() =>
          Backup.start(replica, bucket, {
            retain: 1,
            onEvent(event) {
              if (event.type === "failed" && event.failures === PATIENCE) failed.reject(event.error);
            },
          })
        );
        try {
          for (const index of upTo) {
            await leader.lead(replica, index);
            await twice(() => Promise.race([backup.flush(), failed.promise]));
            disk.mark(index);
          }
        } finally {
          await backup.close();
        }
      })
    );
  return {
    name: "a backup, and its restore",
    prepare: () => Promise.resolve(),
    run(disk) {
      leader = new Leader();
      return backUp(disk, [5n, 9n, LAST]);
    },
    async recover(disk, promised) {
      const acknowledged = promised.at(-1) ?? 0n;
      const bucket = await DirectoryBucket.open(BUCKET, { disk });
      const restored = async () => {
        const own = machine(false);
        const { index } = await restoreBackup(own, bucket).catch((error) => {
          if (error instanceof SnapshotError && error.code === "NOT_FOUND") return { index: 0n };
          throw error;
        });
        assert.deepEqual([...own.entries()].sort(), stateAt(index), `restored to ${index}`);
        return index;
      };
      assert.isTrue(await restored() >= acknowledged, `Entry ${acknowledged} was acknowledged`);
      await backUp(disk, [LAST]);
      assert.equal(await restored(), LAST);
      assert.deepEqual((await verifyBackup(bucket).result).problems, []);
    },
  };
}
