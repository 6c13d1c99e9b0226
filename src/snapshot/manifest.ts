/**
 * The manifest: the metadata and files of a snapshot, in braft's bytes.
 *
 * ```text
 * __raft_snapshot_meta = length body       length = u32 big-endian, body = LocalSnapshotPbMeta (manifest.proto)
 * ```
 *
 * Without Snapstream's extensions the bytes are those that braft's `LocalSnapshotMetaTable::save_to_file` writes. With
 * them braft still reads, copies and keeps it all, since it keeps unknown fields of the two messages that they are in.
 *
 * @module
 */

import { create, fromBinary, isFieldSet, toBinary } from "@bufbuild/protobuf";
import { able, checkBytes, checkOptions, checkString, integer, listOf, required } from "../checks.ts";
import { messageOf, SnapshotError } from "../errors.ts";
import { InFlight, yieldTurn } from "../async/mod.ts";
import {
  checkChunkMap,
  ChunkMap,
  compareBytes,
  concat,
  DIGEST_SIZE,
  equal,
  MAX_CHUNK_SIZE,
  sha256,
  toHex,
  u32,
} from "../stream/mod.ts";
import {
  FileExtensionSchema,
  FileSource,
  LocalFileMetaSchema,
  type LocalSnapshotPbMeta,
  LocalSnapshotPbMetaSchema,
  SnapshotExtensionSchema,
  SnapshotMetaSchema,
} from "./gen/manifest_pb.ts";
import { SnapshotContent } from "./content.ts";
import { attributeChecks, checkEncryption, checkMeta, type FileInfo, type SnapshotMeta } from "./meta.ts";
import { type FileTrailer, readTrailer, trailerFields } from "./trailer.ts";
import { checkKeyGroups, MAX_KEY_GROUPS_BYTES } from "./key_groups.ts";
import { checkNames } from "./names.ts";

/** The largest manifest: 64 MiB, which is two million chunks. */
export const MAX_MANIFEST_BYTES: number = 64 * 1024 * 1024;
/** The most files that a snapshot can have. */
export const MAX_FILES: number = 250_000;
/** Files that are read at the same time. */
const DECODED_AHEAD = 16;
/** Files that are read before others have their turn. */
const FILES_A_TURN = 256;
/** Field 2 of `LocalSnapshotPbMeta`, length-delimited. */
const FILES_TAG = 2 << 3 | 2;
/**
 * The highest version of the extensions that this release reads. It writes 1 if version 1 can say everything, so that
 * the manifest of a snapshot with neither group nor seal stays the same for every release.
 */
export const FORMAT_VERSION: number = 2;

/** The first byte of either extension: field 1 as a varint. A field 1000 that begins otherwise is somebody else's. */
const EXTENSION_TAG = 0x08;
/** Unknown fields are dropped: they are not written again, and each of two bytes would become an object. */
const KNOWN_ONLY = { readUnknownFields: false } as const;

/** Options of {@linkcode SnapshotManifest.decode}. */
export interface DecodeOptions {
  /** Refuses a manifest that is not signed by somebody who is trusted, before its files are looked at. */
  readonly verifier?: {
    verify(manifest: Pick<SnapshotManifest, "index" | "digest" | "meta">): Promise<void>;
  } | undefined;
  /**
   * The most files that it may have.
   *
   * @default {250000}
   */
  readonly files?: number | undefined;
}

