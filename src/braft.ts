/**
 * Snapshots to and from braft's nodes, over braft's own protocol. On Node, Deno and Bun.
 *
 * ## Moving from braft
 *
 * | braft | here |
 * |---|---|
 * | `StateMachine::on_apply`, `on_snapshot_save`, `on_snapshot_load` | `apply`, `save`, `load` of a `StateMachine` |
 * | `on_snapshot_save(writer, done)`, which you make asynchronous | `save()` takes the view, its task writes the rest |
 * | `SnapshotWriter::add_file`, `SnapshotReader::list_files` | `writer.file`, `writer.add`; `reader.manifest.files` |
 * | `snapshot_interval_s` (3600) | `triggers.interval` (3600000 ms) |
 * | `SnapshotThrottle`, `ThroughputSnapshotThrottle` | `Throttle` |
 * | `filter_before_copy_remote` | always: a chunk that is here is not fetched |
 * | `InstallSnapshot` over `remote://` | `serveBraft`, `pullBraft`; or `push`, `pull` over `fetch` |
 * | `local://` storage: `snapshot_…/__raft_snapshot_meta` | the same bytes: `DirectoryStorage` |
 * | consensus, log storage | none: one leader, by `follow` and `promote`; or NATS JetStream |
 *
 * `DirectoryStorage` opens a directory that braft wrote as it is, and braft opens one that this library wrote: what is
 * added (digests, sizes, signatures) is in fields that braft keeps. Of what braft wrote there are no digests; from the
 * first save on there are.
 *
 * ### Opening what braft left, and going on from it
 *
 * ```ts
 * import { MemoryLog, Replica, type StateMachine } from "@snapstream/snapstream";
 * import { DirectoryStorage } from "@snapstream/snapstream/fs";
 *
 * // `directory` is that of `local://directory`; `load` of the machine reads the files that braft's machine wrote.
 * async function fromBraft(directory: string, machine: StateMachine): Promise<Replica<StateMachine>> {
 *   const storage = await DirectoryStorage.open(directory);
 *   return await Replica.open({ machine, log: new MemoryLog(), storage }); // the log begins after the snapshot
 * }
 * console.assert(fromBraft.length === 2);
 * ```
 *
 * Stop braft when its log is applied and a snapshot of all of it is taken (`Node::snapshot`): its log is not read.
 * Followers that still run braft copy snapshots by {@linkcode serveBraft}, and a follower here from a leader that still
 * runs it by {@linkcode pullBraft}.
 *
 * @module
 */

export * from "./braft/pull.ts";
export * from "./braft/server.ts";
