// What a replica does with its storage and a real log: each to be crashed in at every operation. After each crash the state
// is what was acknowledged; and it is that too if the newest snapshot then turns out to be damaged.

import { archive, KeyValueMachine, MemoryLog, MemoryStorage, Replica, SnapshotError, utf8Codec } from "../../mod.ts";
import { SqliteLog } from "../../src/sqlite.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { assert, bytesOf } from "../support/harness.ts";
import { inTemp, memoryDirectory } from "../support/temp.ts";
import type { Flow } from "./flows.ts";
import { namesIn } from "./image.ts";
import { filesOf, type LogFiles, putFiles } from "./log_files.ts";
import { flip, RETAIN, ROOT, twice } from "./promise.ts";
import { SimulatedDisk } from "./simulated_disk.ts";

/** The log is this from now on; or all entries up to one are acknowledged. */
export type ReplicaMark = { readonly log: LogFiles } | { readonly acknowledged: bigint };

export type Machine = KeyValueMachine<string>;
export type Disk = SimulatedDisk<ReplicaMark>;

const KEYS = 5;
/** The snapshot that another node sends. */
const INSTALLED = 40n;
/** With deltas for every two snapshots of three, however large they are. */
const DELTAS = { maxShare: 100, maxDeltas: 2 };
export const machine = (incremental: boolean): Machine =>
  new KeyValueMachine(utf8Codec(), { incremental: incremental && DELTAS, maxParallelism: 4 });

/** Entry `i` puts `i`; so the state follows from the last entry. */
export const command = (machine: Machine, index: bigint): Uint8Array =>
  machine.put(`k${index % BigInt(KEYS)}`, String(index));

export function stateAt(index: bigint, but = 0n): [string, string][] {
  const state = new Map<string, string>();
  for (let i = 1n; i <= index; i++) if (i !== but) state.set(`k${i % BigInt(KEYS)}`, String(i));
  return [...state].sort();
}

/** A log that tells the disk what it is after each change: so much of it survives a crash then. */
async function openLog(path: string, disk: Disk): Promise<SqliteLog> {
  const log = await SqliteLog.open(path);
  const told = <A extends unknown[]>(verb: (...args: A) => Promise<void>) => async (...args: A): Promise<void> => {
    await verb.apply(log, args);
    disk.mark({ log: filesOf(path) });
  };
  log.append = told(log.append);
  log.purge = told(log.purge);
  log.reset = told(log.reset);
  log.bindDigest = told(log.bindDigest);
  return log;
}

/** A replica on a disk, with the log that was there. */
export async function withReplica(
  disk: Disk,
  files: LogFiles | undefined,
  incremental: boolean,
  work: (replica: Replica<Machine>) => Promise<void>,
): Promise<void> {
  // What survives of the log is in the marks of the simulated disk.
  await inTemp(async (directory) => {
    const path = `${directory}/log.db`;
    if (files !== undefined) putFiles(path, files);
    const log = await openLog(path, disk);
    disk.mark({ log: filesOf(path) });
    const storage = await twice(() => DirectoryStorage.open(ROOT, { disk }));
    const triggers = { interval: 0, entries: 0 };
    const replica = await twice(() =>
      Replica.open({ machine: machine(incremental), log, storage, triggers, purge: { gap: 1 } })
    );
    try {
      await work(replica);
    } finally {
      await replica.close().catch((error) => assert.instanceOf(error, SnapshotError)); // and closed it is, all the same
    }
  }, await memoryDirectory());
}

export async function propose(disk: Disk, replica: Replica<Machine>, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const { index } = await replica.propose(command(replica.machine, replica.status().appliedIndex + 1n));
    disk.mark({ acknowledged: index });
  }
}

