/**
 * Snapshots of state machines as Web Streams: take them without stopping the machine, store them so that no crash or bad
 * disk loses one, ship them over `fetch` from any number of sources, install them, and compact the log behind them.
 *
 * This is the core: it runs on Deno, Node, Bun, workerd and in browsers, and needs no disk. `DirectoryStorage` is in
 * `@snapstream/snapstream/fs`, `SqliteLog` in `@snapstream/snapstream/sqlite`.
 *
 * @example A state machine, snapshotted while it runs
 * ```ts
 * import { KeyValueMachine, MemoryLog, MemoryStorage, Replica, utf8Codec } from "@snapstream/snapstream";
 *
 * const machine = new KeyValueMachine(utf8Codec());
 * const replica = await Replica.open({ machine, log: new MemoryLog(), storage: new MemoryStorage() });
 * await replica.propose(machine.put("hello", "world"));
 * const { snapshot } = await replica.snapshot().result;
 * console.assert(snapshot?.meta.lastIncludedIndex === 1n);
 * await replica.close();
 * ```
 *
 * @module
 */

export {
  hasCode,
  SnapshotError,
  type SnapshotErrorCode,
  type SnapshotErrorFields,
  type SnapshotErrorOptions,
} from "./src/errors.ts";
export { Operation, type Progress, Tracker } from "./src/async/mod.ts";
export {
  chunked,
  type Chunking,
  ChunkMap,
  ChunkSet,
  contentDefined,
  type ContentDefinedOptions,
  DEFAULT_CHUNK_SIZE,
  digested,
  type DigestedChunk,
  type DigestedOptions,
  MAX_CHUNK_SIZE,
  MIN_CHUNK_SIZE,
  type PassedBytes,
  progress,
  pump,
  type PumpOptions,
  Throttle,
  throttled,
  type VerifiableFile,
  verified,
} from "./src/stream/mod.ts";
export {
  archive,
  type ArchiveOptions,
  type BadChunk,
  type ByteRange,
  checkName,
  type CheckOptions,
  type ChunkedFile,
  type ChunkRun,
  type CommitOptions,
  completeManifest,
  type CreateOptions,
  ed25519Signer,
  ed25519Verifier,
  type FileAttributes,
  type FileEncryption,
  type FileInfo,
  type FileOptions,
  type FilePart,
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
  type QuarantinedSnapshot,
  type ReadOptions,
  SnapshotContent,
  type SnapshotInfo,
  type SnapshotInstall,
  SnapshotManifest,
  type SnapshotMeta,
  type SnapshotReader,
  type SnapshotSeal,
  type SnapshotSigner,
  type SnapshotStorage,
  type SnapshotVerifier,
  type SnapshotWriter,
  streamedArchive,
  type StreamedArchiveOptions,
  type TrustedKey,
  unarchive,
  type UnarchiveOptions,
  type UnreadableSnapshot,
  type VerifyOptions,
  type VerifyResult,
  type WriteFiles,
} from "./src/snapshot/mod.ts";
export * from "./src/state/mod.ts";
export * from "./src/storage/mod.ts";
export * from "./src/log/mod.ts";
export * from "./src/executor/mod.ts";
export * from "./src/transfer/mod.ts";
