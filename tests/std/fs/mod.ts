// Stand-in for @std/fs: the functions that Snapstream uses, on `node:fs/promises`. See "links" in deno.json.
import { mkdir, stat } from "node:fs/promises";

export async function ensureDir(dir: string | URL): Promise<void> {
  // The real one looks first, and throws a plain error for what is there and no directory.
  const there = await stat(dir).catch(() => undefined);
  if (there?.isDirectory() === true) return;
  if (there !== undefined) {
    throw new Error(`Failed to ensure directory exists: expected 'dir', got '${there.isFile() ? "file" : undefined}'`);
  }
  await mkdir(dir, { recursive: true });
}
