/**
 * Apache Flink: checkpoints and savepoints.
 *
 * ```text
 * JOB/chk-N/_metadata             what it is made of; a savepoint's directory has it too
 * JOB/chk-N/UUID                  the state of a worker
 * JOB/shared/UUID, taskowned/     files that several checkpoints have in common
 * ```
 *
 * Flink writes no checksum of any of these. What is checked instead: sizes, that each offset leads to its key group,
 * that every record can be read to the end of its group, and that every key is in the group that its hash gives.
 *
 * @module
 */

import { hasCode } from "../../errors.ts";
import { readBlocks, readSmall, readStart, type SourceFiles } from "../files.ts";
import type { Format, FormatSnapshot } from "../format.ts";
import { chosen, ForeignReader, type FormatFile, ofOnePlace } from "../reader.ts";
import { Checkpoint } from "./checkpoint.ts";
import { JavaCursor } from "./java.ts";
import { Layout, METADATA, type Place } from "./layout.ts";
import { decodeMetadata, MAGIC, readHead } from "./metadata.ts";

/** The most bytes of the metadata; state of less than 20 kB is in it. */
const MAX_METADATA = 64 * 1024 * 1024;
const HEAD = 16;
/** The most checkpoints of a directory that are listed. */
const MAX_CHECKPOINTS = 1000;

/** The directories that have metadata, or the metadata itself. */
function placesOf({ isDirectory, entries }: SourceFiles): Place[] {
  if (!isDirectory) return entries.map(({ name }) => ({ metadata: name, path: "" }));
  return entries.filter(({ name }) => name === METADATA || name.endsWith(`/${METADATA}`)).slice(0, MAX_CHECKPOINTS)
    .map(({ name }) => ({ metadata: name, path: name.slice(0, -METADATA.length) }));
}

async function isMetadata(files: SourceFiles, { metadata }: Place): Promise<boolean> {
  const start = await readStart(files, metadata, 4);
  return start.length === 4 && new JavaCursor(start, metadata).u32() === MAGIC;
}

interface Found extends FormatSnapshot {
  readonly place: Place;
}

async function list(files: SourceFiles): Promise<Found[]> {
  const found: Found[] = [];
  let first: unknown;
  for (const place of placesOf(files)) {
    try {
      const cursor = new JavaCursor(await readStart(files, place.metadata, HEAD), place.metadata);
      const { checkpointId } = readHead(cursor, place.metadata);
      const size = files.entries.reduce((sum, { name, size }) => name.startsWith(place.path) ? sum + size : sum, 0);
      const name = place.path === "" ? files.name : place.path.slice(0, -1);
      // What the state processor writes has the identifier 0.
      found.push({ index: checkpointId === 0n ? 1n : checkpointId, term: 0n, size, name, place });
    } catch (error) {
      if (!hasCode(error, "MALFORMED", "UNSUPPORTED")) throw error;
      first ??= error;
    }
  }
  if (found.length === 0 && first !== undefined) throw first;
  return ofOnePlace(found, ({ place }) => place.path, "flink").sort((a, b) =>
    a.index < b.index ? 1 : a.index > b.index ? -1 : 0
  );
}

/** The files of a checkpoint, by their names in it. */
function filesOf(files: SourceFiles, place: Place, checkpoint: Checkpoint, layout: Layout): FormatFile[] {
  const sizes = new Map(files.entries.map(({ name, size }) => [name, size]));
  const paths = new Set([place.metadata]);
  for (const handle of checkpoint.handles()) {
    const path = layout.find(handle);
    if (path !== undefined) paths.add(path);
  }
  const inside = [...paths].every((path) => path.startsWith(place.path));
  const root = inside ? place.path : place.path.slice(0, place.path.slice(0, -1).lastIndexOf("/") + 1);
  return [...paths].map((path) => ({
    name: path === place.metadata && !files.isDirectory ? METADATA : path.slice(root.length),
    size: sizes.get(path)!,
    read: (start, end, options) => readBlocks(files, path, start, end, options),
  }));
}

/** Checkpoints and savepoints of Flink, versions 2 to 6. */
export const flink: Format = {
  system: "flink",
  async detect(files) {
    for (const place of placesOf(files)) {
      if (await isMetadata(files, place)) {
        return { system: "flink", sure: "certain", description: "Apache Flink checkpoint or savepoint" };
      }
    }
    return undefined;
  },
  list,
  async open(files, index) {
    const { place, index: found } = chosen(await list(files), index, "flink");
    const metadata = decodeMetadata(await readSmall(files, place.metadata, MAX_METADATA), place.metadata);
    const layout = new Layout(files, place);
    const checkpoint = new Checkpoint(metadata, layout);
    const missing = [...checkpoint.handles()].filter((it) => !("inline" in it) && layout.find(it) === undefined);
    const { version, checkpointId, kind, masters } = metadata;
    return await ForeignReader.of({
      system: "flink",
      meta: { lastIncludedIndex: found, lastIncludedTerm: 0n, peers: [] },
      files: filesOf(files, place, checkpoint, layout),
      details: {
        ...{ version, checkpointId, ...(kind !== undefined && { kind }) },
        masters,
        operators: await checkpoint.describe(),
        missing: missing.map((it) => "path" in it ? it.path : ""),
      },
      checked: [
        "that the metadata is whole, and each file as long as it says",
        "that each key group is where the metadata says, and every record can be read",
        "that each key is in the key group that its hash gives, where Java's hash is known",
      ],
      unchecked: [
        "content: Flink has no checksums of what is not compressed; a value may be another one",
        "metadata: names, identifiers and places have no checksum, and may be others",
        ...(version >= 4 ? ["the properties at the end of the metadata, which are Java's own"] : []),
      ],
      verify: (run) => checkpoint.verify(run),
      entries: (options) => checkpoint.entries(options),
    });
  },
};
