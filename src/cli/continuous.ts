/**
 * Commands about logs: `log`, `follow`, `backup`.
 *
 * @module
 */

import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onAbort } from "../async/mod.ts";
import { Backup } from "../backup/backup.ts";
import type { BackupEvent } from "../backup/options.ts";
import { lastSegment } from "../backup/uploaded.ts";
import { hasCode, messageOf, SnapshotError } from "../errors.ts";
import { type FollowerEvent, Replica } from "../executor/mod.ts";
import { defaultDisk } from "../fs/mod.ts";
import { MemoryLog } from "../log/mod.ts";
import { SqliteLog } from "../sqlite.ts";
import type { LogEntry } from "../state/mod.ts";
import { DirectoryStorage } from "../storage/directory/mod.ts";
import { LogSource, type SourceOptions } from "../transfer/mod.ts";
import { type Command, Exit, FLAG, type Invocation, JSON_OPTION, parseIndex, UsageError } from "./command.ts";
import { copyOpenLog } from "./log_copy.ts";
import { LateMachine, OpaqueMachine } from "./opaque_machine.ts";
import { openBucketAt, pathOf, serverOf } from "./place/mod.ts";
import { TOKEN_OPTIONS } from "./secrets.ts";
import { pullNewest, refresh, type Standby } from "./standby.ts";
import { sizeText } from "./text.ts";

/** The longest silence of a server, in milliseconds; it says something every two seconds. */
const TIMEOUT = 10_000;

/** The files of a replica in a directory: what `follow` writes, `backup` reads, and a program opens. */
export const REPLICA_FILES: string = "DIR/log.db is its log (SqliteLog), DIR/snapshots its storage (DirectoryStorage)";

/** A log and a storage of one replica. */
export interface ReplicaFiles {
  readonly log: SqliteLog;
  readonly storage: DirectoryStorage;
}

/** Opens log and storage of a directory. */
export async function openReplicaFiles(directory: string): Promise<ReplicaFiles> {
  const path = pathOf(directory);
  await mkdir(path, { recursive: true });
  const log = await SqliteLog.open(`${path}/log.db`);
  try {
    return { log, storage: await DirectoryStorage.open(`${path}/snapshots`) };
  } catch (error) {
    await log.close();
    throw error;
  }
}

/** `log URL|DIR` */
export const log: Command = {
  usage: "URL|DIR",
  summary: "shows the entries of a log",
  help: `A line each: index, term, time, bytes; with --json what is in it, too.\n${REPLICA_FILES};\n` +
    "while a program has it open, ask its server.",
  positionals: [1, 1],
  options: {
    from: ["N", "the first entry that is shown; the first that is there unless given"],
    follow: [FLAG, "waits for what is still to come, until Ctrl-C; of servers only"],
    ...TOKEN_OPTIONS,
    ...JSON_OPTION,
  },
  async run(invocation) {
    const { positionals, options, flags, signal } = invocation;
    const from = parseIndex(options["from"]);
    const server = await serverOf(positionals[0]!, invocation);
    const print = printerOf(invocation);
    if (server !== undefined) {
      const source = new LogSource(server, TIMEOUT);
      const first = from ?? (await source.status(signal)).first;
      const request = { from: first, digest: undefined, group: undefined, wait: flags.has("follow") };
      const { isWhole } = await source.read(request, signal, (record) => {
        if (record.kind === "batch") { for (const entry of record.batch.entries) print(entry); }
      });
      if (isWhole) return Exit.DONE;
      throw new SnapshotError("UNAVAILABLE", `${source.url} broke off`, { source: source.url });
    }
    if (flags.has("follow")) throw new UsageError("--follow is for servers: a directory does not tell what comes");
    const path = pathOf(positionals[0]!);
    const file = (await defaultDisk().stat(path))?.kind === "directory" ? `${path}/log.db` : path;
    if ((await defaultDisk().stat(file))?.kind !== "file") {
      throw new SnapshotError("NOT_FOUND", `There is no log at ${file}`, { file });
    }
    const own = await SqliteLog.open(file);
    try {
      for await (const entry of own.entries(from ?? own.firstIndex)) print(entry);
    } finally {
      await own.close();
    }
    return Exit.DONE;
  },
};

