/**
 * etcd: snapshots of its database, and of its raft.
 *
 * @module
 */

export { etcd } from "./backend.ts";
export { etcdSnap } from "./raft_snapshot.ts";
export { snapName, snapOfState } from "./snap_writer.ts";
