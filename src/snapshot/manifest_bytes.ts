/**
 * The bytes of a manifest: what stands where in them, and what is checked before they are parsed.
 *
 * @module
 */

import { yieldTurn } from "../async/mod.ts";
import { messageOf, SnapshotError } from "../errors.ts";
import { ChunkMap, concat, DIGEST_SIZE, equal, MAX_CHUNK_SIZE, toHex } from "../stream/mod.ts";
import {
  FILE_EXTENSION,
  type FileMessage,
  LOCAL_SNAPSHOT_PB_META,
  type LocalFileMetaMessage,
  SNAPSHOT_EXTENSION,
  SOURCES,
} from "./messages.ts";
import type { FileInfo, SnapshotMeta } from "./meta.ts";
import { encryptionOf, type FileTrailer, readTrailer, trailerFields } from "./trailer.ts";
import { verifiedBy } from "./verified_by.ts";
import { MAX_KEY_GROUPS_BYTES } from "./key_groups.ts";

/** The largest manifest: 64 MiB, which is two million chunks. */
export const MAX_MANIFEST_BYTES: number = 64 * 1024 * 1024;
/** The most files that a snapshot can have. */
export const MAX_FILES: number = 250_000;
/** Files that are read or written before others have their turn. */
export const FILES_A_TURN: number = 256;
/** The most fields of a manifest that are not files. */
const MOST_OTHERS = 1024;
/** Field 2 of `LocalSnapshotPbMeta`, length-delimited. */
const FILES_TAG = 2 << 3 | 2;
/**
 * The highest version of the extensions that this release reads. It writes the lowest that can say everything, so that
 * the manifest of a snapshot with neither group nor seal stays the same for every release.
 */
export const FORMAT_VERSION: number = 3;

/** Decides whether a manifest is trusted, before its files are looked at. */
export interface ManifestVerifier {
  /** Throws if it is not. */
  verify(manifest: { readonly index: bigint; readonly digest: Uint8Array; readonly meta: SnapshotMeta }): Promise<void>;
}

export function isExtended(meta: SnapshotMeta, files: readonly FileInfo[]): boolean {
  return meta.createdAt !== undefined && files.every((file) => file.chunks !== undefined);
}

/**
 * The least version that the extensions of a manifest are of: 3 if it keeps unknown fields, since a release that drops
 * them would take it for damaged. 2 with a group or a seal.
 */
export function leastVersion(meta: SnapshotMeta, files: readonly FileInfo[]): number {
  return [meta, ...files].some(({ unknownFields }) => unknownFields !== undefined) ? 3 : 1;
}

/**
 * The first bytes of a manifest; without a digest, those that the digest is computed over.
 *
 * @param meta the metadata
 * @param least the least version of the extensions; without one there are none
 * @param digest the digest, once it is known
 */
export function encodeHead(
  meta: SnapshotMeta,
  least: number | undefined,
  digest: Uint8Array | undefined,
): Uint8Array {
  return LOCAL_SNAPSHOT_PB_META.encode({
    meta: {
      lastIncludedIndex: meta.lastIncludedIndex,
      lastIncludedTerm: meta.lastIncludedTerm,
      peers: [...meta.peers],
      oldPeers: [...meta.oldPeers ?? []],
      ...(meta.unknownFields !== undefined && { unknownFields: [meta.unknownFields] }),
      ...(least !== undefined && { extension: encodeSnapshotExtension(meta, least, digest) }),
    },
  });
}

/** The bytes that follow, of its files. Others have their turn meanwhile: a stranger's manifest may have many. */
export async function encodeFiles(files: readonly FileInfo[], extended: boolean): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (let i = 0; i < files.length; i += FILES_A_TURN) {
    if (i > 0) await yieldTurn();
    const some = files.slice(i, i + FILES_A_TURN);
    parts.push(LOCAL_SNAPSHOT_PB_META.encode({
      files: some.map((file) => ({ name: file.name, meta: encodeFileMeta(file, extended) })),
    }));
  }
  return concat(parts);
}

function encodeSnapshotExtension(meta: SnapshotMeta, least: number, digest: Uint8Array | undefined): Uint8Array {
  const { group, signature } = meta;
  const seal = digest && meta.seal; // it covers the digest, as the signature does, and so cannot be part of it
  return SNAPSHOT_EXTENSION.encode({
    formatVersion: Math.max(least, group === undefined && seal === undefined ? 1 : 2),
    createdAt: BigInt(meta.createdAt!),
    ...(meta.writer !== undefined && { writer: meta.writer }),
    ...(meta.parentIndex !== undefined && { parentIndex: meta.parentIndex }),
    ...(group !== undefined && { group }),
    ...(digest !== undefined && { digest, ...(signature !== undefined && { signature }) }),
    ...(seal !== undefined && { seal: { keyId: seal.keyId, mac: seal.mac } }),
  });
}