/**
 * The metadata and files of a snapshot. Immutable.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export class SnapshotManifest {
  /** The metadata of the snapshot. */
  readonly meta: SnapshotMeta;
  /** The files, in the order of their raw UTF-8 bytes. */
  readonly files: readonly FileInfo[];
  /** Names the snapshot: the SHA-256 of the manifest without digest, signature and seal; 32 bytes. */
  readonly digest: Uint8Array;
  /** The manifest as protobuf: a `LocalSnapshotPbMeta`. */
  readonly bytes: Uint8Array;
  readonly #byName: ReadonlyMap<string, FileInfo>;
  #content: SnapshotContent | undefined;

  private constructor(meta: SnapshotMeta, files: readonly FileInfo[], digest: Uint8Array, bytes: Uint8Array) {
    this.meta = meta;
    this.files = files;
    this.digest = digest;
    this.bytes = bytes;
    this.#byName = new Map(files.map((file) => [file.name, file]));
  }

  /**
   * Makes a manifest. It has Snapstream's extensions if all files have chunks and `meta` has a `createdAt`; else it is
   * what braft would write.
   *
   * @param meta the metadata of the snapshot
   * @param files in any order
   * @throws {SnapshotError} `MALFORMED` if a name, the index or the term is not allowed, or it is over 64 MiB
   */
  static async of(meta: SnapshotMeta, files: readonly FileInfo[]): Promise<SnapshotManifest> {
    const own = checkMeta(meta);
    checkFiles(files);
    if (files.length > MAX_FILES) {
      throw new SnapshotError("MALFORMED", `A snapshot has at most ${MAX_FILES} files, not ${files.length}`, {
        expected: MAX_FILES,
        actual: files.length,
      });
    }
    checkNames(files.map(({ name }) => name));
    for (const { keyGroups, chunks } of files) {
      if (keyGroups !== undefined) checkKeyGroups(keyGroups, chunks?.size ?? Infinity);
    }
    const encoder = new TextEncoder();
    const sorted = files.map((file) => ({ file, key: encoder.encode(file.name) }))
      .sort((a, b) => compareBytes(a.key, b.key)).map(({ file }) => file);
    const digest = await sha256(encode(own, sorted, undefined));
    const bytes = encode(own, sorted, digest);
    if (bytes.length > MAX_MANIFEST_BYTES) {
      throw new SnapshotError(
        "MALFORMED",
        `The manifest would have ${bytes.length} bytes, over ${MAX_MANIFEST_BYTES}: use larger chunks or fewer files`,
        { expected: MAX_MANIFEST_BYTES, actual: bytes.length },
      );
    }
    return new SnapshotManifest(own, sorted, digest, bytes);
  }

  /**
   * Reads a manifest.
   *
   * @param encoded a `LocalSnapshotPbMeta`
   * @param options who is trusted, and how many files it may have
   * @throws {SnapshotError} `MALFORMED` if it is none, or has names or numbers that are not allowed; `CORRUPT` if it
   *   does not have its digest; `UNSUPPORTED` if a newer release wrote it; `FORBIDDEN` if it is not trusted
   */
  static async decode(encoded: Uint8Array, options: DecodeOptions = {}): Promise<SnapshotManifest> {
    const { verifier, files: mostFiles } = checkOptions(options, {
      verifier: able("a SnapshotVerifier", "verify"),
      files: integer(1, MAX_FILES),
    });
    const bytes = checkBytes(encoded, "bytes");
    if (bytes.length > MAX_MANIFEST_BYTES) {
      throw new SnapshotError("MALFORMED", `The manifest has ${bytes.length} bytes, over ${MAX_MANIFEST_BYTES}`, {
        expected: MAX_MANIFEST_BYTES,
        actual: bytes.length,
      });
    }
    checkFileCount(bytes, mostFiles ?? MAX_FILES);
    if (verifier !== undefined) await checkTrusted(bytes, verifier);
    const message = parse(() => fromBinary(LocalSnapshotPbMetaSchema, bytes, KNOWN_ONLY));
    const { field } = SnapshotMetaSchema;
    if (
      message.meta === undefined || !isFieldSet(message.meta, field.lastIncludedIndex) ||
      !isFieldSet(message.meta, field.lastIncludedTerm)
    ) {
      throw malformed("it does not say which index and term it is of");
    }
    const extension = decodeSnapshotExtension(message.meta.extension);
    const files: FileInfo[] = [];
    const decoding = new InFlight<FileInfo>(); // each waits for a digest
    for (const [i, file] of message.files.entries()) {
      if (i % FILES_A_TURN === FILES_A_TURN - 1) await yieldTurn();
      decoding.add(decodeFile(file, extension !== undefined));
      if (decoding.size >= DECODED_AHEAD) files.push(await decoding.next());
    }
    while (decoding.size > 0) files.push(await decoding.next());
    const { lastIncludedIndex, lastIncludedTerm, peers, oldPeers } = message.meta;
    const manifest = await SnapshotManifest.of({
      lastIncludedIndex,
      lastIncludedTerm,
      peers,
      ...(oldPeers.length > 0 && { oldPeers }),
      ...extension?.fields,
    }, files);
    // Byte by byte: some changes (of a wire type, of the order) mean nothing to protobuf, but are damage all the same.
    if (extension !== undefined && !(equal(extension.digest, manifest.digest) && equal(bytes, manifest.bytes))) {
      throw new SnapshotError("CORRUPT", "The manifest does not have its SHA-256: it was changed or damaged", {
        index: lastIncludedIndex,
        expected: toHex(extension.digest),
        actual: toHex(manifest.digest),
      });
    }
    return manifest;
  }

  /** Reads a manifest in its frame: the content of a file `__raft_snapshot_meta`. See {@linkcode decode}. */
  static async decodeFramed(framed: Uint8Array): Promise<SnapshotManifest> {
    const bytes = checkBytes(framed, "bytes");
    if (bytes.length < 4) {
      throw malformed(`it has ${bytes.length} bytes, less than its frame`);
    }
    const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
    if (length !== bytes.length - 4) {
      throw malformed(`its frame says ${length} bytes, and ${bytes.length - 4} follow`);
    }
    return await SnapshotManifest.decode(bytes.subarray(4));
  }

  /** The manifest in its frame: the content of a file `__raft_snapshot_meta`. */
  get framed(): Uint8Array {
    return concat([u32(this.bytes.length), this.bytes]);
  }

  /** The index of the last log entry that it covers. */
  get index(): bigint {
    return this.meta.lastIncludedIndex;
  }

  /** True if the content can be verified: it has Snapstream's extensions. */
  get verifiable(): boolean {
    return isExtended(this.meta, this.files);
  }

  /**
   * All files as one run of bytes.
   *
   * @throws {SnapshotError} `UNSUPPORTED` if it is not {@linkcode verifiable}
   */
  get content(): SnapshotContent {
    return this.#content ??= new SnapshotContent(this.files);
  }

  /** The bytes of all files; one without a size counts as 0. */
  get size(): number {
    return this.files.reduce((sum, { chunks }) => sum + (chunks?.size ?? 0), 0);
  }

  /**
   * A file by its name.
   *
   * @throws {SnapshotError} `NOT_FOUND`
   */
  file(name: string): FileInfo {
    const found = this.#byName.get(checkString(name, "The name of a file"));
    if (found !== undefined) return found;
    throw new SnapshotError("NOT_FOUND", `Snapshot ${this.index} has no file ${JSON.stringify(name)}`, {
      file: name,
      index: this.index,
    });
  }
}

