/**
 * A page for a server of snapshots: see {@linkcode page}. Runs wherever a handler does, also on a Worker.
 *
 * @module
 */

export { page } from "./page/mod.ts";