function encodeFileMeta(
  { userMeta, source, checksum, unknownFields, chunks, ...trailer }: FileInfo,
  extended: boolean,
): LocalFileMetaMessage {
  return {
    ...(userMeta !== undefined && { userMeta }),
    ...(source !== undefined && { source: SOURCES.indexOf(source) }),
    ...(checksum !== undefined && { checksum }),
    ...(unknownFields !== undefined && { unknownFields: [unknownFields] }),
    ...(extended && {
      extension: FILE_EXTENSION.encode({
        size: BigInt(chunks!.size),
        ...("chunkSize" in chunks!.chunking
          ? { chunkSize: chunks!.chunking.chunkSize }
          : { chunkLengths: [...chunks!.chunking.chunkLengths] }),
        chunkDigests: chunks!.digests,
        root: chunks!.root,
        ...trailerFields(trailer),
      }),
    }),
  };
}

/**
 * Reads the group in a manifest that was checked when it was written, without decoding all of it.
 *
 * @param bytes a `LocalSnapshotPbMeta`
 * @throws {SnapshotError} `MALFORMED`, `UNSUPPORTED`
 */
export function groupOfManifest(bytes: Uint8Array): string | undefined {
  const { meta } = parse(() => LOCAL_SNAPSHOT_PB_META.decode(bytes));
  return decodeSnapshotExtension(meta?.extension)?.fields.group;
}

export function decodeSnapshotExtension(
  bytes: Uint8Array | undefined,
): { fields: Partial<SnapshotMeta>; digest: Uint8Array } | undefined {
  if (bytes === undefined) return undefined;
  const { formatVersion = 0, createdAt = 0n, digest = new Uint8Array(0), seal, ...rest } = parse(() =>
    SNAPSHOT_EXTENSION.decode(bytes)
  );
  if (formatVersion > FORMAT_VERSION) {
    throw new SnapshotError(
      "UNSUPPORTED",
      `The manifest has format version ${formatVersion}; this release reads up to ${FORMAT_VERSION}`,
      { expected: FORMAT_VERSION, actual: formatVersion },
    );
  }
  return {
    fields: { createdAt: Number(createdAt), ...rest, ...(seal !== undefined && { seal: encryptionOf(seal) }) },
    digest,
  };
}

export async function decodeFile({ name = "", meta = {} }: FileMessage, extended: boolean): Promise<FileInfo> {
  const { userMeta, checksum } = meta;
  const source = SOURCES[meta.source ?? -1];
  const extension = await decodeExtension(name, meta.extension);
  if ((extension !== undefined) !== extended) {
    throw new SnapshotError(
      "CORRUPT",
      extended
        ? `The manifest lost what it said of the chunks of ${JSON.stringify(name)}`
        : `The manifest has the chunks of ${JSON.stringify(name)}, and lost what it said of the snapshot`,
      { file: name },
    );
  }
  return {
    name,
    ...(userMeta !== undefined && { userMeta }),
    ...(source !== undefined && { source }),
    ...(checksum !== undefined && { checksum }),
    ...unknownOf(meta),
    ...extension,
  };
}

/** The unknown fields of a message, as a copy in one piece. */
export function unknownOf({ unknownFields }: { readonly unknownFields?: Uint8Array[] }): {
  readonly unknownFields?: Uint8Array;
} {
  return unknownFields === undefined ? {} : { unknownFields: concat(unknownFields) };
}

