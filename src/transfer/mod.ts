/**
 * Snapshots between machines, over HTTP.
 *
 * @module
 */

export type { CorsOrigins } from "./cors.ts";
export * from "./handler.ts";
export type { InstallNotification, NotificationReply, NotificationResult } from "./notification.ts";
export { notifyInstall, type NotifyOptions } from "./notify.ts";
export { pull, type PulledSource, type PullOptions, type PullResult } from "./pull.ts";
export { type LivePushOptions, push, pushLive, type PushOptions } from "./push.ts";
export type { SnapshotTarget } from "./reception.ts";
export { openRemote, type RemoteOptions } from "./remote.ts";
export type { Source, SourceOptions } from "./source.ts";
export type { ListedSnapshot } from "./wire.ts";
