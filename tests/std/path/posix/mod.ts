// Stand-in for @std/path/posix: the functions that Snapstream uses. No `node:path` here: the edge-safe part of the
// library imports it, and workerd without `nodejs_compat` has none.

export function isAbsolute(path: string): boolean {
  return path.startsWith("/");
}

export function normalize(path: string | URL): string {
  const text = String(path);
  if (text === "") return ".";
  const absolute = text.startsWith("/");
  const parts: string[] = [];
  for (const part of text.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.length > 0 && parts.at(-1) !== "..") parts.pop();
    else if (!absolute) parts.push(part);
  }
  const joined = parts.join("/") + (text.endsWith("/") && parts.length > 0 ? "/" : "");
  return (absolute ? "/" : "") + joined || ".";
}
