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
 * The guides are the documentation of the modules:
 *
 * | what you want to do | where it is told |
 * |---|---|
 * | write a state machine, choose triggers and retention, restore, sign, encrypt | here, below |
 * | keep state by key, larger than memory, over releases | {@linkcode KeyedState}, {@linkcode StoredState} |
 * | keep snapshots, and files that are there already, on a disk | `./fs` |
 * | serve, pull and push; a leader and followers; mount it in Hono, Express, Deno, Bun or a Worker | `./serve` |
 * | back up, and restore to any point in time | `./backup` |
 * | keep snapshots in S3, R2, or any bucket | `./object` |
 * | run in a Durable Object; in a browser; on NATS JetStream | `./durable-object`; `./opfs`; `./jetstream` |
 * | look at it: a page; metrics and traces | `./page`; `./otel` |
 * | come from braft; from Ratis, Flink, HashiCorp raft, etcd, JRaft | `./braft`; `./formats` |
 *
 * ## A state machine of your own
 *
 * It is a class with three methods. Only `apply` changes the state; `save` takes a view between two commands, and what
 * it returns writes that view while commands go on being applied; `load` replaces all state, or throws and leaves it.
 *
 * ```ts
 * import { type LogEntry, MemoryLog, MemoryStorage, Replica, type SaveTask } from "@snapstream/snapstream";
 * import type { SnapshotReader, StateMachine } from "@snapstream/snapstream";
 *
 * class Votes implements StateMachine {
 *   votes = new Map<string, number>();
 *
 *   apply({ data }: LogEntry) { // on every replica in the same order; what it throws stops the replica
 *     const name = new TextDecoder().decode(data);
 *     this.votes.set(name, (this.votes.get(name) ?? 0) + 1);
 *   }
 *   save(): SaveTask {
 *     const view = [...this.votes]; // a copy, for small state: a `CowMap` gives a view at no cost
 *     return {
 *       write: (writer, signal) =>
 *         new Response(JSON.stringify(view)).body!.pipeTo(writer.file("votes.json"), { signal }),
 *       release() {}, // called once, whatever happens: what the view holds is let go of
 *     };
 *   }
 *   async load(reader: SnapshotReader) { // what does not verify is an error of the stream
 *     this.votes = new Map(await new Response(reader.file("votes.json")).json());
 *   }
 * }
 *
 * const storage = new MemoryStorage(); // on a disk: `DirectoryStorage` and `SqliteLog`
 * const replica = await Replica.open({ machine: new Votes(), log: new MemoryLog(), storage });
 * await replica.propose(new TextEncoder().encode("Ada")); // durable, then applied
 * const { snapshot } = await replica.snapshot();
 * console.assert(replica.machine.votes.get("Ada") === 1 && snapshot?.meta.lastIncludedIndex === 1n);
 * await replica.close();
 * ```
 *
 * Something that encodes itself (a Yjs document, an object as JSON) is a machine by {@linkcode bytesMachine}, and needs
 * no class; names and values are one by {@linkcode KeyValueMachine}. Files that are on the disk already are added, and
 * not copied through memory: see `./fs`. A machine may have {@linkcode StateMachine.validate}, which refuses a command
 * before it is in the log, and {@linkcode StateMachine.check}, which tries a snapshot of others before it counts.
 *
 * ## When snapshots are taken, which stay, and when the log is purged
 *
 * | option | default | what it does |
 * |---|---|---|
 * | `triggers.interval` | `3600000` | milliseconds between two snapshots, if anything was applied |
 * | `triggers.jitter` | `0.1` | by how much of itself the interval varies, so that replicas do not all save at once |
 * | `triggers.entries` | `400000` | entries since the last snapshot |
 * | `triggers.logBytes` | `0` | bytes of entries since the last snapshot |
 * | `triggers.logFactor` | `0` | the same, as a multiple of the last snapshot's size, from 1 MiB on |
 * | `triggers.onClose` | `false` | one more at the end |
 * | `triggers.gap` | `1` | entries without which `replica.snapshot()` takes none |
 * | `retry.initial` | `1000` | milliseconds after a save that failed; twice as long each time |
 * | `retry.max` | `60000` | the longest of these |
 * | `saveTimeout` | `600000` | milliseconds that a save may take |
 * | `stallTimeout` | `60000` | milliseconds that a save or an install may take without progress |
 * | `whileSaving` | `"wait"` | an install waits for a save, or cancels it (`"cancel"`) |
 * | `retain` (of a storage) | `2` | snapshots that stay: a number, `{ count, age }`, or a function over the list |
 * | `purge.gap` | `1024` | fewer entries than this are not worth a purge |
 * | `purge.preserve` | `0` | entries before the last that stay in any case |
 * | `purge.upToSnapshotIndex` | `false` | purges what living members still lack: they install a snapshot instead |
 * | `purge.safeIndexTimeout` | `600000` | milliseconds after which a silent member holds nothing back |
 * | `creationGap` (of a handler) | `1024` | entries without which a client's `POST` takes no snapshot |
 *
 * `0` is never, or no limit; `undefined` is the default. The newest snapshot stays in any case, and so does one that is
 * being read. The log is purged up to the oldest snapshot that is kept, so that falling back to it loses nothing.
 *
 * ## Restore
 *
 * {@linkcode Replica.open} restores by itself: it loads the newest snapshot that can be used, and applies the log after
 * it. Without a replica, {@linkcode save} and {@linkcode restore} do; a point in time is what `./backup` is for.
 *
 * ### Restoring without a replica, the newest or an older one
 *
 * ```ts
 * import { jsonCodec, KeyValueMachine, MemoryStorage, restore, save } from "@snapstream/snapstream";
 *
 * const storage = new MemoryStorage({ retain: 24 });
 * const cities = new KeyValueMachine(jsonCodec<number>());
 * cities.apply({ index: 1n, term: 1n, data: cities.put("Ulm", 120_714) });
 * await save(cities, storage); // index 1: here it is counted
 * cities.apply({ index: 2n, term: 1n, data: cities.put("Ulm", 128_928) });
 * await save(cities, storage);
 *
 * const restored = new KeyValueMachine(jsonCodec<number>());
 * await restore(restored, storage);
 * console.assert(restored.get("Ulm") === 128_928);
 * await restore(restored, storage, { index: 1n });
 * console.assert(restored.get("Ulm") === 120_714);
 * const reader = await storage.open({ at: Date.now() }); // the newest of a time; or `{ at: 1n }`, of an index
 * console.assert(reader.manifest.meta.lastIncludedIndex === 2n);
 * await reader.close();
 * ```
 *
 * ## Whom to trust
 *
 * With an Ed25519 signature a manifest may come from anyone. {@linkcode EncryptedStorage} hides state from disks and
 * from the nodes in between, and its seal binds all files to group, index, term and members, so that nobody can put
 * together of several snapshots what was never saved: what it says no to is `FORBIDDEN`, and stays where it is.
 *
 * ### Signed and encrypted, and fetched from mirrors that nobody trusts
 *
 * ```ts
 * import { ed25519Signer, ed25519Verifier, EncryptedStorage, MemoryStorage, pull } from "@snapstream/snapstream";
 * import { KeyValueMachine, save, snapshotHandler, utf8Codec } from "@snapstream/snapstream";
 *
 * const keys = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]) as CryptoKeyPair;
 * const stored = new MemoryStorage({ signer: ed25519Signer(keys) });
 * const secret = crypto.getRandomValues(new Uint8Array(32));
 * const encrypted = new EncryptedStorage(stored, [{ id: "2026", secret }]); // AES-256-GCM, chunk by chunk
 * const machine = new KeyValueMachine(utf8Codec());
 * machine.apply({ index: 1n, term: 1n, data: machine.put("hello", "world") });
 * await save(machine, encrypted);
 *
 * const mirror = snapshotHandler(stored); // has no secret, and needs none
 * const publicKey = new Uint8Array(await crypto.subtle.exportKey("raw", keys.publicKey));
 * const verifier = ed25519Verifier([{ publicKey }]); // several keys, while one replaces another
 * const { snapshot } = await pull(new MemoryStorage(), [{ url: "http://mirror", fetch: mirror }], { verifier });
 * console.assert(snapshot.meta.lastIncludedIndex === 1n);
 * await mirror.close();
 * ```
 *
 * Replicas of one state machine are a **group**; give it a name (`group`, of a replica, a log or a storage), and
 * snapshots say it, in their digest and so in every signature. A snapshot of another group is `FORBIDDEN` before
 * anything of it is written, by whatever way it comes; one that lies in a storage is left as it is. An existing group
 * gets its name by setting it on each member: until all have it, those that do and those that do not install nothing
 * from each other; saves and logs go on.
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
