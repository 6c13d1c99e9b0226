/**
 * Snapshots of state machines as Web Streams: take them without stopping the machine, store them so that no crash or
 * bad disk loses one, ship them over `fetch` from any number of sources, install them, and compact the log behind them.
 *
 * This is the core: it runs on Deno, Node, Bun, workerd and in browsers, and needs no disk. `DirectoryStorage` is in
 * `@snapstream/snapstream/fs`, `SqliteLog` in `@snapstream/snapstream/sqlite`.
 *
 * Where to begin, by category:
 *
 * - **State**: {@linkcode KeyValueMachine}, {@linkcode KeyedState} and {@linkcode CowMap} in memory,
 *   {@linkcode StoredState} in a database; or any {@linkcode StateMachine}.
 * - **Storage**: {@linkcode MemoryStorage}, {@linkcode EncryptedStorage}, and the contract {@linkcode SnapshotStorage}.
 * - **Replica**: {@linkcode Replica} ties machine, log and storage together.
 * - **Transfer**: {@linkcode snapshotHandler} serves snapshots, {@linkcode pull} and {@linkcode push} move them,
 *   {@linkcode archive} makes one stream of one.
 * - **Streams**: {@linkcode chunked}, {@linkcode verified}, {@linkcode throttled}, {@linkcode pump}, as plain stages.
 * - **Errors**: {@linkcode SnapshotError}, with a code and fields; {@linkcode hasCode} tells them apart.
 *
 * @example A state machine, snapshotted while it runs
 * ```ts
 * import { KeyValueMachine, MemoryLog, MemoryStorage, Replica, utf8Codec } from "@snapstream/snapstream";
 *
 * const machine = new KeyValueMachine(utf8Codec());
 * const replica = await Replica.open({ machine, log: new MemoryLog(), storage: new MemoryStorage() });
 * await replica.propose(machine.put("hello", "world"));
 * const { snapshot } = await replica.snapshot();
 * console.assert(snapshot?.meta.lastIncludedIndex === 1n);
 * await replica.close();
 * ```
 *
 * @module
 */

export { hasCode, SnapshotError, type SnapshotErrorCode, type SnapshotErrorFields } from "./src/errors.ts";
export { Operation, type Progress } from "./src/async/mod.ts";
export {
  chunked,
  type Chunking,
  ChunkMap,
  contentDefined,
  type ContentDefinedOptions,
  DEFAULT_CHUNK_SIZE,
  digested,
  type DigestedChunk,
  MAX_CHUNK_SIZE,
  MIN_CHUNK_SIZE,
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
  type CommitOptions,
  completeManifest,
  type CreateOptions,
  type DamagedSnapshot,
  ed25519Signer,
  ed25519Verifier,
  type FileInfo,
  type FileOptions,
  type QuarantinedSnapshot,
  type ReadOptions,
  type SnapshotInfo,
  type SnapshotInstall,
  type SnapshotLimits,
  SnapshotManifest,
  type SnapshotMeta,
  type SnapshotReader,
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
export {
  type Applied,
  bytesCodec,
  bytesMachine,
  type BytesMachineOptions,
  type Codec,
  type CodecVersion,
  type CommandCodec,
  commandCodec,
  type Configuration,
  CowMap,
  CowView,
  defaultMaxParallelism,
  type DurablyApplied,
  type IncrementalOptions,
  intKeys,
  jsonCodec,
  type KeyCodec,
  KeyedState,
  type KeyedStateOptions,
  keyGroupOf,
  type KeyGroupRange,
  keyGroupRange,
  KeyValueMachine,
  type KeyValueOptions,
  type ListState,
  type LogEntry,
  longKeys,
  type MapState,
  restore,
  type RestoreOptions,
  save,
  type SaveOptions,
  type SaveTask,
  type StateMachine,
  StoredState,
  stringKeys,
  utf8Codec,
  type ValueState,
  versioned,
  type VersionedOptions,
  workerOf,
} from "./src/state/mod.ts";
export {
  decryptedReader,
  EncryptedStorage,
  encryptedWriter,
  type EncryptionKey,
  MemoryStorage,
  type StorageOptions,
} from "./src/storage/mod.ts";
export { type LogStorage, MemoryLog, type SharedLog } from "./src/log/mod.ts";
export {
  type Clock,
  type ExecutorEvent,
  type ExecutorMetrics,
  type ExecutorOptions,
  type ExecutorState,
  type Follower,
  type InstallOptions,
  type InstallResult,
  type Member,
  type NotifiedSources,
  type PurgeOptions,
  Replica,
  type ReplicaOptions,
  type ReplicaPushOptions,
  type ReplicaStatus,
  type RetryOptions,
  type SaveResult,
  type SnapshotOptions,
  systemClock,
  type TriggerOptions,
  type UnusableSnapshot,
} from "./src/executor/mod.ts";
export {
  type CorsOrigins,
  type InstallNotification,
  type ListedSnapshot,
  type LivePushOptions,
  type NotificationReply,
  type NotificationResult,
  notifyInstall,
  type NotifyOptions,
  openRemote,
  pull,
  type PulledSource,
  type PullOptions,
  type PullResult,
  push,
  pushLive,
  type PushOptions,
  type RemoteOptions,
  type SnapshotHandler,
  snapshotHandler,
  type SnapshotHandlerOptions,
  type SnapshotTarget,
  type Source,
  type SourceOptions,
} from "./src/transfer/mod.ts";
