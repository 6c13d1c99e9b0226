/**
 * Writing snapshots in the formats of other systems: of those whose state is one opaque file.
 *
 * @module
 */

import { checkOptions, checkString, listOf, oneOf, required, withMembers } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import { checkReader, MANIFEST_NAME, type SnapshotReader } from "../snapshot/mod.ts";
import { streamFrom, toHex } from "../stream/mod.ts";
import { encodeJraftManifest } from "./braft/mod.ts";
import { crc64 } from "./bytes/crc.ts";
import { runningHash } from "./bytes/hash.ts";
import { snapName, snapOfState } from "./etcd/mod.ts";
import type { FormatReader } from "./format.ts";
import { archiveOfState, encodeHashicorpMeta, type HashicorpMeta, type HashicorpServer } from "./hashicorp/mod.ts";

/** The systems whose format can be written. */
export const WRITABLE_SYSTEMS: readonly ["consul", "etcd-snap", "hashicorp", "jraft", "ratis"] = [
  ...["consul", "etcd-snap", "hashicorp", "jraft", "ratis"] as const,
];

/** A system whose format can be written. */
export type WritableSystem = typeof WRITABLE_SYSTEMS[number];

/** Options of {@linkcode writeFormat}. */
export interface WriteFormatOptions {
  /** The system that is to load it. */
  readonly system: WritableSystem;
  /** The file that is the state; by default the only one. JRaft takes all of them, unless one is named. */
  readonly file?: string;
  /**
   * The servers of a HashiCorp raft's configuration, or of etcd's. By default those that the snapshot has, or its
   * peers, as voters whose identifiers are their addresses. Etcd's identifiers are hexadecimal numbers of 64 bits.
   */
  readonly servers?: readonly HashicorpServer[];
}

/** A file to be written. */
export interface WrittenFile {
  /** Its path below the directory; empty if the snapshot is this one file. */
  readonly name: string;
  /** Its bytes, to be read to their end before the next file is asked for. */
  readonly content: ReadableStream<Uint8Array>;
}

/**
 * Makes of a snapshot what another system loads: HashiCorp raft's `FileSnapshotStore`, an archive that Consul restores,
 * Ratis's snapshot with its MD5, a directory of JRaft, or etcd's `.snap`. Nothing is held in memory; digests are
 * computed on the way, but for etcd, whose check stands before the state: that is read twice.
 *
 * @param reader the snapshot, kept open meanwhile
 * @param options the system, and the file that is the state
 * @returns the files, one after the other; the one that makes it valid comes last
 * @throws {SnapshotError} `UNSUPPORTED` if it has several files and none was named, or a member of etcd is no number;
 *   `NOT_FOUND` if it has no such file
 *
 * @example
 * ```ts
 * import { MemoryStorage } from "@snapstream/snapstream";
 * import { writeFormat } from "@snapstream/snapstream/formats";
 *
 * await using storage = new MemoryStorage();
 * const writer = await storage.create();
 * await ReadableStream.from([new TextEncoder().encode("state")]).pipeTo(writer.file("state"));
 * await writer.commit({ lastIncludedIndex: 7n, lastIncludedTerm: 2n, peers: [] });
 * const reader = await storage.open();
 * const names: string[] = [];
 * for await (const { name, content } of writeFormat(reader, { system: "ratis" })) {
 *   names.push(name);
 *   await content.pipeTo(new WritableStream());
 * }
 * console.assert(names.join() === "snapshot.2_7,snapshot.2_7.md5");
 * await reader.close();
 * ```
 */
export async function* writeFormat(
  reader: SnapshotReader,
  options: WriteFormatOptions,
): AsyncGenerator<WrittenFile, void, undefined> {
  checkReader(reader, "reader");
  const { system } = checkOptions(options, {
    system: required(oneOf(...WRITABLE_SYSTEMS)),
    file: checkString,
    servers: listOf(withMembers<HashicorpServer>({
      suffrage: required(oneOf("voter", "nonvoter", "staging")),
      id: required(checkString),
      address: required(checkString),
    })),
  });
  if (system === "jraft") return yield* jraftFiles(reader, options.file);
  const file = stateOf(reader, options.file);
  if (system === "etcd-snap") {
    yield { name: snapName(reader), content: streamFrom(snapOfState(reader, file, options.servers)) };
  } else if (system === "ratis") yield* ratisFiles(reader, file);
  else if (system === "hashicorp") yield* storeFiles(reader, file, options.servers);
  else {
    const meta = await hashicorpMeta(reader, file, options.servers);
    yield { name: "", content: streamFrom(archiveOfState(meta, reader.file(file))) };
  }
}

