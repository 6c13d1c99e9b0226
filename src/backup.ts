/**
 * Continuous backup: the log of a replica in a bucket within a second, its snapshots beside it, and any point of it
 * restored.
 *
 * A backup is one writer below one prefix of a bucket (`S3Bucket`, `R2BindingBucket`, `JetStreamBucket`,
 * `DirectoryBucket`, `MemoryBucket`). Each entry is there within `interval` (a second), compressed, each segment with a
 * digest; the snapshots are there too, and the log of the replica is not purged past what the bucket has.
 * `verifyBackup` finds every changed byte, hole and exchanged segment; `copyBackup` puts a point of it into a storage
 * and a log.
 *
 * ## Backed up, lost, and restored to a point in time
 *
 * ```ts
 * import { KeyValueMachine, MemoryLog, MemoryStorage, Replica, utf8Codec } from "@snapstream/snapstream";
 * import { Backup, copyBackup, restoreBackup, verifyBackup } from "@snapstream/snapstream/backup";
 * import { MemoryBucket } from "@snapstream/snapstream/object";
 *
 * const open = (log = new MemoryLog(), storage = new MemoryStorage()) =>
 *   Replica.open({ machine: new KeyValueMachine(utf8Codec()), log, storage });
 * const bucket = new MemoryBucket();
 * const replica = await open();
 * const backup = await Backup.start(replica, bucket, { prefix: "cities/" });
 * await replica.propose(replica.machine.put("Ulm", "120714"));
 * await replica.propose(replica.machine.put("Ulm", "a slip of the hand"));
 * await backup.close(); // sends what is left
 * await replica.close(); // and its disk burns
 *
 * const { problems } = await verifyBackup(bucket, { prefix: "cities/" });
 * console.assert(problems.length === 0);
 * const machine = new KeyValueMachine(utf8Codec()); // only the state, as it was after entry 1
 * await restoreBackup(machine, bucket, { prefix: "cities/", index: 1n }); // or `time`; by default the newest
 * console.assert(machine.get("Ulm") === "120714");
 *
 * const to = { log: new MemoryLog(), storage: new MemoryStorage() }; // or a replica that goes on from there
 * await copyBackup(bucket, to, { prefix: "cities/", index: 1n });
 * const again = await open(to.log, to.storage);
 * console.assert(again.machine.get("Ulm") === "120714");
 * await again.close();
 * ```
 *
 * Who loses what, and when, is told in `src/README.md` of the repository ("Leaders and followers").
 *
 * @module
 */

export { Backup } from "./backup/backup.ts";
export type { BackedUp, BackupEvent, BackupOptions, BackupStatus } from "./backup/options.ts";
export type { Compression } from "./backup/segment.ts";
export { copyBackup, restoreBackup, type RestoreBackupOptions, type RestoredPoint } from "./backup/restore.ts";
export { type BackupReport, verifyBackup } from "./backup/verify.ts";
