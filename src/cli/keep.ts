/**
 * Commands about what a storage keeps: `restore`, `prune`.
 *
 * @module
 */

import { mkdir, readdir, rm, rmdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { copyBackup } from "../backup/restore.ts";
import { SnapshotError } from "../errors.ts";
import { DirectoryStorage } from "../storage/directory/mod.ts";
import { ObjectStorage } from "../storage/object/mod.ts";
import { type Command, Exit, type Invocation, JSON_OPTION, parseIndex, parseNumber, UsageError } from "./command.ts";
import { openReplicaFiles, REPLICA_FILES } from "./continuous.ts";
import { openBucketAt, openPlace, openTarget, pathOf } from "./place/mod.ts";
import { sizeText } from "./text.ts";

/** `restore BUCKET DIR`, `restore PLACE INDEX` */
export const restore: Command = {
  usage: "BUCKET DIR [--index N | --time T] | PLACE INDEX",
  summary: "brings back a backup, to any point; or a quarantined snapshot, if it verifies",
  help: "Of a backup (see backup): the newest snapshot before the point and the log after it, into a new directory;\n" +
    `${REPLICA_FILES}.\nOf a quarantined snapshot all is read first: what ` +
    "is bad stays where it is (exit code 3).\nls names those that are quarantined; PLACE is a directory or a bucket.",
  positionals: [2, 2],
  options: {
    index: ["N", "of a backup: the last entry; the newest unless given"],
    time: ["T", "of a backup: what was appended up to then, such as 2026-11-27T12:00:00Z"],
    ...JSON_OPTION,
  },
  async run(invocation) {
    const { positionals, options, json, signal, io } = invocation;
    if (!/^[0-9]+$/.test(positionals[1]!)) return await restoreBackup(invocation);
    const index = parseIndex(positionals[1])!;
    if (options["index"] ?? options["time"]) throw new UsageError("--index and --time are for backups");
    await checkThere(positionals[0]!, invocation);
    const target = await openTarget(positionals[0]!, invocation);
    try {
      const { size } = await target.storage.restore(index, { signal });
      io.print(json ? JSON.stringify({ index: String(index), size }) : `snapshot ${index}: ${size} bytes`);
      return Exit.DONE;
    } finally {
      await target.close();
    }
  },
};

async function restoreBackup({ positionals, options, json, signal, io }: Invocation): Promise<number> {
  const [from, to] = positionals as [string, string];
  const index = parseIndex(options["index"]);
  const time = options["time"] === undefined ? undefined : Date.parse(options["time"]);
  if (time !== undefined && Number.isNaN(time)) {
    throw new UsageError("--time takes a time such as 2026-11-27T12:00:00Z");
  }
  if (index !== undefined && time !== undefined) throw new UsageError("--index or --time, but not both");
  const { bucket, prefix, close } = await openBucketAt(from, "look");
  try {
    const path = pathOf(to);
    const made = await mkdir(path, { recursive: true }); // nothing if it was there
    const files = await openReplicaFiles(path);
    let isDone = false;
    try {
      const point = await copyBackup(bucket, files, {
        prefix,
        signal,
        ...(index !== undefined && { index }),
        ...(time !== undefined && { time }),
      });
      isDone = true;
      const appended = point.time === undefined ? undefined : new Date(point.time).toISOString();
      io.print(
        json
          ? JSON.stringify({ index: `${point.index}`, term: `${point.term}`, time: appended ?? null })
          : `restored to entry ${point.index}${appended === undefined ? "" : `, of ${appended}`}`,
      );
      return Exit.DONE;
    } finally {
      await files.log.close();
      await files.storage.close();
      if (!isDone && made !== undefined) await removeBegun(resolve(path), resolve(made));
    }
  } finally {
    await close();
  }
}

/**
 * Removes what was begun to be restored, and the directories that were made for it: what others have put there stays.
 *
 * @param path the directory that it was restored into
 * @param made that one, or one above it
 */
async function removeBegun(path: string, made: string): Promise<void> {
  for (const name of await readdir(path)) {
    if (name === "snapshots" || name.startsWith("log.db")) await rm(join(path, name), { recursive: true });
  }
  try {
    for (let at = path; at.length >= made.length; at = dirname(at)) await rmdir(at);
  } catch {
    // It is not empty.
  }
}

/** `prune PLACE --keep N` */
export const prune: Command = {
  usage: "PLACE --keep N",
  summary: "removes all but the newest snapshots",
  help: "Those that are kept are read and verified first: if one is bad or cannot be read, nothing is removed. In a\n" +
    "bucket they are retired, and their objects deleted once nobody can be reading them, an hour later: call it again\n" +
    "then. PLACE is a directory that no other process has open, or a bucket.",
  positionals: [1, 1],
  options: { keep: ["N", "how many snapshots stay, from 1 to 1000000; must be given"], ...JSON_OPTION },
  async run(invocation) {
    const { positionals, options, json, signal, io } = invocation;
    if (options["keep"] === undefined) throw new UsageError("--keep says how many snapshots stay");
    const keep = parseNumber(options["keep"], "keep", 1, 1_000_000);
    await checkThere(positionals[0]!, invocation);
    const target = await openTarget(positionals[0]!, invocation, keep);
    try {
      const { storage } = target;
      const before = await storage.list();
      for (const { meta } of before.length > keep ? before.slice(0, keep) : []) {
        const reader = await storage.open(meta.lastIncludedIndex);
        try {
          const { ok } = await io.watch(reader.verify({ signal }));
          if (ok) continue;
        } finally {
          await reader.close();
        }
        const index = meta.lastIncludedIndex;
        throw new SnapshotError("CORRUPT", `snapshot ${index} is damaged: nothing was removed`, { index });
      }
      if (before.length > keep && (storage instanceof DirectoryStorage || storage instanceof ObjectStorage)) {
        await storage.prune();
      }
      const collected = storage instanceof ObjectStorage ? await storage.collect({ signal }) : undefined;
      const left = new Set((await storage.list()).map(({ meta }) => meta.lastIncludedIndex));
      const gone = before.filter(({ meta }) => !left.has(meta.lastIncludedIndex));
      const removed = gone.map(({ meta }) => String(meta.lastIncludedIndex));
      if (json) io.print(JSON.stringify({ removed, kept: left.size, ...collected && { collected } }));
      else {
        const bytes = gone.reduce((sum, { size }) => sum + size, 0);
        io.print(`${removed.length} removed (${sizeText(bytes)}), ${left.size} kept`);
      }
      return Exit.DONE;
    } finally {
      await target.close();
    }
  },
};

/** A storage that is not there is not made to have something removed from it. */
async function checkThere(address: string, invocation: Invocation): Promise<void> {
  const misfit = "That is possible in a directory or a bucket only";
  if (/^https?:/i.test(address)) throw new UsageError(misfit);
  const place = await openPlace(address, invocation);
  await place.close();
  if (place.storage === undefined) throw new UsageError(misfit);
}
