// Stand-in for @std/path: the functions that Snapstream uses, on `node:path`. See "links" in deno.json.
import * as path from "node:path";
import { checked, pathOf } from "./text.ts";

export function join(path_: string | URL, ...paths: string[]): string {
  if (path_ === undefined) return "."; // as the real one has it, for callers without types
  const first = path_ instanceof URL ? pathOf(path_) : path_;
  return path.join(...(first ? [first, ...paths] : paths).map(checked));
}

export function dirname(path_: string | URL): string {
  // `node:path` leaves all but one of the slashes after the directory: `a/` of `a//b`.
  return path.dirname(pathOf(path_)).replace(/(?<=.)\/+$/s, "");
}
