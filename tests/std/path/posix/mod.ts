// Stand-in for @std/path/posix: the functions that Snapstream uses. No `node:path` here: the edge-safe part of the
// library imports it, and workerd without `nodejs_compat` has none.
import { checked, pathOf } from "../text.ts";

export function isAbsolute(path: string): boolean {
  return checked(path).startsWith("/");
}

export function normalize(path: string | URL): string {
  const text = pathOf(path);
  const absolute = text.startsWith("/");
  const parts: string[] = [];
  for (const part of text.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.length > 0 && parts.at(-1) !== "..") parts.pop();
    else if (!absolute) parts.push(part);
  }
  if (parts.length === 0) return absolute ? "/" : text.endsWith("/") ? "./" : ".";
  return (absolute ? "/" : "") + parts.join("/") + (text.endsWith("/") ? "/" : "");
}
