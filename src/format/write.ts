/**
 * Writing snapshots in the formats of other systems: of those whose state is one opaque file.
 *
 * @module
 */

import { checkOptions, checkString, listOf, oneOf, required, withMembers } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import { checkReader, type SnapshotReader } from "../snapshot/mod.ts";
import { streamFrom, toHex } from "../stream/mod.ts";
import { crc64 } from "./bytes/crc.ts";
import { runningHash } from "./bytes/hash.ts";
import type { FormatReader } from "./format.ts";
import { archiveOfState, encodeHashicorpMeta, type HashicorpMeta, type HashicorpServer } from "./hashicorp/mod.ts";

/** The systems whose format can be written. */
export const WRITABLE_SYSTEMS: readonly ["consul", "hashicorp", "ratis"] = ["consul", "hashicorp", "ratis"];

/** A system whose format can be written. */
export type WritableSystem = typeof WRITABLE_SYSTEMS[number];

/** Options of {@linkcode writeFormat}. */
export interface WriteFormatOptions {
  /** The system that is to load it. */
  readonly system: WritableSystem;
  /** The file that is the state; by default the only one. */
  readonly file?: string;
  /**
   * The servers of a HashiCorp raft's configuration. By default those that the snapshot has, or its peers, as voters
   * whose identifiers are their addresses.
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
 * or Ratis's snapshot with its MD5. Nothing is held in memory; digests are computed on the way.
 *
 * @param reader the snapshot, kept open meanwhile
 * @param options the system, and the file that is the state
 * @returns the files, one after the other; the one that makes it valid comes last
 * @throws {SnapshotError} `MALFORMED` if it has several files and none was named, `NOT_FOUND` if it has no such file
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
  const file = stateOf(reader, options.file);
  if (system === "ratis") yield* ratisFiles(reader, file);
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
    "MALFORMED",
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
  // braft's peers have an index, and a role, behind the port.
  const addresses = peers.map((peer) => /^([^:]+:\d+|\[[^\]]*\]:\d+)(?::\d+){1,2}$/.exec(peer)?.[1] ?? peer);
  return {
    version: 1,
    id: `${term}-${index}-${createdAt}`,
    index,
    term,
    servers: given ?? own ?? addresses.map((address) => ({ suffrage: "voter", id: address, address })),
    configurationIndex: typeof details.configurationIndex === "bigint" ? details.configurationIndex : index,
    size: await reader.size(file),
    crc: undefined,
  };
}
