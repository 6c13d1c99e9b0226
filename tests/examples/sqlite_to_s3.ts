// What Litestream is used for: an SQLite database, snapshotted to S3 every minute while it is written to, and restored as it
// was at any of those minutes. Pages that did not change are not uploaded again.
//
//   sqlite_to_s3.ts backup app.db                              until it is stopped
//   sqlite_to_s3.ts list
//   sqlite_to_s3.ts restore restored.db 2026-11-22T10:15:00Z
//
// The bucket is told by S3_ENDPOINT, S3_BUCKET, S3_REGION, S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY.

import { createReadStream, existsSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import process, { env } from "node:process";
import { Readable } from "node:stream";
import { backup, DatabaseSync } from "node:sqlite";
import { type Clock, pump, SnapshotError, type SnapshotInfo, type SnapshotStorage, systemClock } from "../../mod.ts";
import { ObjectStorage, S3Bucket } from "../../src/object.ts";

const MINUTE = 60_000;
/** The only file of a snapshot. */
const FILE = "database";
/** All pages at one step: whoever writes meanwhile, in write-ahead mode, neither waits nor makes it begin anew. */
const ALL_PAGES = 2 ** 31 - 1;

/** Options of {@linkcode SqliteBackup}. */
export interface SqliteBackupOptions {
  readonly interval?: number;
  readonly clock?: Clock;
  readonly onSnapshot?: (snapshot: SnapshotInfo) => void;
  /** A snapshot failed; the next one is tried when it is due. */
  readonly onError?: (error: unknown) => void;
}

/** Takes a snapshot of a database whenever an interval has passed in which it was changed. */
export class SqliteBackup {
  readonly #path: string;
  readonly #storage: SnapshotStorage;
  readonly #options: SqliteBackupOptions;
  readonly #clock: Clock;
  readonly #database: DatabaseSync;
  /** What was saved last; SQLite counts it up when somebody else commits. */
  #version: unknown;
  #running: Promise<void> = Promise.resolve();
  #cancel: () => void = () => {};

  constructor(path: string, storage: SnapshotStorage, options: SqliteBackupOptions = {}) {
    this.#path = path;
    this.#storage = storage;
    this.#options = options;
    this.#clock = options.clock ?? systemClock();
    this.#database = new DatabaseSync(path);
    this.#schedule();
  }

  /** Takes the last snapshot, and ends. */
  async close(): Promise<void> {
    this.#cancel();
    await this.#running;
    await this.#snapshot();
    this.#database.close();
  }

  #schedule(): void {
    this.#cancel = this.#clock.after(this.#options.interval ?? MINUTE, () => {
      this.#running = this.#snapshot().finally(() => this.#schedule());
    });
  }

  async #snapshot(): Promise<void> {
    const copy = `${this.#path}-snapshot`;
    try {
      const version = this.#database.prepare("PRAGMA data_version").get()!.data_version;
      if (version === this.#version) return;
      await rm(copy, { force: true });
      await backup(this.#database, copy, { rate: ALL_PAGES });
      const [newest] = await this.#storage.list();
      const now = BigInt(this.#clock.now()); // a snapshot's index is when it was taken
      const last = newest?.meta.lastIncludedIndex ?? 0n;
      const writer = await this.#storage.create();
      try {
        await pump(streamOf(copy), writer.file(FILE));
        const index = now > last ? now : last + 1n; // a clock may be set back
        const snapshot = await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: [] });
        this.#version = version;
        this.#options.onSnapshot?.(snapshot);
      } finally {
        await writer[Symbol.asyncDispose]();
      }
    } catch (error) {
      this.#options.onError?.(error);
    } finally {
      await rm(copy, { force: true });
    }
  }
}

/** Writes the database as it was at a time, or at the last snapshot before it, to a file that is not there yet. */
export async function restore(storage: SnapshotStorage, at: number, path: string): Promise<Date> {
  if (existsSync(path)) throw new SnapshotError("BUSY", `${path} is there already: restore to another path`);
  const found = (await storage.list()).find(({ meta }) => meta.lastIncludedIndex <= BigInt(at));
  if (found === undefined) {
    throw new SnapshotError("NOT_FOUND", `There is no snapshot that is as old as ${new Date(at).toISOString()}`);
  }
  const reader = await storage.open(found.meta.lastIncludedIndex);
  const file = await open(`${path}-restore`, "w");
  try {
    const sink = new WritableStream<Uint8Array>({ write: async (bytes) => void await file.writeFile(bytes) });
    await pump(reader.file(FILE), sink); // verified, chunk by chunk
    await file.sync();
  } finally {
    await file.close();
    await reader.close();
  }
  await rename(`${path}-restore`, path);
  return new Date(Number(found.meta.lastIncludedIndex));
}

function streamOf(path: string): ReadableStream<Uint8Array> {
  return Readable.toWeb(createReadStream(path, { highWaterMark: 1024 * 1024 })) as ReadableStream<Uint8Array>;
}

/** Opens the storage; a day of minutes is kept. */
async function openStorage(): Promise<ObjectStorage> {
  const bucket = new S3Bucket({
    endpoint: env.S3_ENDPOINT!,
    bucket: env.S3_BUCKET!,
    region: env.S3_REGION ?? "us-east-1",
    credentials: { accessKeyId: env.S3_ACCESS_KEY_ID!, secretAccessKey: env.S3_SECRET_ACCESS_KEY! },
  });
  return await ObjectStorage.open(bucket, { prefix: "app/", retain: 24 * 60 });
}

if (import.meta.main) {
  const [verb, path, time] = process.argv.slice(2);
  const storage = await openStorage();
  const whenOf = ({ meta }: SnapshotInfo) => new Date(Number(meta.lastIncludedIndex)).toISOString();
  if (verb === "backup") {
    const running = new SqliteBackup(path!, storage, {
      onSnapshot: (snapshot) => console.log(whenOf(snapshot), snapshot.size),
      onError: (error) => console.error(`${error}`),
    });
    await new Promise((resolve) => process.once("SIGINT", resolve).once("SIGTERM", resolve));
    await running.close();
  } else if (verb === "restore") {
    console.log(await restore(storage, time === undefined ? Date.now() : Date.parse(time), path!));
  } else {
    for (const snapshot of await storage.list()) console.log(whenOf(snapshot), snapshot.size);
  }
  await storage.close();
}
