/**
 * Snapshots between machines, over HTTP.
 *
 * @module
 */

export * from "./handler.ts";
export { pull, type PullOptions, type PullResult, type Source } from "./pull.ts";
export { push, type PushOptions } from "./push.ts";
export { openRemote, type RemoteOptions } from "./remote.ts";
export type { SourceOptions } from "./source.ts";
export type { ListedSnapshot } from "./wire.ts";
