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

import { able, checkBytes, checkOptions, checkString, integer, listOf, required } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import { InFlight, yieldTurn } from "../async/mod.ts";
import { checkChunkMap, compareBytes, concat, equal, sha256, toHex, u32, withJson } from "../stream/mod.ts";
import { SnapshotContent } from "./content.ts";
import { attributeChecks, checkEncryption, checkMeta, type FileInfo, type SnapshotMeta } from "./meta.ts";
import { checkKeyGroups } from "./key_groups.ts";
import { LOCAL_SNAPSHOT_PB_META } from "./messages.ts";
import { checkNames } from "./names.ts";
import {
  checkFileCount,
  checkTrusted,
  decodeFile,
  decodeSnapshotExtension,
  encodeFiles,
  encodeHead,
  FILES_A_TURN,
  isExtended,
  leastVersion,
  malformed,
  type ManifestVerifier,
  MAX_FILES,
  MAX_MANIFEST_BYTES,
  parse,
  unknownOf,
} from "./manifest_bytes.ts";

/** Files that are read at the same time. */
const DECODED_AHEAD = 16;

/** Options of {@linkcode SnapshotManifest.decode}. */
export interface DecodeOptions {
  /** Refuses a manifest that is not signed by somebody who is trusted, before its files are looked at. */
  readonly verifier?: ManifestVerifier | undefined;
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
    this.meta = withJson(meta);
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
    const least = isExtended(own, sorted) ? leastVersion(own, sorted) : undefined;
    const described = await encodeFiles(sorted, least !== undefined);
    const digest = await sha256(concat([encodeHead(own, least, undefined), described]));
    const bytes = concat([encodeHead(own, least, digest), described]);
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
    const message = parse(() => LOCAL_SNAPSHOT_PB_META.decode(bytes));
    const { lastIncludedIndex, lastIncludedTerm, peers = [], oldPeers = [], extension: own } = message.meta ?? {};
    if (lastIncludedIndex === undefined || lastIncludedTerm === undefined) {
      throw malformed("it does not say which index and term it is of");
    }
    const extension = decodeSnapshotExtension(own);
    const files: FileInfo[] = [];
    const decoding = new InFlight<FileInfo>(); // each waits for a digest
    for (const [i, file] of (message.files ?? []).entries()) {
      if (i % FILES_A_TURN === FILES_A_TURN - 1) await yieldTurn();
      decoding.add(decodeFile(file, extension !== undefined));
      if (decoding.size >= DECODED_AHEAD) files.push(await decoding.next());
    }
    while (decoding.size > 0) files.push(await decoding.next());
    const manifest = await SnapshotManifest.of({
      lastIncludedIndex,
      lastIncludedTerm,
      peers,
      ...(oldPeers.length > 0 && { oldPeers }),
      ...unknownOf(message.meta!),
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
