/**
 * braft and SOFA-JRaft: directories with a `__raft_snapshot_meta`.
 *
 * ```text
 * braft  = length u32be, LocalSnapshotPbMeta
 * JRaft  = length u32be, "jraft.LocalSnapshotPbMeta", length u32be, LocalSnapshotPbMeta
 * ```
 *
 * JRaft's `SnapshotMeta` also has learners (5) and old learners (6). Checksums are the application's own; neither
 * says how long a file is. Snapstream's own snapshots are in braft's layout, and have digests of all chunks.
 *
 * @module
 */

import { hasCode, SnapshotError } from "../../errors.ts";
import { type FileInfo, MANIFEST_NAME, MAX_MANIFEST_BYTES, SnapshotManifest } from "../../snapshot/mod.ts";
import { equal } from "../../stream/mod.ts";
import { Cursor, protobufFields } from "../bytes/cursor.ts";
import { runningHash } from "../bytes/hash.ts";
import { readBlocks, readSmall, readStart, type SourceFiles } from "../files.ts";
import type { Format, FormatSnapshot, System } from "../format.ts";
import { JRAFT } from "./jraft_writer.ts";
import { chosen, ForeignReader, type FormatFile, ofOnePlace, type RunningCheck } from "../reader.ts";

/** The directory of a snapshot: braft's has twenty digits. */
const DIRECTORY = /^snapshot_(\d{1,20})$/;

interface Place {
  /** The path of the directory, with a slash at its end if it has one. */
  readonly path: string;
  /** The name of the directory. */
  readonly name: string;
}

/** The directories in which a file is, each with a slash at its end. */
function* directoriesOf(name: string): Generator<string, void, undefined> {
  yield "";
  for (let at = name.indexOf("/"); at >= 0; at = name.indexOf("/", at + 1)) yield name.slice(0, at + 1);
}

/** The snapshot that a file is in, if it is in one: what looks like another inside of it is its content. */
function placeOf(name: string, places: ReadonlyMap<string, Place>): Place | undefined {
  for (const directory of directoriesOf(name)) {
    const place = places.get(directory);
    if (place !== undefined) return place;
  }
  return undefined;
}

/**
 * The directories that have a manifest, by their paths; of a storage, those that are not being written or on their way
 * out.
 */
function placesOf({ entries, name: root }: SourceFiles): Map<string, Place> {
  const all = entries.filter(({ name }) => name === MANIFEST_NAME || name.endsWith(`/${MANIFEST_NAME}`))
    .map(({ name }) => name.slice(0, -MANIFEST_NAME.length))
    .map((path) => ({ path, name: path === "" ? root : path.slice(0, -1).split("/").at(-1)! }))
    .filter(({ path, name }) => path === "" || DIRECTORY.test(name));
  const places = new Map(all.map((place) => [place.path, place]));
  return new Map([...places].filter(([path, place]) => placeOf(path, places) === place));
}

/** The files without those of snapshots in this layout, which may be anything. */
export function outsideOfBraft(files: SourceFiles): SourceFiles {
  const places = placesOf(files);
  if (places.size === 0) return files;
  const { name, isDirectory, entries } = files;
  return {
    ...{ name, isDirectory, open: (path) => files.open(path) },
    entries: entries.filter(({ name }) => placeOf(name, places) === undefined),
  };
}

async function isJraft(files: SourceFiles, { path }: Place): Promise<boolean> {
  const start = await readStart(files, path + MANIFEST_NAME, 4 + JRAFT.length);
  return new TextDecoder().decode(start.subarray(4)) === JRAFT;
}

/** The protobuf of a manifest, out of its frame. */
async function readMessage(files: SourceFiles, { path }: Place, jraft: boolean): Promise<Uint8Array> {
  const file = path + MANIFEST_NAME;
  const framed = await readSmall(files, file, MAX_MANIFEST_BYTES + 100);
  const cursor = new Cursor(framed, file);
  if (jraft && cursor.text(cursor.u32()) !== JRAFT) throw cursor.malformed("it has another name");
  const length = cursor.u32();
  if (length !== cursor.left) throw cursor.malformed(`its frame says ${length} bytes, and ${cursor.left} follow`);
  return cursor.bytes(length);
}

/** What a manifest says of the last entry; nothing good if it is damaged, as opening it says. */
async function lastIncludedOf(
  files: SourceFiles,
  place: Place,
  jraft: boolean,
): Promise<{ index: bigint; term: bigint }> {
  const found = new Map<number, bigint>();
  try {
    for (const { number, bytes } of protobufFields(await readMessage(files, place, jraft), MANIFEST_NAME)) {
      if (number !== 1) continue;
      for (const { number, value } of protobufFields(bytes, MANIFEST_NAME)) found.set(number, value);
    }
  } catch (error) {
    if (!hasCode(error, "MALFORMED", "CORRUPT")) throw error;
  }
  return { index: found.get(1) ?? 0n, term: found.get(2) ?? 0n };
}

interface Found extends FormatSnapshot {
  readonly place: Place;
}

