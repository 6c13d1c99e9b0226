// Stand-in for @std/fs: the functions that Snapstream uses, on `node:fs/promises`. See "links" in deno.json.
import { mkdir } from "node:fs/promises";

export async function ensureDir(dir: string | URL): Promise<void> {
  await mkdir(dir, { recursive: true });
}
