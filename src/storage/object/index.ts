/**
 * The index of an object storage: its snapshots and leases.
 *
 * ```text
 * index = digest body       digest = SHA-256 of body, body = ObjectIndex (object.proto)
 * ```
 *
 * @module
 */

import { messageOf, SnapshotError } from "../../errors.ts";
import { groupOfManifest, type SnapshotInfo, SnapshotManifest, type SnapshotMeta } from "../../snapshot/mod.ts";
import { concat, DIGEST_SIZE, equal, sha256, toHex, withJson } from "../../stream/mod.ts";
import { type KeptMessage, type LeaseMessage, OBJECT_INDEX } from "./messages.ts";

/** The version that this release writes, and the highest that it reads. */
const FORMAT_VERSION = 1;
/** The largest index: that of a hundred thousand snapshots. */
export const MAX_INDEX_BYTES: number = 32 * 1024 * 1024;

/** A snapshot that is kept. */
export interface KeptSnapshot {
  /** Its name in the bucket: the lease under which it was written, a slash, and random digits. */
  readonly id: string;
  readonly index: bigint;
  /** Its meta, as the manifest of a snapshot without files. */
  readonly head: Uint8Array;
  readonly digest: Uint8Array;
  readonly size: number;
  readonly files: number;
  readonly chunks: number;
  /** SHA-256 of the object with its manifest. */
  readonly objectDigest: Uint8Array;
  /** True if another was found bad while this one was there: it is suspect. */
  readonly suspect?: boolean;
  /** The time of its retirement in milliseconds since 1970. */
  readonly retiredAt?: number;
  /** The generation in which it was retired. */
  readonly retiredIn?: bigint;
  /** The reason of its quarantine. */
  readonly reason?: string;
}

/** A lease: the sign that a process is at work. */
export interface Lease {
  readonly id: string;
  readonly kind: "write" | "install" | "read";
  /** Snapshots retired in a later generation are kept for this lease; if absent, none are. */
  readonly since?: bigint;
  /** The time until which it counts, in milliseconds since 1970. */
  readonly activeUntil: number;
  /** The time until which received chunks are kept, in milliseconds since 1970. */
  readonly expiresAt: number;
  /** The digest of the snapshot, if this is an install. */
  readonly digest?: Uint8Array;
  /** The index of the snapshot, if this is an install. */
  readonly index?: bigint;
}

/** The snapshots and leases of a storage. */
export interface ObjectIndex {
  /** Random, chosen when the index was made. */
  readonly epoch: string;
  /** Grows by one with each change; 0 if there is no index yet. */
  readonly generation: bigint;
  /** The newest first. */
  readonly snapshots: readonly KeptSnapshot[];
  /** Too old, and kept for processes that may still be reading them. */
  readonly retired: readonly KeptSnapshot[];
  /** Found bad, and kept for a person. */
  readonly quarantined: readonly KeptSnapshot[];
  readonly leases: readonly Lease[];
  /** The conditions of puts that the bucket was seen to heed. */
  readonly heeded: readonly string[];
}

/** Returns a random name. */
export function randomName(bytes: number): string {
  return toHex(crypto.getRandomValues(new Uint8Array(bytes)));
}

/** Returns the index of a bucket that has none. */
export function emptyIndex(): ObjectIndex {
  return {
    epoch: randomName(8),
    generation: 0n,
    snapshots: [],
    retired: [],
    quarantined: [],
    leases: [],
    heeded: [],
  };
}

/** Returns all snapshots whose packs are needed, for any reason. */
export function allKept({ snapshots, retired, quarantined }: ObjectIndex): KeptSnapshot[] {
  return [...snapshots, ...retired, ...quarantined];
}

/** Returns the entry of a snapshot in the index. */
export async function keptOf(id: string, manifest: SnapshotManifest, objectDigest: Uint8Array): Promise<KeptSnapshot> {
  return {
    id,
    index: manifest.index,
    head: (await SnapshotManifest.of(manifest.meta, [])).bytes,
    digest: manifest.digest,
    size: manifest.size,
    files: manifest.files.length,
    chunks: manifest.content.count,
    objectDigest,
  };
}

/** Returns the group of a kept snapshot by the index; none if its `head` cannot be read, which a list reports. */
export function groupedOf({ index, head }: KeptSnapshot): { readonly meta: SnapshotMeta } {
  const bare = { lastIncludedIndex: index, lastIncludedTerm: 0n, peers: [] };
  try {
    const group = groupOfManifest(head);
    return { meta: group === undefined ? bare : { ...bare, group } };
  } catch {
    return { meta: bare };
  }
}

/** Returns a snapshot as a storage lists it. */
export async function infoOf(kept: KeptSnapshot, pinned: boolean): Promise<SnapshotInfo> {
  const { meta } = await SnapshotManifest.decode(kept.head);
  if (meta.lastIncludedIndex !== kept.index) {
    throw new SnapshotError("CORRUPT", `The index calls snapshot ${kept.index} what is ${meta.lastIncludedIndex}`, {
      index: kept.index,
    });
  }
  const { digest, size, files, chunks } = kept;
  return withJson({ meta, digest, size, files, chunks, pinned });
}

const KINDS = ["write", "install", "read"] as const;

/** Returns the bytes of an index. */
export async function encodeIndex(index: ObjectIndex): Promise<Uint8Array> {
  const body = OBJECT_INDEX.encode({
    formatVersion: FORMAT_VERSION,
    epoch: index.epoch,
    generation: index.generation,
    snapshots: index.snapshots.map(encodeKept),
    retired: index.retired.map(encodeKept),
    quarantined: index.quarantined.map(encodeKept),
    leases: index.leases.map(encodeLease),
    heeded: [...index.heeded],
  });
  return concat([await sha256(body), body]);
}

