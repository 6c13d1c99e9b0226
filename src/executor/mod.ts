/**
 * The order of triggers, saves, installs, retention and purges; and the replica on top.
 *
 * @module
 */

export { type Clock, systemClock } from "./clock.ts";
export type { Beginning, UnusableSnapshot } from "./counted.ts";
export * from "./events.ts";
export * from "./executor.ts";
export * from "./follow_options.ts";
export * from "./follower.ts";
export type { Leadership, Role } from "./leadership.ts";
export { FsmCaller, type FsmListener, type MachineCallback, type Prepared, type Synced } from "./fsm_caller.ts";
export type { ReplicaPushOptions } from "./live.ts";
export * from "./options.ts";
export { type Member, purgeIndex, type PurgeOptions, type PurgeState } from "./purge.ts";
export type { InstallOptions } from "./receivers.ts";
export * from "./replica.ts";
export * from "./replica_options.ts";
export type { ReplicaStatus } from "./status.ts";
export type { RetryOptions, TriggerOptions } from "./triggers.ts";
export { closeGiven } from "./durable.ts";