/** Checks the descriptions of files, but not their names and key groups. */
export function checkFiles(files: readonly FileInfo[]): void {
  const checks = {
    ...attributeChecks(),
    name: required(checkString),
    keyGroups: () => {},
    encryption: checkEncryption,
    chunks: checkChunkMap,
  };
  listOf((file, what) => checkOptions(file as FileInfo, checks, what))(files, "files");
}

function isExtended(meta: SnapshotMeta, files: readonly FileInfo[]): boolean {
  return meta.createdAt !== undefined && files.every((file) => file.chunks !== undefined);
}

/** The encoded manifest; without a digest, the bytes that the digest is computed over. */
function encode(meta: SnapshotMeta, files: readonly FileInfo[], digest: Uint8Array | undefined): Uint8Array {
  const extended = isExtended(meta, files);
  return toBinary(
    LocalSnapshotPbMetaSchema,
    create(LocalSnapshotPbMetaSchema, {
      meta: {
        lastIncludedIndex: meta.lastIncludedIndex,
        lastIncludedTerm: meta.lastIncludedTerm,
        peers: [...meta.peers],
        oldPeers: [...meta.oldPeers ?? []],
        ...(extended && { extension: encodeSnapshotExtension(meta, digest) }),
      },
      files: files.map((file) => ({ name: file.name, meta: encodeFileMeta(file, extended) })),
    }),
  );
}

