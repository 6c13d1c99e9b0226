// Stand-in for @std/path: the functions that Snapstream uses, on `node:path`. See "links" in deno.json.
import * as path from "node:path";

export function join(path_: string | URL, ...paths: string[]): string {
  return path.join(String(path_), ...paths);
}

export function dirname(path_: string | URL): string {
  return path.dirname(String(path_));
}