/** Fails unless a replica has what was acknowledged, and its log what falling back to the oldest snapshot needs. */
function isWhole(replica: Replica<Machine>, acknowledged: bigint, disk: Disk): void {
  const { appliedIndex, firstIndex } = replica.status();
  assert.isTrue(
    appliedIndex >= acknowledged,
    `Entry ${acknowledged} was acknowledged, and ${appliedIndex} is the last`,
  );
  assert.deepEqual([...replica.machine.entries()].sort(), stateAt(appliedIndex));
  // Of those that are kept: one that could not be removed may be there still, and is no matter.
  const kept = namesIn(disk.image, ROOT).filter((name) => name.startsWith("snapshot_")).slice(-RETAIN);
  const oldest = kept[0] === undefined ? 0n : BigInt(kept[0].slice("snapshot_".length));
  // What an install passed over was never here: until the next save there is nothing to fall back to.
  assert.isTrue(
    firstIndex <= oldest + 1n || firstIndex === INSTALLED + 1n,
    `The log begins with ${firstIndex}, and the oldest snapshot is ${oldest}`,
  );
}

/** The highest index that was acknowledged, and the log. */
export function summed(marks: readonly ReplicaMark[]): { acknowledged: bigint; files: LogFiles | undefined } {
  let acknowledged = 0n;
  let files: LogFiles | undefined;
  for (const mark of marks) {
    if ("log" in mark) files = mark.log;
    else if (mark.acknowledged > acknowledged) acknowledged = mark.acknowledged;
  }
  return { acknowledged, files };
}

/** Damages the newest snapshot. */
async function damageNewest(disk: Disk): Promise<void> {
  const newest = namesIn(disk.image, ROOT).filter((name) => name.startsWith("snapshot_")).at(-1);
  if (newest === undefined) return;
  const [name] = namesIn(disk.image, `${ROOT}/${newest}/state`);
  const path = `${ROOT}/${newest}/state/${name}`;
  const { size } = (await disk.stat(path))!;
  await flip(disk, path, size >> 1);
}

function flow(
  name: string,
  incremental: boolean,
  run: (replica: Replica<Machine>, disk: Disk) => Promise<void>,
): Flow<ReplicaMark> {
  return {
    name,
    prepare: () => Promise.resolve(),
    run: (disk) => withReplica(disk, undefined, incremental, (replica) => run(replica, disk)),
    async recover(disk, promised) {
      const { acknowledged, files } = summed(promised);
      await withReplica(disk, files, incremental, async (replica) => {
        isWhole(replica, acknowledged, disk);
        await propose(disk, replica, 1);
        await twice(() => replica.snapshot().result);
        isWhole(replica, acknowledged + 1n, disk);
      });
      assert.equal(disk.counts.open, 0, "Files are open");
      if (incremental) return; // snapshots that share files share their fate, as documented
      const [image, now] = [disk.image, summed([...promised, ...disk.marks])];
      const damaged: Disk = new SimulatedDisk(image);
      await damageNewest(damaged);
      await withReplica(damaged, now.files, incremental, (replica) => {
        isWhole(replica, now.acknowledged, damaged);
        return Promise.resolve();
      });
    },
  };
}

/** An archive of the state at an index, as a leader sends it. */
async function archiveAt(index: bigint): Promise<Uint8Array> {
  const storage = new MemoryStorage();
  const leader = await Replica.open({ machine: machine(false), log: new MemoryLog(), storage });
  for (let i = 1n; i <= index; i++) await leader.propose(command(leader.machine, i));
  await leader.snapshot().result;
  const bytes = await bytesOf(archive(await storage.open()));
  await leader.close();
  return bytes;
}

/** All flows of a replica. */
export async function replicaFlows(): Promise<Flow<ReplicaMark>[]> {
  const sent = await archiveAt(INSTALLED);
  const saves = async (replica: Replica<Machine>, disk: Disk) => {
    for (let round = 0; round < 4; round++) {
      await propose(disk, replica, 3);
      await twice(() => replica.snapshot().result);
    }
    await propose(disk, replica, 1);
  };
  return [
    flow("saves of a replica, and the purge of its log", false, saves),
    flow("incremental saves of a replica, and the purge of its log", true, saves),
    flow("an install by a replica, whose log begins anew", false, async (replica, disk) => {
      await propose(disk, replica, 3);
      await twice(() => replica.snapshot().result);
      await propose(disk, replica, 2);
      await twice(() => replica.install(new Blob([sent.slice()]).stream()).result);
      disk.mark({ acknowledged: INSTALLED });
      await propose(disk, replica, 2);
      await twice(() => replica.snapshot().result);
    }),
  ];
}