async function decodeExtension(
  file: string,
  bytes: Uint8Array | undefined,
): Promise<Required<Pick<FileInfo, "chunks">> & FileTrailer | undefined> {
  if (bytes === undefined) return undefined;
  checkLists(file, bytes);
  const none = new Uint8Array(0);
  const {
    size = 0n,
    chunkSize = 0,
    chunkLengths = [],
    chunkDigests = none,
    root = none,
    compression = "",
    ...trailer
  } = parse(() => FILE_EXTENSION.decode(bytes));
  if (compression !== "") {
    throw new SnapshotError("UNSUPPORTED", `${JSON.stringify(file)} was written by a newer release`, { file });
  }
  const longest = chunkLengths.reduce((max, length) => Math.max(max, length), chunkSize);
  if (longest > MAX_CHUNK_SIZE) {
    throw new SnapshotError("MALFORMED", `${JSON.stringify(file)} has chunks of ${longest} bytes`, {
      file,
      expected: MAX_CHUNK_SIZE,
      actual: longest,
    });
  }
  const chunks = await ChunkMap.of(
    Number(size),
    chunkSize > 0 ? { chunkSize } : { chunkLengths: Uint32Array.from(chunkLengths) },
    chunkDigests,
  );
  if (equal(chunks.root, root)) return { chunks, ...readTrailer(trailer, chunks.size) };
  throw new SnapshotError("CORRUPT", `The chunk digests of ${JSON.stringify(file)} do not give its root digest`, {
    file,
    expected: toHex(root),
    actual: toHex(chunks.root),
  });
}

/**
 * Refuses a manifest with too many files before it is parsed: five bytes can become half a kilobyte of objects. Of
 * other fields there is one, and a few more if somebody added some: two million take a second to walk over.
 */
export function checkFileCount(bytes: Uint8Array, most: number): void {
  let files = 0;
  let others = 0;
  for (const { tag } of fieldsOf(bytes)) {
    if (tag !== FILES_TAG) others++;
    else if (++files > most) {
      throw new SnapshotError("MALFORMED", `The manifest has more than ${most} files`, { expected: most });
    }
    if (others > MOST_OTHERS) throw malformed(`it has more than ${MOST_OTHERS} fields beside its files`);
  }
}

/** Checks a signature for the digest that a manifest says it has. Whether it does is seen when all of it is read. */
export async function checkTrusted(bytes: Uint8Array, verifier: ManifestVerifier): Promise<void> {
  const others: Uint8Array[] = [];
  for (const { tag, begin, end } of fieldsOf(bytes)) if (tag !== FILES_TAG) others.push(bytes.subarray(begin, end));
  const { meta } = parse(() => LOCAL_SNAPSHOT_PB_META.decode(concat(others)));
  const { lastIncludedIndex = 0n, lastIncludedTerm = 0n, peers = [] } = meta ?? {};
  const { fields, digest = new Uint8Array(DIGEST_SIZE) } = decodeSnapshotExtension(meta?.extension) ?? {};
  await verifiedBy(verifier, {
    index: lastIncludedIndex,
    digest,
    meta: { lastIncludedIndex, lastIncludedTerm, peers, ...fields },
  });
}

/** Refuses lists that are too long before they are parsed: a byte of them can become forty. */
function checkLists(file: string, bytes: Uint8Array): void {
  const { chunkLengths, chunkDigests, keyGroups } = FILE_EXTENSION.fields;
  const sizes = new Map<number, number>();
  for (const { tag, size } of fieldsOf(bytes)) {
    const field = Math.floor(tag / 8);
    sizes.set(field, (sizes.get(field) ?? 0) + size);
  }
  const sizeOf = (field: { readonly number: number } | undefined) => sizes.get(field!.number) ?? 0;
  // A length takes up to four bytes (4 MiB), and comes with a digest.
  if (sizeOf(chunkLengths) <= sizeOf(chunkDigests) * 4 / DIGEST_SIZE && sizeOf(keyGroups) <= MAX_KEY_GROUPS_BYTES) {
    return;
  }
  throw new SnapshotError("MALFORMED", `${JSON.stringify(file)} has longer lists of chunks or key groups than it can`, {
    file,
  });
}

/** Walks over the fields of a message; errors in them are left to the parser. */
function* fieldsOf(
  bytes: Uint8Array,
): Generator<{ tag: number; size: number; begin: number; end: number }, void, undefined> {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1; at < bytes.length; factor *= 0x80) {
      const byte = bytes[at++]!;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) break;
    }
    return value;
  };
  while (at < bytes.length) {
    const begin = at;
    const tag = varint();
    const type = tag % 8; // a varint, 8 bytes, a length and so many bytes, begin and end of a group, 4 bytes
    const size = type === 2 ? varint() : type === 1 ? 8 : type === 5 ? 4 : 0;
    const start = at;
    at += size;
    if (type === 0) varint();
    yield { tag, size: at - start, begin, end: at };
  }
}

export function parse<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw malformed(messageOf(error), error);
  }
}

export function malformed(what: string, cause?: unknown): SnapshotError {
  return new SnapshotError("MALFORMED", `This is not the manifest of a snapshot, or it is damaged: ${what}`, { cause });
}
