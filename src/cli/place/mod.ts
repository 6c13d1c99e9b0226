/**
 * Opening whatever a command line names: directories, files, servers and buckets.
 *
 * @module
 */

import { mkdtemp, readFile, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DirectoryBucket } from "../../bucket/directory/mod.ts";
import type { Bucket } from "../../bucket/mod.ts";
import { withoutSecret } from "../../checks.ts";
import { hasCode, SnapshotError } from "../../errors.ts";
import { sourceFiles } from "../../format/disk/mod.ts";
import { detectFormat, listFormat } from "../../format/mod.ts";
import { defaultDisk } from "../../fs/mod.ts";
import { archive as archiveOf, archiveMagic, type SnapshotReader, unarchive } from "../../snapshot/mod.ts";
import { DirectoryStorage } from "../../storage/directory/mod.ts";
import { ObjectStorage } from "../../storage/object/mod.ts";
import { checkSource, type SourceOptions } from "../../transfer/mod.ts";
import { type Invocation, parseIndex, UsageError } from "../command.ts";
import { s3Options, tokenOf } from "../secrets.ts";
import { ForeignPlace } from "./foreign_place.ts";
import type { Place } from "./place.ts";
import { ServerPlace } from "./server_place.ts";
import { StoragePlace } from "./storage_place.ts";

export type { Place, PlaceReader, Row, Trouble, Verified } from "./place.ts";
export { ServerPlace } from "./server_place.ts";

/** What places can be, for help texts. */
export const PLACES: string = "a directory, an archive, what another system wrote, http(s)://SERVER, file:///DIR,\n" +
  "s3://BUCKET/PREFIX?endpoint=…&region=…, r2://BUCKET/PREFIX?account=…, nats://SERVER/BUCKET/PREFIX. Credentials are\n" +
  "$AWS_ACCESS_KEY_ID, $AWS_SECRET_ACCESS_KEY and $AWS_SESSION_TOKEN, and $AWS_REGION and $AWS_ENDPOINT_URL say the\n" +
  "rest. PLACE#INDEX is one snapshot of it";

/** A snapshot in a directory of braft's, or of ours, for which a storage is opened. */
const STORED = /^snapshot_\d{20}$/;
/** What a directory that is a storage has, even if it is empty: the lock of its owner. */
const LOCK = ".lock";

/** The parts of what a command line names. */
export interface Named {
  /** The place. */
  readonly place: string;
  /** The snapshot in it, if one is named. */
  readonly index: bigint | undefined;
}