function encodeSnapshotExtension(meta: SnapshotMeta, digest: Uint8Array | undefined): Uint8Array {
  const { group, signature } = meta;
  const seal = digest && meta.seal; // it covers the digest, as the signature does, and so cannot be part of it
  return toBinary(
    SnapshotExtensionSchema,
    create(SnapshotExtensionSchema, {
      formatVersion: group === undefined && seal === undefined ? 1 : 2,
      createdAt: BigInt(meta.createdAt!),
      ...(meta.writer !== undefined && { writer: meta.writer }),
      ...(meta.parentIndex !== undefined && { parentIndex: meta.parentIndex }),
      ...(group !== undefined && { group }),
      ...(digest !== undefined && { digest, ...(signature !== undefined && { signature }) }),
      ...(seal !== undefined && { seal: { keyId: seal.keyId, mac: seal.mac } }),
    }),
  );
}

function encodeFileMeta({ userMeta, source, checksum, chunks, ...trailer }: FileInfo, extended: boolean) {
  return {
    ...(userMeta !== undefined && { userMeta }),
    ...(source !== undefined && {
      source: source === "local" ? FileSource.LOCAL : FileSource.REFERENCE,
    }),
    ...(checksum !== undefined && { checksum }),
    ...(extended && {
      extension: toBinary(
        FileExtensionSchema,
        create(FileExtensionSchema, {
          size: BigInt(chunks!.size),
          ...("chunkSize" in chunks!.chunking
            ? { chunkSize: chunks!.chunking.chunkSize }
            : { chunkLengths: [...chunks!.chunking.chunkLengths] }),
          chunkDigests: chunks!.digests,
          root: chunks!.root,
          ...trailerFields(trailer),
        }),
      ),
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
  const { meta } = parse(() => fromBinary(LocalSnapshotPbMetaSchema, bytes, KNOWN_ONLY));
  return decodeSnapshotExtension(meta?.extension ?? new Uint8Array(0))?.fields.group;
}

function decodeSnapshotExtension(
  bytes: Uint8Array,
): { fields: Partial<SnapshotMeta>; digest: Uint8Array } | undefined {
  if (bytes[0] !== EXTENSION_TAG) return undefined;
  const message = parse(() => fromBinary(SnapshotExtensionSchema, bytes, KNOWN_ONLY));
  if (message.formatVersion > FORMAT_VERSION) {
    throw new SnapshotError(
      "UNSUPPORTED",
      `The manifest has format version ${message.formatVersion}; this release reads up to ${FORMAT_VERSION}`,
      { expected: FORMAT_VERSION, actual: message.formatVersion },
    );
  }
  const has = (field: "writer" | "parentIndex" | "group" | "signature") =>
    isFieldSet(message, SnapshotExtensionSchema.field[field]);
  return {
    fields: {
      createdAt: Number(message.createdAt),
      ...(has("writer") && { writer: message.writer }),
      ...(has("parentIndex") && { parentIndex: message.parentIndex }),
      ...(has("group") && { group: message.group }),
      ...(has("signature") && { signature: message.signature }),
      ...(message.seal !== undefined && { seal: checkEncryption(message.seal) }),
    },
    digest: message.digest,
  };
}

async function decodeFile(file: LocalSnapshotPbMeta["files"][number], extended: boolean): Promise<FileInfo> {
  const { name, meta } = file;
  const has = (field: "userMeta" | "source" | "checksum") =>
    meta !== undefined && isFieldSet(meta, LocalFileMetaSchema.field[field]);
  const extension = await decodeExtension(name, meta?.extension ?? new Uint8Array(0));
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
    ...(has("userMeta") && { userMeta: meta!.userMeta }),
    ...(has("source") && { source: meta!.source === FileSource.LOCAL ? "local" : "reference" }),
    ...(has("checksum") && { checksum: meta!.checksum }),
    ...extension,
  };
}

async function decodeExtension(
  file: string,
  bytes: Uint8Array,
): Promise<Required<Pick<FileInfo, "chunks">> & FileTrailer | undefined> {
  if (bytes[0] !== EXTENSION_TAG) return undefined;
  checkLists(file, bytes);
  const message = parse(() => fromBinary(FileExtensionSchema, bytes, KNOWN_ONLY));
  if (message.compression !== "") {
    throw new SnapshotError("UNSUPPORTED", `${JSON.stringify(file)} was written by a newer release`, { file });
  }
  const longest = message.chunkLengths.reduce((max, length) => Math.max(max, length), message.chunkSize);
  if (longest > MAX_CHUNK_SIZE) {
    throw new SnapshotError("MALFORMED", `${JSON.stringify(file)} has chunks of ${longest} bytes`, {
      file,
      expected: MAX_CHUNK_SIZE,
      actual: longest,
    });
  }
  const chunks = await ChunkMap.of(
    Number(message.size),
    message.chunkSize > 0 ? { chunkSize: message.chunkSize } : { chunkLengths: Uint32Array.from(message.chunkLengths) },
    message.chunkDigests,
  );
  if (equal(chunks.root, message.root)) {
    return {
      chunks,
      ...readTrailer(message, chunks.size),
    };
  }
  throw new SnapshotError("CORRUPT", `The chunk digests of ${JSON.stringify(file)} do not give its root digest`, {
    file,
    expected: toHex(message.root),
    actual: toHex(chunks.root),
  });
}

/** Refuses a manifest with too many files before it is parsed: five bytes can become half a kilobyte of objects. */
function checkFileCount(bytes: Uint8Array, most: number): void {
  let files = 0;
  for (const { tag } of fieldsOf(bytes)) {
    if (tag === FILES_TAG && ++files > most) {
      throw new SnapshotError("MALFORMED", `The manifest has more than ${most} files`, { expected: most });
    }
  }
}

/** Checks a signature for the digest that a manifest says it has. Whether it does is seen when all of it is read. */
async function checkTrusted(bytes: Uint8Array, verifier: NonNullable<DecodeOptions["verifier"]>): Promise<void> {
  const others: Uint8Array[] = [];
  for (const { tag, begin, end } of fieldsOf(bytes)) if (tag !== FILES_TAG) others.push(bytes.subarray(begin, end));
  const { meta } = parse(() => fromBinary(LocalSnapshotPbMetaSchema, concat(others), KNOWN_ONLY));
  const { lastIncludedIndex = 0n, lastIncludedTerm = 0n, peers = [] } = meta ?? {};
  const { fields, digest = new Uint8Array(DIGEST_SIZE) } =
    decodeSnapshotExtension(meta?.extension ?? new Uint8Array(0)) ?? {};
  await verifier.verify({
    index: lastIncludedIndex,
    digest,
    meta: { lastIncludedIndex, lastIncludedTerm, peers, ...fields },
  });
}

/** Refuses lists that are too long before they are parsed: a byte of them can become forty. */
function checkLists(file: string, bytes: Uint8Array): void {
  const { chunkLengths, chunkDigests, keyGroups } = FileExtensionSchema.field;
  const sizes = new Map<number, number>();
  for (const { tag, size } of fieldsOf(bytes)) {
    const field = Math.floor(tag / 8);
    sizes.set(field, (sizes.get(field) ?? 0) + size);
  }
  const sizeOf = ({ number }: { number: number }) => sizes.get(number) ?? 0;
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

function parse<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw malformed(messageOf(error), error);
  }
}

function malformed(what: string, cause?: unknown): SnapshotError {
  return new SnapshotError("MALFORMED", `This is not the manifest of a snapshot, or it is damaged: ${what}`, { cause });
}