async function list(files: SourceFiles, system: "braft" | "jraft"): Promise<Found[]> {
  const found: Found[] = [];
  const places = placesOf(files);
  const sizes = new Map<Place, number>();
  for (const { name, size } of files.entries) {
    const place = placeOf(name, places);
    if (place === undefined || name === place.path + MANIFEST_NAME) continue;
    sizes.set(place, (sizes.get(place) ?? 0) + size);
  }
  for (const place of places.values()) {
    if (await isJraft(files, place) !== (system === "jraft")) continue;
    const said = await lastIncludedOf(files, place, system === "jraft");
    const index = BigInt(DIRECTORY.exec(place.name)?.[1] ?? said.index);
    found.push({ index, term: said.term, size: sizes.get(place) ?? 0, name: place.name, place });
  }
  return ofOnePlace(found, ({ place }) => place.path, system).sort((a, b) =>
    a.index < b.index ? 1 : a.index > b.index ? -1 : 0
  );
}

/** The members that only JRaft has. */
function learnersOf(message: Uint8Array, file: string): { learners: string[]; oldLearners: string[] } {
  const [learners, oldLearners]: [string[], string[]] = [[], []];
  for (const { number, bytes } of protobufFields(message, file)) {
    if (number !== 1) continue;
    for (const { number, bytes: text } of protobufFields(bytes, file)) {
      if (number === 5) learners.push(new TextDecoder().decode(text));
      if (number === 6) oldLearners.push(new TextDecoder().decode(text));
    }
  }
  return { learners, oldLearners };
}

/** Compares each chunk with its digest, and the length with the file's. */
function chunkCheck({ name, chunks }: Required<Pick<FileInfo, "name" | "chunks">>): RunningCheck {
  let [chunk, left, size] = [0, chunks.count > 0 ? chunks.length(0) : 0, 0];
  let hash = runningHash("sha256");
  return {
    update(bytes) {
      size += bytes.length;
      for (let at = 0; at < bytes.length && chunk < chunks.count;) {
        const part = bytes.subarray(at, at + left);
        hash.update(part);
        [at, left] = [at + part.length, left - part.length];
        if (left > 0) continue;
        const digest = hash.digest();
        if (!equal(digest, chunks.digest(chunk))) throw chunks.corrupt(chunk, name, digest);
        hash = runningHash("sha256");
        chunk++;
        left = chunk < chunks.count ? chunks.length(chunk) : 0;
      }
    },
    end() {
      if (size === chunks.size) return;
      throw new SnapshotError("CORRUPT", `${JSON.stringify(name)} has ${size} bytes, not ${chunks.size}`, {
        file: name,
        expected: chunks.size,
        actual: size,
      });
    },
  };
}

/** The error for a file that the snapshot only refers to. */
function elsewhere(file: string, path: string): SnapshotError {
  return new SnapshotError(
    "NOT_FOUND",
    `${JSON.stringify(file)} is a reference to a file that is not in the snapshot: give it as ${JSON.stringify(path)}`,
    { file },
  );
}

function fileOf(files: SourceFiles, { path }: Place, info: FileInfo): FormatFile {
  const { name, chunks, ...attributes } = info;
  const entry = files.entries.find((entry) => entry.name === path + name);
  const isElsewhere = entry === undefined && info.source === "reference";
  return {
    name,
    size: entry?.size ?? 0,
    attributes,
    async *read(start, end, options) {
      if (isElsewhere) throw elsewhere(name, path + name);
      yield* readBlocks(files, path + name, start, end, options);
    },
    ...(chunks !== undefined && { check: () => chunkCheck({ name, chunks }) }),
  };
}

async function open(files: SourceFiles, index: bigint | undefined, system: "braft" | "jraft"): Promise<ForeignReader> {
  const { place, name } = chosen(await list(files, system), index, system);
  const message = await readMessage(files, place, system === "jraft");
  const manifest = await SnapshotManifest.decode(message);
  const directoryIndex = DIRECTORY.exec(name)?.[1];
  const { createdAt: _, ...bare } = manifest.meta;
  const verifiable = manifest.verifiable;
  return await ForeignReader.of({
    system,
    meta: verifiable ? manifest.meta : bare,
    files: manifest.files.map((file) => fileOf(files, place, file)),
    details: {
      directory: name,
      ...(directoryIndex !== undefined && BigInt(directoryIndex) !== manifest.index && { directoryIndex }),
      checksums: Object.fromEntries(manifest.files.map(({ name, checksum }) => [name, checksum])),
      ...(system === "jraft" && learnersOf(message, place.path + MANIFEST_NAME)),
    },
    checked: verifiable
      ? ["the SHA-256 of the manifest and of each chunk"]
      : ["that each file can be read, and the frame of the manifest"],
    unchecked: verifiable ? [] : [
      "the content and the sizes of the files: the manifest has none that this program can compute",
      "index, term and peers: the manifest has no checksum",
    ],
  });
}

function formatOf(system: System & ("braft" | "jraft"), description: string): Format {
  return {
    system,
    async detect(files) {
      for (const place of placesOf(files).values()) {
        if (await isJraft(files, place) === (system === "jraft")) return { system, sure: "certain", description };
      }
      return undefined;
    },
    list: (files) => list(files, system),
    open: (files, index) => open(files, index, system),
  };
}

export { encodeJraftManifest } from "./jraft_writer.ts";

/** braft, and Snapstream itself. */
export const braft: Format = formatOf("braft", "braft snapshot (and Snapstream's own)");
/** SOFA-JRaft. */
export const jraft: Format = formatOf("jraft", "SOFA-JRaft snapshot");
