// One of several processes that save snapshots to a bucket that they share. Each saves the one after the newest, so that
// of those who try it one may win, and a list without gaps has lost none.

import process from "node:process";
import { SnapshotError } from "../../mod.ts";
import { ObjectStorage } from "../../src/object.ts";
import { toHex } from "../../src/stream/mod.ts";
import { noise } from "../support/harness.ts";
import { save } from "../support/object_storage.ts";
import { passing } from "../support/passing_bucket.ts";
import { openBucket } from "./buckets.ts";
import type { Line, Task } from "./history.ts";

const task: Task = JSON.parse(process.argv[2]!);
const say = (line: Line) => console.log(JSON.stringify(line));
const { bucket, close } = await openBucket(task.where);
/** How often this process has written the index. */
let indexWrites = 0;
const counting = passing(bucket, {
  async put(key, body, options) {
    const put = await bucket.put(key, body, options);
    if (key === "index" && put !== undefined) indexWrites++;
    return put;
  },
});
const storage = await ObjectStorage.open(counting, { retain: task.retain, grace: task.grace });
const shared = noise(100_000, 1);
const errors: Record<string, number> = {};
/** The digests of the snapshots that this process has seen. */
const seen = new Map<number, string>();
let newest = 0;

/** Looks whether what is listed follows from what was listed before. */
async function look(): Promise<void> {
  const list = (await storage.list()).filter(({ pinned }) => !pinned);
  const indices = list.map(({ meta }) => Number(meta.lastIncludedIndex));
  const expected = Array.from({ length: Math.min(indices[0] ?? 0, task.retain) }, (_, i) => indices[0]! - i);
  if (`${indices}` !== `${expected}` || (indices[0] ?? 0) < newest) {
    throw new Error(`Lost: the list is ${indices}, and the newest was ${newest}`);
  }
  newest = indices[0] ?? 0;
  for (const { meta, digest } of list) {
    const [index, hex] = [Number(meta.lastIncludedIndex), toHex(digest)];
    if (seen.has(index) && seen.get(index) !== hex) throw new Error(`Lost: snapshot ${index} is another one now`);
    if (!seen.has(index)) say({ saw: index, digest: hex });
    seen.set(index, hex);
  }
}

/** Reads the newest in full, which verifies it. */
async function readNewest(): Promise<void> {
  const reader = await storage.open();
  try {
    for (const { name } of reader.manifest.files) await reader.file(name).pipeTo(new WritableStream());
  } finally {
    await reader.close();
  }
}

try {
  let hasLooked = false;
  for (let round = 1;; round++) {
    if (!hasLooked) await look(); // an index that is being replaced is no failure of it
    if (newest >= task.commits) break;
    hasLooked = false;
    const index = newest + 1;
    const content = { shared, own: noise(3000, index * 64 + task.writer) };
    try {
      const { digest } = await save(storage, BigInt(index), content);
      say({ acknowledged: index, digest: toHex(digest) });
      await look();
      hasLooked = true;
      if (newest < index) throw new Error(`Lost: ${index} was acknowledged, and the newest is ${newest}`);
      if (round % 10 === 0) await readNewest();
      if (round % 50 === 0) await storage.collect();
    } catch (error) {
      if (!(error instanceof SnapshotError)) throw error;
      errors[error.code] = (errors[error.code] ?? 0) + 1;
      if (error.code !== "STALE") say({ failed: `${error.code}: ${error.message}` });
      if (["CORRUPT", "UNSUPPORTED", "FORBIDDEN"].includes(error.code)) throw error;
    }
  }
  say({ errors, indexWrites });
} finally {
  await storage.close();
  await close();
}
