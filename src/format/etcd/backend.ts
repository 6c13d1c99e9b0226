/**
 * Snapshots of etcd v3: `etcdctl snapshot save`, and the `db` of a member.
 *
 * ```text
 * snap.db = database of bbolt, SHA-256 of it        without the digest: a `db` that was copied
 * buckets: key (revisions), lease, meta, members, cluster, alarm, auth …
 * key     = revision u64be "_" sub u64be ["t": deleted]       value = mvccpb.KeyValue
 * ```
 *
 * @module
 */

import { SnapshotError, throwIfCancelled } from "../../errors.ts";
import { equal, toHex } from "../../stream/mod.ts";
import { protobufFields } from "../bytes/cursor.ts";
import { runningHash } from "../bytes/hash.ts";
import { readBlocks, readExactly, readStart, type SourceFile, type SourceFiles, withFile } from "../files.ts";
import type { Format, FormatEntriesOptions, FormatEntry } from "../format.ts";
import { ForeignReader, type RunningCheck, type Verification } from "../reader.ts";
import { Bolt, type BoltElement } from "./bolt.ts";
import { looksLikeBolt } from "./bolt_meta.ts";

/** The name of the file in the snapshot: all of it, with the digest, as `etcdutl` takes it. */
const FILE = "snapshot.db";
const DIGEST = 32;
/** The most members and buckets that are listed. */
const MOST_LISTED = 1000;

/** The most elements, and pages, of a bucket that are looked at to describe it: more leases are not counted. */
const MOST_WALKED = 100_000;

/** A part of a snapshot of etcd: where the database ends, and the digest follows. */
interface Parts {
  readonly name: string;
  readonly size: number;
  readonly database: number;
}

function partsOf(files: SourceFiles): Parts {
  const { name, size } = files.entries[0]!;
  return { name, size, database: size % 512 === DIGEST ? size - DIGEST : size };
}

async function withBolt<T>(files: SourceFiles, use: (bolt: Bolt) => Promise<T>): Promise<T> {
  const { name, database } = partsOf(files);
  return await withFile(files, name, async (file: SourceFile) => await use(await Bolt.open(file, name, database)));
}

/** The facts that are known without reading the keys. */
async function describe(bolt: Bolt) {
  const buckets: string[] = [];
  const members: EtcdMember[] = [];
  let [consistentIndex, term] = [0n, 0n];
  let clusterVersion: string | undefined;
  let revision = 0n;
  let leases = 0;
  for await (const bucket of bolt.buckets()) {
    const name = textOf(bucket.key);
    if (buckets.length < MOST_LISTED) buckets.push(name);
    if (name === "key") {
      const last = await bolt.last(bucket);
      if (last !== undefined && last.key.length >= 8) revision = u64Of(last.key);
      continue;
    }
    if (!["meta", "members", "cluster", "lease"].includes(name)) continue;
    let left = MOST_WALKED;
    for await (const { key, value } of bolt.elements(bucket, MOST_WALKED)) {
      const text = textOf(key);
      if (name === "meta" && text === "consistent_index" && value.length === 8) consistentIndex = u64Of(value);
      if (name === "meta" && text === "term" && value.length === 8) term = u64Of(value);
      if (name === "cluster" && text === "clusterVersion") clusterVersion = textOf(value);
      if (name === "members" && members.length < MOST_LISTED) members.push(memberOf(text, value));
      if (name === "lease") leases++;
      if (--left === 0) break;
    }
  }
  return { buckets, members, consistentIndex, term, clusterVersion, revision, leases };
}

/** A member of the cluster. */
interface EtcdMember {
  readonly id: string;
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  /** Whether it votes. */
  readonly suffrage: "voter" | "nonvoter";
}

/** A member: its identifier is a number of 64 bits, which JSON would round, so that the key says it. */
function memberOf(id: string, value: Uint8Array): EtcdMember {
  let json: { name?: unknown; peerURLs?: unknown; clientURLs?: unknown; isLearner?: unknown } = {};
  try {
    json = JSON.parse(textOf(value)) ?? {};
  } catch {
    // It is listed by its identifier alone.
  }
  const texts = (list: unknown) => Array.isArray(list) ? list.map(String) : [];
  const suffrage = json.isLearner === true ? "nonvoter" : "voter";
  const [peerUrls, clientUrls] = [texts(json.peerURLs), texts(json.clientURLs)];
  return { id, name: String(json.name ?? ""), peerUrls, clientUrls, suffrage };
}

/** Compares all but the last 32 bytes with those. */
function trailingDigest(file: string, database: number): RunningCheck {
  const hash = runningHash("sha256");
  const trailer = new Uint8Array(DIGEST);
  let at = 0;
  return {
    update(bytes) {
      const inDatabase = Math.max(Math.min(database - at, bytes.length), 0);
      hash.update(bytes.subarray(0, inDatabase));
      trailer.set(bytes.subarray(inDatabase), Math.max(at - database, 0));
      at += bytes.length;
    },
    end() {
      const actual = hash.digest();
      if (equal(actual, trailer)) return;
      throw new SnapshotError(
        "CORRUPT",
        `${JSON.stringify(file)} does not end with its SHA-256: it was changed or damaged`,
        {
          file,
          expected: toHex(trailer),
          actual: toHex(actual),
        },
      );
    },
  };
}

