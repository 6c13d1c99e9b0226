/**
 * SQLite files: how large they are, and how they shrink.
 *
 * @module
 */

export * from "./pages.ts";