/** Splits `PLACE#INDEX`. */
export function parseNamed(text: string, index?: string): Named {
  const [, place = text, own] = /^([^]+?)(?:#([1-9][0-9]{0,18}))?$/.exec(text) ?? [];
  if (own !== undefined && index !== undefined) throw new UsageError(`${text} has an index: another one is too many`);
  return { place, index: parseIndex(index ?? own) };
}

/** The server that an address names; nothing if it is none. */
export async function serverOf(address: string, invocation: Invocation): Promise<SourceOptions | undefined> {
  if (!/^https?:/i.test(address)) return undefined;
  const token = await tokenOf(invocation.options);
  const hasPassword = URL.canParse(address) && new URL(address).username + new URL(address).password !== "";
  const source: SourceOptions = {
    url: address,
    ...(token !== undefined && !hasPassword && { headers: { Authorization: `Bearer ${token}` } }),
  };
  try {
    for (const one of [address, source]) checkSource(one, "URL"); // their messages show no password
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  return source;
}

/**
 * Opens a place for looking: nothing in it is changed.
 *
 * @throws {SnapshotError} `NOT_FOUND` if there is nothing, `UNSUPPORTED` if that is no snapshot
 */
export async function openPlace(address: string, invocation: Invocation): Promise<Place> {
  const server = await serverOf(address, invocation);
  if (server !== undefined) return new ServerPlace(withoutSecrets(address), server, invocation.signal);
  const bucket = await bucketOf(address, "look");
  if (bucket !== undefined) return await openBucket(bucket);
  return await openPath(pathOf(address), invocation);
}

/** Refuses what is no address of a bucket: wrong use is told before what another place has. Asks for nothing. */
export async function checkBucket(address: string): Promise<void> {
  if (/^(s3|r2):/i.test(address)) await bucketOf(address, "write");
}

/** Opens a place for writing: a directory or a bucket, which is made if there is none. */
export async function openTarget(address: string, invocation: Invocation, retain?: number): Promise<StoragePlace> {
  const { io } = invocation;
  const options = {
    onWarning: ({ message }: SnapshotError) => io.note(message),
    ...(retain !== undefined && { retain }),
  };
  const bucket = await bucketOf(address, "write");
  if (bucket !== undefined) {
    const { name, prefix, close } = bucket;
    const storage = await closingIfFails(ObjectStorage.open(bucket.bucket, { ...options, prefix }), close);
    return new StoragePlace(name, "snapstream", storage, [], close);
  }
  const path = pathOf(address);
  if (await isBucketDirectory(path)) {
    const storage = await ObjectStorage.open(await DirectoryBucket.open(path), options);
    return new StoragePlace(path, "snapstream", storage);
  }
  const kind = (await defaultDisk().stat(path))?.kind;
  if (kind === "file") throw new SnapshotError("UNSUPPORTED", `${path} is a file: name a directory`, { file: path });
  if (kind === "directory") await refuseForeign(path);
  const storage = await DirectoryStorage.open(path, options);
  return new StoragePlace(path, "snapstream", storage, storage.damaged);
}

/** A storage is not made in the middle of what is something else. */
async function refuseForeign(path: string): Promise<void> {
  const entries = await defaultDisk().list(path);
  const isOurs = entries.some(({ name }) =>
    name === LOCK || STORED.test(name) || /^(install-|corrupt-|trash-)/.test(name)
  );
  if (isOurs || entries.length === 0) return;
  throw new SnapshotError(
    "UNSUPPORTED",
    `${path} has other things in it, and no snapshots: name a directory that is empty, or new`,
    { file: path },
  );
}

async function openPath(named: string, invocation: Invocation): Promise<Place> {
  const disk = defaultDisk();
  const path = await followed(named);
  const kind = (await disk.stat(path))?.kind;
  if (kind === undefined) throw new SnapshotError("NOT_FOUND", `There is nothing at ${path}`, { file: path });
  if (kind === "file" && await isArchive(path)) return await openArchive(path, invocation);
  if (kind === "directory") {
    const entries = await disk.list(path);
    if (entries.some(({ name }) => STORED.test(name))) return await openDirectory(path);
    if (await isReplica(path)) return await openDirectory(`${path}/snapshots`);
    if (await isBucketDirectory(path)) {
      return await openBucket({
        name: path,
        bucket: await DirectoryBucket.open(path),
        prefix: "",
        close: () => Promise.resolve(),
      });
    }
  }
  const files = await sourceFiles(path);
  const detected = await detectFormat(files);
  if (detected?.others !== undefined) await listFormat(files); // refuses to choose, and says among which
  if (detected !== undefined) return new ForeignPlace(path, files, detected);
  if (kind === "directory") return await openDirectory(path); // perhaps an empty storage, or one with quarantined ones
  throw new SnapshotError("UNSUPPORTED", `${path} is no snapshot of a system that this release knows`, { file: path });
}

/** Where a symbolic link leads that somebody names: only those that are found in a place are not followed. */
export async function followed(path: string): Promise<string> {
  if ((await defaultDisk().stat(path))?.kind !== "other") return path;
  return await realpath(path).catch((cause) => {
    throw new SnapshotError("NOT_FOUND", `${path} is a link that leads nowhere`, { file: path, cause });
  });
}

/** Reports whether a directory is a replica's, as `follow` and `restore` make it: the log is beside the snapshots. */
async function isReplica(path: string): Promise<boolean> {
  const [log, snapshots] = await Promise.all(
    ["log.db", "snapshots"].map((name) => defaultDisk().stat(`${path}/${name}`)),
  );
  return log?.kind === "file" && snapshots?.kind === "directory";
}

async function openDirectory(path: string): Promise<Place> {
  const storage = await DirectoryStorage.open(path, { readOnly: true });
  const isBraft = (await storage.list()).map(({ meta }) => meta.createdAt);
  // braft's carry no time, and no digests.
  const format = isBraft.length > 0 && isBraft.every((at) => at === undefined) ? "braft" : "snapstream";
  return new StoragePlace(path, format, storage, storage.damaged);
}

/**
 * An archive is unpacked to be looked at: it is verified as a whole by that, and whatever can be done to a storage can
 * then be done to it.
 */
async function openArchive(path: string, invocation: Invocation): Promise<Place> {
  return await unpack(path, readableOf(path), invocation);
}

/** What another system wrote, unpacked as an archive is, to be served. Closes it. */
export async function unpackPlace(place: Place, invocation: Invocation): Promise<StoragePlace> {
  try {
    const reader = await place.open();
    try {
      return await unpack(place.name, archiveOf(reader as SnapshotReader), invocation);
    } finally {
      await reader.close();
    }
  } finally {
    await place.close();
  }
}

async function unpack(name: string, archive: ReadableStream<Uint8Array>, { signal, io }: Invocation) {
  const directory = await mkdtemp(join(tmpdir(), "snapstream-"));
  const remove = () => rm(directory, { recursive: true, force: true });
  return await closingIfFails(
    (async () => {
      const storage = await DirectoryStorage.open(directory, { durability: "none" });
      try {
        await io.watch(unarchive(archive, storage, { signal }));
      } catch (error) {
        await storage.close();
        throw error;
      }
      return new StoragePlace(name, "snapstream", storage, [], remove);
    })(),
    remove,
  );
}

/** The bytes of a file. */
export function readableOf(path: string): ReadableStream<Uint8Array> {
  let at = 0;
  const opening = defaultDisk().open(path, "read");
  opening.catch(() => {}); // whoever reads is told
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const file = await opening;
      const buffer = new Uint8Array(256 * 1024);
      const read = await file.read(buffer, at);
      at += read;
      if (read > 0) return controller.enqueue(buffer.subarray(0, read));
      await file.close();
      controller.close();
    },
    async cancel() {
      await (await opening).close();
    },
  }, { highWaterMark: 0 });
}