/** Walks over all pages, as `etcdutl snapshot status` does, and hashes them as they come: they are read once. */
async function verifyPages(files: SourceFiles, { tracker, signal, attempt }: Verification): Promise<void> {
  const { name, size, database } = partsOf(files);
  await withFile(files, name, async (file) => {
    const digest = size > database ? trailingDigest(name, database) : undefined;
    await attempt(FILE, async () => {
      const bolt = await Bolt.open(file, name, database, (bytes) => {
        throwIfCancelled(signal);
        digest?.update(bytes);
        tracker.add(bytes.length);
      });
      try {
        await attempt(FILE, () => bolt.check());
        if (digest === undefined) return;
        await bolt.rest();
        digest.update(await readExactly(file, database, size, name));
        digest.end();
      } finally {
        await bolt.close();
      }
    });
  });
}

async function* entries(
  files: SourceFiles,
  { space = "key" }: FormatEntriesOptions,
): AsyncGenerator<FormatEntry, void, undefined> {
  const { name, database } = partsOf(files);
  const file = await files.open(name);
  try {
    const bolt = await Bolt.open(file, name, database);
    for await (const bucket of bolt.buckets()) {
      if (textOf(bucket.key) !== space) continue;
      for await (const element of bolt.elements(bucket)) {
        if (space !== "key") yield { space, key: element.key.slice(), value: element.value.slice() };
        else yield { space, ...keyValueOf(element) };
      }
    }
  } finally {
    await file.close();
  }
}

/** A revision: the key and its value, or no value where the key was deleted. */
function keyValueOf({ key, value }: BoltElement): { key: Uint8Array; value: Uint8Array | undefined } {
  const isDeleted = key.length === 18 && key[17] === 0x74;
  let [name, content] = [new Uint8Array(0) as Uint8Array, new Uint8Array(0) as Uint8Array];
  for (const { number, bytes } of protobufFields(value, "A revision of etcd")) {
    if (number === 1) name = bytes.slice();
    if (number === 5) content = bytes.slice();
  }
  return { key: name, value: isDeleted ? undefined : content };
}

/** Snapshots of etcd's v3 backend. `entries` gives each revision in its order; a deleted key has no value. */
export const etcd: Format = {
  system: "etcd",
  async detect(files) {
    const [file] = files.entries;
    if (files.isDirectory || file === undefined) return undefined;
    const start = await readStart(files, file.name, 4096 + 24);
    if (!looksLikeBolt(start) && !looksLikeBolt(start.subarray(4096))) return undefined;
    const description = file.size % 512 === DIGEST ? "etcd v3 snapshot (bbolt, SHA-256)" : "etcd v3 database (bbolt)";
    try {
      const { buckets } = await withBolt(files, describe);
      return buckets.includes("key") && buckets.includes("meta")
        ? { system: "etcd", sure: "certain", description }
        : undefined; // somebody else's database of bbolt
    } catch (error) {
      if (!(error instanceof SnapshotError) || error.code === "UNAVAILABLE") throw error;
      return { system: "etcd", sure: "likely", description };
    }
  },
  async list(files) {
    const { consistentIndex: index, term } = await withBolt(files, describe);
    return [{ index: index || 1n, term, size: partsOf(files).size, name: files.entries[0]!.name }];
  },
  async open(files, index) {
    const { name, size, database } = partsOf(files);
    const found = await withBolt(files, async (bolt) => ({ ...await describe(bolt), ...bolt.meta }));
    const { consistentIndex, term, members } = found;
    if (index !== undefined && index !== (consistentIndex || 1n)) {
      throw new SnapshotError("NOT_FOUND", `It is of index ${consistentIndex}, not ${index}`, { index });
    }
    const hasDigest = size > database;
    const { buckets, clusterVersion, revision, leases, pageSize, pages, transaction } = found;
    return await ForeignReader.of({
      system: "etcd",
      meta: {
        lastIncludedIndex: consistentIndex || 1n,
        lastIncludedTerm: term,
        peers: members.flatMap(({ peerUrls, suffrage }) => suffrage === "voter" ? peerUrls : []),
      },
      files: [{
        name: FILE,
        size,
        read: (start, end, options) => readBlocks(files, name, start, end, options),
        ...(hasDigest && { check: () => trailingDigest(name, database) }),
      }],
      details: {
        ...{ consistentIndex, revision, clusterVersion, members, buckets, leases },
        ...{ pageSize, pages, transaction, hasDigest },
      },
      checked: [
        ...(hasDigest ? ["the SHA-256 at its end"] : []),
        "the checksums of the meta pages, and that all pages fit together",
      ],
      unchecked: hasDigest ? [] : ["keys and values: a database without the SHA-256 that a snapshot ends with"],
      verify: (verification) => verifyPages(files, verification),
      entries: (options) => entries(files, options),
    });
  },
};

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function u64Of(bytes: Uint8Array): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0);
}
