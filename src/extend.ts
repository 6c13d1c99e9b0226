/**
 * The parts for authors of storages, media, databases, logs and codecs. Programs need `@snapstream/snapstream` only.
 *
 * @example A file that any storage can read is read out of a reader by ranges of its content
 * ```ts
 * import { archive, MemoryStorage } from "@snapstream/snapstream";
 * import { SnapshotContent } from "@snapstream/snapstream/extend";
 *
 * await using storage = new MemoryStorage();
 * const writer = await storage.create();
 * await ReadableStream.from([new TextEncoder().encode("hello")]).pipeTo(writer.file("greeting"));
 * await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
 * await using reader = await storage.open();
 * const content: SnapshotContent = reader.manifest.content;
 * console.assert(content.size === 5);
 * await archive(reader).cancel();
 * ```
 *
 * @module
 */

export { type FailingTask, Tracker } from "./async/mod.ts";
export type { SnapshotErrorOptions } from "./errors.ts";
export { ChunkSet, type DigestedOptions, type PassedBytes } from "./stream/mod.ts";
export type { Disk, DiskEntry, DiskFile, DiskLock, DiskStat } from "./fs/mod.ts";
export {
  checkName,
  type CheckOptions,
  type ChunkedFile,
  type ChunkSpan,
  type FileAttributes,
  type FileEncryption,
  type FilePart,
  type FileReader,
  type FileWriter,
  FORMAT_VERSION,
  type KeyGroupOffsets,
  type LocatedChunk,
  MANIFEST_NAME,
  MAX_FILES,
  MAX_INDEX,
  MAX_KEY_GROUPS,
  MAX_MANIFEST_BYTES,
  MAX_NAME_BYTES,
  type PrepareOptions,
  type SnapshotAt,
  SnapshotContent,
  type SnapshotSeal,
} from "./snapshot/mod.ts";
export {
  type Block,
  type Change,
  type CowChanges,
  type Decoders,
  type Engine,
  type EngineView,
  hashLong,
  hashString,
  murmurHash,
  type Pair,
  type Readable,
  type SavedUpTo,
  type StoredList,
  type StoredMap,
  type StoredValue,
} from "./state/mod.ts";
export {
  type AddContext,
  addLocal,
  type LocalFile,
  type LocalFiles,
  type Medium,
  type MediumFile,
  MediumStorage,
  type OpenLocalFile,
  type Place,
  type PlacedSnapshot,
  type Places,
  type PlaceWriter,
  type QuarantinedPlace,
  type ReadablePlace,
  type ReceivedSnapshot,
  type RetentionFunction,
  type RetentionLimits,
  type SnapshotFloor,
  type StoredSnapshot,
  type WrittenChunk,
} from "./storage/mod.ts";
export {
  checkFollows,
  type EncodedBatch,
  type EntryRow,
  type KnownFollower,
  type LogAnswers,
  type LogProposeOptions,
  type LogStatus,
  type ServedLog,
  type SqlBatch,
  type SqlBounds,
  type SqlDigest,
  SqlLog,
  type SqlPosition,
  type SqlTables,
  type SqlWrite,
} from "./log/mod.ts";
export {
  type Beginning,
  type ExecutorContext,
  type ExecutorFailure,
  type FollowerContext,
  type FollowerEvent,
  type FollowerStatus,
  type FollowOptions,
  FsmCaller,
  type FsmListener,
  type Leadership,
  type MachineCallback,
  type Prepared,
  purgeIndex,
  type PurgeState,
  type Receiver,
  type Role,
  SnapshotExecutor,
  type Synced,
} from "./executor/mod.ts";