function printerOf({ json, io }: Invocation): (entry: LogEntry) => void {
  return ({ index, term, time, data, configuration }) => {
    const when = time === undefined ? null : new Date(time).toISOString();
    const data64 = () => btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join(""));
    io.print(
      json
        ? JSON.stringify({ index: `${index}`, term: `${term}`, time: when, configuration, base64: data64() })
        : [index, term, when ?? "-", configuration === undefined ? sizeText(data.length) : "members"].join("  "),
    );
  };
}

async function serversOf(addresses: readonly string[], invocation: Invocation): Promise<SourceOptions[]> {
  const servers: SourceOptions[] = [];
  for (const address of addresses) {
    const server = await serverOf(address, invocation);
    if (server === undefined) throw new UsageError(`${address} is no address of a server (http: or https:)`);
    servers.push(server);
  }
  return servers;
}

/** `follow URL… DIR` */
export const follow: Command = {
  usage: "URL… DIR",
  summary: "keeps a standby of a replica on the disk: its snapshots, and its log as it grows",
  help: "Until Ctrl-C. Another URL is followed if one fails. A program that is to use it opens DIR:\n" +
    `${REPLICA_FILES}.`,
  positionals: [2, 64],
  options: { once: [FLAG, "ends when it has all that there is"], ...TOKEN_OPTIONS, ...JSON_OPTION },
  async run(invocation) {
    const { positionals, flags, json, signal, io } = invocation;
    const servers = await serversOf(positionals.slice(0, -1), invocation);
    const files = await openReplicaFiles(positionals.at(-1)!);
    const replica = await Replica.open({ machine: new OpaqueMachine(), ...files, triggers: { interval: 0 } });
    const stop = new AbortController();
    const unlink = onAbort(signal, (reason) => stop.abort(reason));
    try {
      const follower = replica.follow(servers, { onEvent: (event) => tell(event, invocation) });
      if (flags.has("once")) {
        await follower.caughtUp(undefined, { signal });
        await pullNewest({ replica, follower, servers }, signal);
      } else {
        const refreshing = refresh({ replica, follower, servers }, stop.signal);
        await new Promise((resolve) => onAbort(signal, resolve));
        stop.abort();
        await refreshing;
      }
      const { appliedIndex } = follower.status();
      io.print(json ? JSON.stringify({ index: `${appliedIndex}` }) : `${positionals.at(-1)} has entry ${appliedIndex}`);
      return Exit.DONE;
    } finally {
      unlink();
      stop.abort();
      await replica.close();
    }
  },
};

function tell(event: FollowerEvent, { io }: Invocation): void {
  if (event.type === "disconnected") io.note(`${event.source}: ${messageOf(event.error)}`);
  else if (event.type === "connected") io.note(`following ${event.source} from entry ${event.from} on`);
  else if (event.type === "installing") io.note(`${event.source}: installing a snapshot`);
}

/** `backup URL|DIR BUCKET` */
export const backup: Command = {
  usage: "URL|DIR BUCKET",
  summary: "keeps a continuous backup of a replica in a bucket: snapshots, and each entry within a second",
  help: "Of a server until Ctrl-C. Of a directory once, also while a program has it open:\n" +
    `${REPLICA_FILES}.\n` +
    "BUCKET is s3://…, r2://…, nats://… or a directory. restore brings it back.",
  positionals: [2, 2],
  options: { once: [FLAG, "of a server: ends when it has all that there is"], ...TOKEN_OPTIONS, ...JSON_OPTION },
  async run(invocation) {
    const [from, to] = invocation.positionals as [string, string];
    const server = await serverOf(from, invocation);
    const { bucket, prefix, close } = await openBucketAt(to, "write");
    try {
      if (server === undefined) return await backupDirectory(from, { bucket, prefix }, invocation);
      return await backupServer(server, { bucket, prefix }, invocation);
    } finally {
      await close();
    }
  },
};

type BucketAt = Pick<Awaited<ReturnType<typeof openBucketAt>>, "bucket" | "prefix">;