function stateOf({ manifest: { files } }: SnapshotReader, name: string | undefined): string {
  if (name !== undefined) return files.find((file) => file.name === name)?.name ?? missing(name);
  if (files.length === 1) return files[0]!.name;
  throw new SnapshotError(
    "UNSUPPORTED",
    `The snapshot has ${files.length} files, and that system has one: name the one that is the state`,
    { expected: 1, actual: files.length },
  );
}

function missing(name: string): never {
  throw new SnapshotError("NOT_FOUND", `The snapshot has no file ${JSON.stringify(name)}`, { file: name });
}

/** Passes bytes on, and shows each piece to a digest or a check. */
async function* watched(
  bytes: ReadableStream<Uint8Array>,
  watch: (piece: Uint8Array) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const piece of bytes) {
    watch(piece);
    yield piece;
  }
}

async function* ratisFiles(reader: SnapshotReader, file: string): AsyncGenerator<WrittenFile, void, undefined> {
  const { lastIncludedIndex: index, lastIncludedTerm: term } = reader.meta;
  const name = `snapshot.${term}_${index}`;
  const [hash, size] = [runningHash("md5"), await reader.size(file)];
  let length = 0;
  const content = watched(reader.file(file), (piece) => {
    hash.update(piece);
    length += piece.length;
  });
  yield { name, content: streamFrom(content) };
  checkRead(length, size, file);
  const line = `${toHex(hash.digest())} *${name}\n`;
  yield { name: `${name}.md5`, content: streamFrom([new TextEncoder().encode(line)]) };
}

async function* jraftFiles(
  reader: SnapshotReader,
  file: string | undefined,
): AsyncGenerator<WrittenFile, void, undefined> {
  const { manifest: { files }, meta: { lastIncludedIndex } } = reader;
  const written = file === undefined ? files : [reader.info(stateOf(reader, file))];
  const directory = `snapshot_${lastIncludedIndex}`;
  for (const { name } of written) {
    const size = await reader.size(name);
    let length = 0;
    yield {
      name: `${directory}/${name}`,
      content: streamFrom(watched(reader.file(name), (piece) => length += piece.length)),
    };
    checkRead(length, size, name);
  }
  const manifest = encodeJraftManifest(reader, written, withoutRoles);
  yield { name: `${directory}/${MANIFEST_NAME}`, content: streamFrom([manifest]) };
}

/** braft's peers have an index, and a role, behind the port; to others these mean something else, or nothing. */
function withoutRoles(peers: readonly string[]): string[] {
  return peers.map((peer) => /^([^:]+:\d+|\[[^\]]*\]:\d+)(?::\d+){1,2}$/.exec(peer)?.[1] ?? peer);
}

async function* storeFiles(
  reader: SnapshotReader,
  file: string,
  servers: readonly HashicorpServer[] | undefined,
): AsyncGenerator<WrittenFile, void, undefined> {
  const meta = await hashicorpMeta(reader, file, servers);
  const crc = crc64("xz");
  let length = 0;
  const content = watched(reader.file(file), (piece) => {
    crc.update(piece);
    length += piece.length;
  });
  yield { name: `snapshots/${meta.id}/state.bin`, content: streamFrom(content) };
  checkRead(length, meta.size, file);
  const json = encodeHashicorpMeta({ ...meta, crc: crc.value }, false);
  yield { name: `snapshots/${meta.id}/meta.json`, content: streamFrom([json]) };
}

/** What proves the state must not be written unless all of the state was. */
function checkRead(length: number, size: number, file: string): void {
  if (length === size) return;
  throw new SnapshotError("MALFORMED", `The content of ${JSON.stringify(file)} was not read to its end`, {
    file,
    expected: size,
    actual: length,
  });
}

async function hashicorpMeta(
  reader: SnapshotReader,
  file: string,
  given: readonly HashicorpServer[] | undefined,
): Promise<HashicorpMeta> {
  const { lastIncludedIndex: index, lastIncludedTerm: term, peers, createdAt = 0 } = reader.meta;
  const { details = {} } = reader as Partial<FormatReader>;
  const own = details.servers as readonly HashicorpServer[] | undefined;
  return {
    version: 1,
    id: `${term}-${index}-${createdAt}`,
    index,
    term,
    servers: given ?? own ?? withoutRoles(peers).map((address) => ({ suffrage: "voter", id: address, address })),
    configurationIndex: typeof details.configurationIndex === "bigint" ? details.configurationIndex : index,
    size: await reader.size(file),
    crc: undefined,
  };
}
