/**
 * The things that the cases for storages are made of.
 *
 * @module
 */

import {
  archive,
  type SnapshotInfo,
  type SnapshotInstall,
  type SnapshotManifest,
  type SnapshotStorage,
} from "../snapshot/mod.ts";
import { type ChunkMap, ChunkMapBuilder, concat, sha256 } from "../stream/mod.ts";

/** An empty storage to be tested, and its removal. */
export interface StorageUnderTest {
  /** The storage. It keeps two snapshots. */
  readonly storage: SnapshotStorage;
  /** Called in the end; the storage may be closed by then. */
  cleanUp(): Promise<void>;
  /**
   * Changes stored bytes of a snapshot permanently. Absent where that cannot be done: the cases that need it are then
   * skipped.
   */
  spoil?(index: bigint): Promise<void>;
}

/** Makes an empty storage that keeps two snapshots. */
export type MakeStorage = () => Promise<StorageUnderTest>;

/** Adds a case to the suite: it gets a storage of its own. */
export type AddCase = (
  name: string,
  body: (storage: SnapshotStorage, target: StorageUnderTest) => Promise<void>,
) => void;

/** Bytes that look random. */
export function bytes(length: number, seed: number): Uint8Array {
  const all = new Uint8Array(length);
  let x = seed * 2_654_435_761 | 1;
  for (let i = 0; i < length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    all[i] = x;
  }
  return all;
}

export function streamOf(all: Uint8Array): ReadableStream<Uint8Array> {
  return ReadableStream.from((function* () {
    for (let at = 0; at < all.length; at += 50_000) yield all.slice(at, at + 50_000);
  })());
}

export async function read(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return concat(parts);
}

export function write(sink: WritableStream<Uint8Array>, content: Uint8Array): Promise<void> {
  return streamOf(content).pipeTo(sink);
}

export async function save(
  storage: SnapshotStorage,
  index: bigint,
  files: Readonly<Record<string, Uint8Array>>,
  group?: string,
): Promise<SnapshotInfo> {
  const writer = await storage.create();
  try {
    for (const [name, content] of Object.entries(files)) await write(writer.file(name), content);
    const meta = { lastIncludedIndex: index, lastIncludedTerm: 1n, peers: ["p1", "p2"] };
    return await writer.commit(group === undefined ? meta : { ...meta, group });
  } finally {
    await writer.abort();
  }
}

/** A snapshot as another node offers it. */
export async function offered(
  make: MakeStorage,
  index: bigint,
  group: string | undefined,
): Promise<{ readonly manifest: SnapshotManifest; readonly whole: Uint8Array }> {
  const { storage, cleanUp } = await make();
  try {
    await save(storage, index, { state: bytes(70_000, Number(index)) }, group);
    const reader = await storage.open();
    try {
      return { manifest: reader.manifest, whole: await read(archive(reader)) };
    } finally {
      await reader.close();
    }
  } finally {
    await storage.close();
    await cleanUp();
  }
}

/** The manifest of a snapshot as another node has it. */
export async function manifestOf(
  make: MakeStorage,
  index: bigint,
  files: Readonly<Record<string, Uint8Array>>,
): Promise<SnapshotManifest> {
  const { storage, cleanUp } = await make();
  try {
    await save(storage, index, files);
    const reader = await storage.open();
    await reader.close();
    return reader.manifest;
  } finally {
    await storage.close();
    await cleanUp();
  }
}

/** A missing chunk: its number in the content, its file, its number there, and which bytes of the file it has. */
export interface MissingChunk {
  readonly number: number;
  readonly name: string;
  readonly chunk: number;
  readonly start: number;
  readonly end: number;
}

/** The missing chunks, one by one, as {@linkcode SnapshotInstall.missing} has them: chunks that come are left out. */
export function* missingOf(install: SnapshotInstall): Generator<MissingChunk, void, undefined> {
  for (const { first, end } of install.missing()) {
    for (let number = first; number < end; number++) {
      const { file: { name, chunks }, chunk } = install.manifest.content.locate(number);
      const start = chunks.offset(chunk);
      yield { number, name, chunk, start, end: start + chunks.length(chunk) };
    }
  }
}

export async function chunkMapOf(content: Uint8Array): Promise<ChunkMap> {
  const builder = new ChunkMapBuilder(undefined);
  builder.add(await sha256(content), content.length);
  return await builder.build();
}