function backupOptions(prefix: string, { io }: Invocation) {
  return {
    prefix,
    onEvent(event: BackupEvent) {
      if (event.type === "failed") io.note(`${event.what}: ${messageOf(event.error)}`);
      else if (event.type === "gap") io.note(`entries ${event.first} to ${event.last} are missing in the backup`);
      else if (event.type === "ended" && event.error.code !== "CLOSED") io.note(event.error.message);
    },
  };
}

async function backupDirectory(directory: string, at: BucketAt, invocation: Invocation): Promise<number> {
  const path = pathOf(directory);
  if ((await defaultDisk().stat(`${path}/log.db`))?.kind !== "file") {
    throw new SnapshotError("NOT_FOUND", `There is no log at ${path}/log.db`, { file: `${path}/log.db` });
  }
  const backUp = async (files: ReplicaFiles): Promise<number> => {
    const replica = await Replica.open({ machine: new OpaqueMachine(), ...files, triggers: { interval: 0 } });
    try {
      return await flushed(await Backup.start(replica, at.bucket, backupOptions(at.prefix, invocation)), invocation);
    } finally {
      await replica.close();
    }
  };
  const files = await openReplicaFiles(path).catch((error) => {
    if (!hasCode(error, "BUSY")) throw error;
    return undefined; // a program has it open
  });
  if (files !== undefined) return await backUp(files);
  const copy = await mkdtemp(join(tmpdir(), "snapstream-backup-"));
  try {
    // Opened before the log is copied: so no snapshot is ahead of the copy, which would begin anew behind that.
    const storage = await DirectoryStorage.open(`${path}/snapshots`, { readOnly: true });
    try {
      await copyOpenLog(`${path}/log.db`, `${copy}/log.db`);
      return await backUp({ log: await SqliteLog.open(`${copy}/log.db`), storage });
    } finally {
      await storage.close();
    }
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}

async function flushed(running: Backup, { json, io }: Invocation): Promise<number> {
  try {
    await running.flush();
  } finally {
    await running.close();
  }
  const { uploadedIndex, snapshotIndex } = running.status();
  io.print(
    json
      ? JSON.stringify({ index: `${uploadedIndex}`, snapshot: snapshotIndex === undefined ? null : `${snapshotIndex}` })
      : `the backup has entry ${uploadedIndex}, and ${
        snapshotIndex === undefined ? "no snapshot" : `snapshot ${snapshotIndex}`
      }`,
  );
  return Exit.DONE;
}

async function backupServer(server: SourceOptions, at: BucketAt, invocation: Invocation): Promise<number> {
  const { flags, signal } = invocation;
  const directory = await mkdtemp(join(tmpdir(), "snapstream-backup-"));
  const stop = new AbortController();
  const unlink = onAbort(signal, (reason) => stop.abort(reason));
  try {
    const end = await lastSegment(at.bucket, at.prefix);
    const own = new MemoryLog();
    if (end !== undefined) {
      await own.reset(end.index, end.term);
      await own.bindDigest(end.digest);
    }
    const storage = await DirectoryStorage.open(directory, { durability: "none" });
    const machine = end === undefined ? new OpaqueMachine() : new LateMachine(end);
    const replica = await Replica.open({ machine, log: own, storage, triggers: { interval: 0 } });
    try {
      const follower = replica.follow([server], { onEvent: (event) => tell(event, invocation) });
      const standby: Standby = { replica, follower, servers: [server] };
      await pullNewest(standby, signal);
      const refreshing = refresh(standby, stop.signal);
      const options = backupOptions(at.prefix, invocation);
      const running = await Backup.start(replica, at.bucket, {
        ...options,
        onEvent(event) {
          options.onEvent(event);
          if (event.type === "uploaded") void own.purge(event.last);
          if (event.type === "ended") stop.abort(event.error);
        },
      });
      if (!flags.has("once")) {
        await new Promise((resolve) => onAbort(stop.signal, resolve));
        if (hasCode(stop.signal.reason, "STALE")) throw stop.signal.reason;
      }
      const result = await flushed(running, invocation);
      stop.abort();
      await refreshing;
      return result;
    } finally {
      stop.abort();
      await replica.close();
    }
  } finally {
    unlink();
    await rm(directory, { recursive: true, force: true });
  }
}