async function isArchive(path: string): Promise<boolean> {
  const magic = archiveMagic().subarray(0, 8); // the version comes after it, and is checked by who reads it
  const file = await defaultDisk().open(path, "read");
  try {
    const head = new Uint8Array(magic.length);
    return await file.read(head, 0) === head.length && head.every((byte, i) => byte === magic[i]);
  } finally {
    await file.close();
  }
}

/** Reports whether a directory is a bucket that has a storage in it: its index is an object there. */
async function isBucketDirectory(path: string): Promise<boolean> {
  if ((await defaultDisk().stat(`${path}/index`))?.kind !== "file") return false;
  const head = (await readFile(`${path}/index`)).subarray(0, 8);
  return new TextDecoder().decode(head) === "snapobj1";
}

interface NamedBucket {
  readonly name: string;
  readonly bucket: Bucket;
  readonly prefix: string;
  close(): Promise<void>;
}

/** The bucket that an address names: an object store, or a directory, which is made if it is to be written to. */
export async function openBucketAt(address: string, purpose: "look" | "write"): Promise<NamedBucket> {
  const bucket = await bucketOf(address, purpose);
  if (bucket !== undefined) return bucket;
  const path = pathOf(address);
  if (purpose === "look" && (await defaultDisk().stat(path))?.kind !== "directory") {
    throw new SnapshotError("NOT_FOUND", `There is no bucket at ${path}`, { file: path });
  }
  return { name: path, bucket: await DirectoryBucket.open(path), prefix: "", close: () => Promise.resolve() };
}

/** Opens a storage in a bucket. One that is not there is not an empty one: somebody mistyped its address. */
async function openBucket({ name, bucket, prefix, close }: NamedBucket): Promise<Place> {
  return await closingIfFails(
    (async () => {
      if (await bucketHasNothing(bucket, prefix)) {
        throw new SnapshotError("NOT_FOUND", `There is no storage at ${name}`, { source: name });
      }
      return new StoragePlace(name, "snapstream", await ObjectStorage.open(bucket, { prefix }), [], close);
    })(),
    close,
  );
}

