/**
 * Continuous backup: the log of a replica in a bucket within a second, its snapshots beside it, and any point of it
 * restored.
 *
 * @module
 */

export { Backup } from "./backup/backup.ts";
export type { BackedUp, BackupEvent, BackupOptions, BackupStatus } from "./backup/options.ts";
export type { Compression } from "./backup/segment.ts";
export { copyBackup, restoreBackup, type RestoreBackupOptions, type RestoredPoint } from "./backup/restore.ts";
export { type BackupReport, verifyBackup } from "./backup/verify.ts";
