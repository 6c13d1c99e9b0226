/**
 * Snapshots that other systems wrote: detected, opened, verified, listed. Runs everywhere; files of a disk come from
 * `sourceFiles` of `@snapstream/snapstream/fs`.
 *
 * ```ts
 * import { blobFiles, SYSTEMS } from "@snapstream/snapstream/formats";
 *
 * console.assert(SYSTEMS.includes("consul"));
 * console.assert(blobFiles(new Blob(["x"]), "a").entries.length === 1);
 * ```
 *
 * What is opened is a `SnapshotReader`, so that archives, servers, pulls and pushes take it unchanged. What each format
 * is checked for, and what it has no checksum of, is in `src/README.md` of the repository, and in the result of
 * `verify`.
 *
 * ## Moving from Ratis
 *
 * | Ratis | here |
 * |---|---|
 * | `StateMachine.applyTransaction`, `takeSnapshot`, `reinitialize` | `apply`, `save`, `load` (and `reinitialize`) |
 * | `raft.server.snapshot.auto.trigger.threshold` (400000) | `triggers.entries` (400000) |
 * | `raft.server.snapshot.creation.gap` (1024) | `creationGap` of a handler, `triggers.gap` of a replica |
 * | `raft.server.snapshot.retention.file.num` | `retain`, also by age, or a function |
 * | `raft.server.log.purge.gap` (1024), `purge.upto.snapshot.index` | `purge.gap`, `purge.upToSnapshotIndex` |
 * | notification of an install, `notifyInstallSnapshotFromLeader` | `notifyInstall`, `onNotification` |
 * | `MD5FileUtil` | SHA-256 of each chunk; `writeFormat` writes the MD5 that Ratis wants |
 * | disk-based machines | `durable`, `flush` of a machine; `StoredState` |
 *
 * ### The state of Ratis's newest snapshot, in a storage of one's own, and back again
 *
 * ```ts
 * import { archive, MemoryStorage, unarchive } from "@snapstream/snapstream";
 * import { blobFiles, openFormat, writeFormat } from "@snapstream/snapstream/formats";
 *
 * const theirs = openFormat(blobFiles(new Blob(["state"]), "snapshot.3_17")); // of a disk: `sourceFiles("…/sm")`
 * const reader = await theirs;
 * const storage = new MemoryStorage();
 * await unarchive(archive(reader), storage); // has digests from here on
 * await reader.close();
 *
 * const ours = await storage.open();
 * console.assert(ours.manifest.meta.lastIncludedIndex === 17n && ours.manifest.meta.lastIncludedTerm === 3n);
 * const names: string[] = [];
 * for await (const { name, content } of writeFormat(ours, { system: "ratis" })) {
 *   names.push(name);
 *   await content.pipeTo(new WritableStream()); // a file of the disk, in your case
 * }
 * console.assert(names.includes("snapshot.3_17"));
 * await ours.close();
 * ```
 *
 * ## Moving from Flink
 *
 * Checkpoints and savepoints of Flink 1.15 to 2.1 are read: keyed state (heap, and canonical savepoints) key by key
 * with its values, by key group; operator and broadcast state; RocksDB's tables are verified, and not read. Take a
 * savepoint in canonical format (`--type canonical`) if the job runs on RocksDB.
 *
 * | Flink | here |
 * |---|---|
 * | keyed state: `ValueState`, `ListState`, `MapState` | `KeyedState`, `StoredState`: `value`, `list`, `map` |
 * | key groups, `maxParallelism`, rescaling | the same hash and ranges: `keyGroupOf`, `keyGroupRange` |
 * | synchronous and asynchronous part of a snapshot | `save()`, and the task that it returns |
 * | incremental checkpoints | `incremental: true` |
 * | `TypeSerializerSnapshot`, schema evolution | `versioned` |
 * | barriers, sources, the job graph | none: one log, by `Replica` |
 *
 * ### The values of one of Flink's states, as keyed state of one's own
 *
 * ```ts
 * import { cborCodec } from "@snapstream/snapstream/cbor";
 * import { KeyedState, stringKeys } from "@snapstream/snapstream";
 * import { openFormat, type SourceFiles } from "@snapstream/snapstream/formats";
 *
 * // `files` is `await sourceFiles("savepoint-…")`; `space` as `snapstream inspect` names it: operator/state.
 * async function fromFlink(files: SourceFiles, space: string) {
 *   const reader = await openFormat(files, { system: "flink" });
 *   const state = new KeyedState({ keys: stringKeys() });
 *   const values = state.value("values", cborCodec<unknown>());
 *   for await (const { key, value } of reader.entries({ space })) values.set(String(key), value);
 *   await reader.close();
 *   return { state, values }; // `save(state, storage)`, or the state of a machine
 * }
 * console.assert(fromFlink.length === 2);
 * ```
 *
 * HashiCorp raft and Consul, etcd, JRaft, Redis and SQLite are read in the same way. What can be written is in
 * {@linkcode WRITABLE_SYSTEMS}.
 *
 * @module
 */

export * from "./format/mod.ts";