async function bucketHasNothing(bucket: Bucket, prefix: string): Promise<boolean> {
  return (await bucket.list({ prefix: `${prefix}index`, limit: 1 })).objects.length === 0;
}

async function bucketOf(address: string, purpose: "look" | "write"): Promise<NamedBucket | undefined> {
  const scheme = /^(s3|r2|nats|tls):/i.exec(address)?.[1]?.toLowerCase();
  if (scheme === undefined) return undefined;
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined || url.hostname === "") {
    throw new UsageError(`${JSON.stringify(withoutSecret(address))} is no address of a bucket`);
  }
  const isS3 = scheme === "s3" || scheme === "r2";
  // A part that is not read would be dropped in silence: it may be a secret, or lead elsewhere.
  const unread = isS3 ? url.username + url.password + url.port + url.hash : url.search + url.hash;
  if (unread !== "") {
    const parts = isS3 ? "no user, port or fragment: credentials are in the environment" : "no query or fragment";
    throw new UsageError(`The address of a bucket at ${url.hostname} has ${parts}`);
  }
  return isS3 ? await s3Bucket(url) : await natsBucket(url, purpose);
}

/** Decodes a part of an address. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new UsageError("A percent sign in an address of a bucket is %25");
  }
}

/** A prefix ends with a slash, so that `room-1` is not also `room-17`. */
function prefixOf(path: string): string {
  const prefix = path.split("/").filter((part) => part !== "").map(decoded).join("/");
  return prefix === "" ? "" : `${prefix}/`;
}

async function s3Bucket(url: URL): Promise<NamedBucket> {
  const { S3Bucket } = await import("../../bucket/s3/mod.ts");
  const prefix = prefixOf(url.pathname);
  return {
    name: `${url.protocol}//${url.hostname}/${prefix}`,
    bucket: wellFormed(() => new S3Bucket(s3Options(url))),
    prefix,
    close: () => Promise.resolve(),
  };
}

/** What the command line says wrongly is wrong use, and not damage. */
function wellFormed<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw hasCode(error, "MALFORMED") ? new UsageError(error.message) : error;
  }
}

/** `nats://user:password@host:port/bucket/prefix`; the bucket is not made for being looked at. */
async function natsBucket(url: URL, purpose: "look" | "write"): Promise<NamedBucket> {
  const [name = "", ...rest] = url.pathname.split("/").filter((part) => part !== "");
  if (name === "") throw new UsageError("A bucket in NATS is nats://SERVER/BUCKET or nats://SERVER/BUCKET/PREFIX");
  const { connectNats } = await import("./nats.ts").catch((error) => {
    const packages = "@nats-io/jetstream @nats-io/kv @nats-io/nats-core @nats-io/transport-node";
    throw new SnapshotError("UNSUPPORTED", `NATS wants packages of its own: npm install ${packages}`, { cause: error });
  });
  const prefix = prefixOf(rest.join("/"));
  const login = { user: decoded(url.username), pass: decoded(url.password) };
  const connection = await connectNats(url, login, name, purpose === "look");
  return { name: `nats://${url.host}/${name}/${prefix}`, prefix, ...connection };
}

/** The path that an address stands for. */
export function pathOf(address: string): string {
  const said = JSON.stringify(withoutSecret(address));
  if (!/^file:/i.test(address)) {
    if (!/^[a-z][a-z0-9+.-]+:\/\//i.test(address)) return address;
    throw new UsageError(`${said} is an address of a kind that is not known here`);
  }
  try {
    return fileURLToPath(address);
  } catch {
    throw new UsageError(`${said} is no address of a file here: file:///DIR`);
  }
}

function withoutSecrets(address: string): string {
  const { origin, pathname } = new URL(address);
  return origin + pathname.replace(/\/$/, "");
}

async function closingIfFails<T>(opening: Promise<T>, close: () => Promise<void>): Promise<T> {
  try {
    return await opening;
  } catch (error) {
    await close().catch(() => {});
    throw error;
  }
}
