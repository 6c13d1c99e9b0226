/**
 * Continuous backup: the log of a replica in a bucket within a second, its snapshots beside it, and any point of it
 * restored.
 *
 * @module
 */

export { type BackedUp, Backup, type BackupEvent, type BackupOptions, type BackupStatus } from "./backup/backup.ts";
export type { Compression } from "./backup/segment.ts";
export {
  type BackupReport,
  copyBackup,
  restoreBackup,
  type RestoreBackupOptions,
  type RestoredPoint,
  verifyBackup,
} from "./backup/restore.ts";