function encodeKept({ size, retiredAt, ...kept }: KeptSnapshot): KeptMessage {
  return { ...kept, size: BigInt(size), ...(retiredAt !== undefined && { retiredAt: BigInt(retiredAt) }) };
}

function encodeLease({ kind, activeUntil, expiresAt, ...lease }: Lease): LeaseMessage {
  return {
    ...lease,
    kind: KINDS.indexOf(kind),
    activeUntil: BigInt(activeUntil),
    expiresAt: BigInt(expiresAt),
  };
}

/**
 * Reads an index.
 *
 * @param bytes of the object
 * @param key what it is called, for the error
 * @throws {SnapshotError} `CORRUPT`, `UNSUPPORTED` if a newer release wrote it
 */
export async function decodeIndex(bytes: Uint8Array, key: string): Promise<ObjectIndex> {
  const body = bytes.subarray(DIGEST_SIZE);
  const actual = await sha256(body);
  if (!equal(actual, bytes.subarray(0, DIGEST_SIZE))) {
    throw new SnapshotError("CORRUPT", `${key} does not have its SHA-256: it was changed or damaged, or is no index`, {
      file: key,
      expected: toHex(bytes.subarray(0, DIGEST_SIZE)),
      actual: toHex(actual),
    });
  }
  let message;
  try {
    message = OBJECT_INDEX.decode(body);
  } catch (error) {
    throw new SnapshotError("CORRUPT", `${key} is no index: ${messageOf(error)}`, { file: key, cause: error });
  }
  const { formatVersion = 0 } = message;
  if (formatVersion !== FORMAT_VERSION) {
    throw new SnapshotError("UNSUPPORTED", `${key} has format version ${formatVersion}`, {
      file: key,
      expected: FORMAT_VERSION,
      actual: formatVersion,
    });
  }
  const { epoch = "", generation = 0n, snapshots = [], retired = [], quarantined = [], leases = [], heeded = [] } =
    message;
  const index = {
    epoch,
    generation,
    snapshots: snapshots.map(decodeKept),
    retired: retired.map(decodeKept),
    quarantined: quarantined.map(decodeKept),
    leases: leases.map(decodeLease),
    heeded,
  };
  const wrong = allKept(index).find((kept) => !isKept(kept)) ?? index.leases.find((lease) => !isLease(lease));
  if (wrong === undefined && index.generation < 2n ** 63n) return index;
  throw new SnapshotError("CORRUPT", `${key} has ${JSON.stringify(wrong?.id)}, which is nothing that was written`, {
    file: key,
  });
}

/** The name of a lease: epoch, generation, and random digits. */
const LEASE = /^[0-9a-f]{16}-[0-9]{1,20}-[0-9a-f]{16}$/;
/** The name of a snapshot: that of a lease, and random digits. */
const SNAPSHOT = /^[0-9a-f]{16}-[0-9]{1,20}-[0-9a-f]{16}\/[0-9a-f]{8}$/;

function isKept({ id, index, digest, objectDigest, size, retiredAt = 0 }: KeptSnapshot): boolean {
  return SNAPSHOT.test(id) && index > 0n && digest.length === DIGEST_SIZE && objectDigest.length === DIGEST_SIZE &&
    [size, retiredAt].every(Number.isSafeInteger);
}

function isLease({ id, activeUntil, expiresAt }: Lease): boolean {
  return LEASE.test(id) && [activeUntil, expiresAt].every(Number.isSafeInteger);
}

const NO_BYTES: Uint8Array = new Uint8Array(0);

function decodeKept({ size = 0n, retiredAt, ...message }: KeptMessage): KeptSnapshot {
  const { id = "", index = 0n, head = NO_BYTES, digest = NO_BYTES, files = 0, chunks = 0, objectDigest = NO_BYTES } =
    message;
  return {
    ...message,
    ...{ id, index, head, digest, size: Number(size), files, chunks, objectDigest },
    ...(retiredAt !== undefined && { retiredAt: Number(retiredAt) }),
  };
}

function decodeLease({ id = "", kind = 0, activeUntil = 0n, expiresAt = 0n, ...message }: LeaseMessage): Lease {
  return {
    ...message,
    id,
    kind: KINDS[kind] ?? "write",
    activeUntil: Number(activeUntil),
    expiresAt: Number(expiresAt),
  };
}

/**
 * Checks that the index and the manifest of a snapshot agree.
 *
 * @throws {SnapshotError} `FORBIDDEN` if not: both are as they were written, but do not belong together
 */
export async function checkHead({ index, head, digest }: KeptSnapshot, manifest: SnapshotManifest): Promise<void> {
  const isSame = manifest.index === index && equal(digest, manifest.digest);
  if (isSame && equal(head, (await SnapshotManifest.of(manifest.meta, [])).bytes)) return;
  throw new SnapshotError("FORBIDDEN", `Snapshot ${index} is another one than the index of the bucket says`, {
    index,
    expected: toHex(digest),
    actual: toHex(manifest.digest),
  });
}

/** @throws {SnapshotError} `CORRUPT` if an object with a manifest is not what was written */
export async function checkDigest(
  bytes: Uint8Array,
  { index, objectDigest }: KeptSnapshot,
  key: string,
): Promise<void> {
  const actual = await sha256(bytes);
  if (equal(actual, objectDigest)) return;
  throw new SnapshotError("CORRUPT", `${key}, with snapshot ${index}, is not what was written`, {
    index,
    file: key,
    expected: toHex(objectDigest),
    actual: toHex(actual),
  });
}
