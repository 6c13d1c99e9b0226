/**
 * All formats: finding the one that something has, and opening it.
 *
 * @module
 */

import { able, checkIndex, checkOptions, listOf, oneOf } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import { withJson } from "../stream/mod.ts";
import type { SourceFiles } from "./files.ts";
import type { Detection, Format, FormatReader, FormatSnapshot, OpenFormatOptions, System } from "./format.ts";
import { braft, jraft, outsideOfBraft } from "./braft/mod.ts";
import { etcd, etcdSnap } from "./etcd/mod.ts";
import { flink } from "./flink/mod.ts";
import { consul, hashicorp } from "./hashicorp/mod.ts";
import { ratis } from "./ratis/mod.ts";
import { redis } from "./redis/mod.ts";
import { sqlite } from "./sqlite/mod.ts";

/** In the order in which they are tried: those with a magic of their own first. */
const FORMATS: readonly Format[] = [flink, consul, redis, sqlite, etcd, hashicorp, ratis, braft, jraft, etcdSnap];

/** The systems whose snapshots can be read. */
export const SYSTEMS: readonly System[] = FORMATS.map(({ system }) => system);

/**
 * Says which system wrote something, from its first bytes and its layout.
 *
 * @param files the file, or the directory
 * @returns the system, and those that a directory has snapshots of as well; or nothing if it is of none that this
 *   release knows
 * @throws {SnapshotError} `UNAVAILABLE`, `FORBIDDEN` if it cannot be read
 *
 * @example A file that a page was given
 * ```ts
 * import { blobFiles, detectFormat } from "@snapstream/snapstream/formats";
 *
 * const found = await detectFormat(blobFiles(new Blob(["REDIS0011"]), "dump.rdb"));
 * console.assert(found === undefined || found.system === "redis");
 * ```
 */
export async function detectFormat(files: SourceFiles): Promise<Detection | undefined> {
  checkFiles(files);
  const outside = outsideOfBraft(files); // what is in a snapshot of braft's layout is its content
  const all: Detection[] = [];
  for (const format of FORMATS) {
    const found = await format.detect(format === braft || format === jraft ? files : outside);
    if (found !== undefined) all.push(found);
    if (found?.sure === "certain" && !files.isDirectory) break;
  }
  const certain = all.filter(({ sure }) => sure === "certain");
  const [first, ...others] = certain.length > 0 ? certain : all;
  if (first === undefined || others.length === 0 || !files.isDirectory) return certain[0] ?? first;
  return { ...first, others: others.map(({ system }) => system) };
}

/**
 * The error for a directory with snapshots of several systems: none of them is meant more than another.
 *
 * @param name its name
 * @param detection the systems
 */
function severalSystems(name: string, { system, others = [] }: Detection): SnapshotError {
  const systems = [system, ...others].join(" and ");
  return new SnapshotError(
    "UNSUPPORTED",
    `${JSON.stringify(name)} has snapshots of several systems, ${systems}: name the directory of one of them, or its ` +
      "system",
    { file: name, actual: systems },
  );
}

/**
 * Lists the snapshots in something, in the order in which its system would try to load them.
 *
 * @param files the file, or the directory
 * @param options the system, if it is known
 * @throws {SnapshotError} `UNSUPPORTED` if no known system wrote it, or several did; `MALFORMED`, `CORRUPT` if all are
 *   damaged
 */
export async function listFormat(
  files: SourceFiles,
  options: OpenFormatOptions = {},
): Promise<readonly FormatSnapshot[]> {
  const listed = await (await formatOf(files, options)).list(files);
  return listed.map(({ index, term, size, name }) => withJson({ index, term, size, name }));
}

/**
 * Opens a snapshot of another system, read-only.
 *
 * @param files the file, or the directory
 * @param options the system and the index, if they are known
 * @returns the snapshot: to archive, to serve, to push, to verify, to list its entries
 * @throws {SnapshotError} `UNSUPPORTED` if no known system wrote it, or several did and none is named; `NOT_FOUND` if
 *   it has no such snapshot; `MALFORMED`, `CORRUPT` if it is damaged
 *
 * @example
 * ```ts
 * import { blobFiles, openFormat } from "@snapstream/snapstream/formats";
 *
 * const meta = '{"Version":1,"ID":"1-5-1700000000000","Index":5,"Term":1,"Size":0,"CRC":"AAAAAAAAAAA="}';
 * const files = blobFiles({ "meta.json": new Blob([meta]), "state.bin": new Blob([]) }, "1-5-1700000000000");
 * const reader = await openFormat(files);
 * console.assert(reader.system === "hashicorp" && reader.meta.lastIncludedIndex === 5n);
 * console.assert((await reader.verify()).ok);
 * await reader.close();
 * ```
 */
export async function openFormat(files: SourceFiles, options: OpenFormatOptions = {}): Promise<FormatReader> {
  const format = await formatOf(files, options);
  return await format.open(files, options.index);
}

async function formatOf(files: SourceFiles, options: OpenFormatOptions): Promise<Format> {
  checkFiles(files);
  const { system } = checkOptions(options, { system: oneOf(...SYSTEMS), index: checkIndex });
  const detected = system === undefined ? await detectFormat(files) : undefined;
  if (detected?.others !== undefined) throw severalSystems(files.name, detected);
  const format = FORMATS.find((it) => it.system === (system ?? detected?.system));
  if (format !== undefined) return format;
  throw new SnapshotError(
    "UNSUPPORTED",
    `${JSON.stringify(files.name)} is no snapshot of a system that this release knows: ${SYSTEMS.join(", ")}`,
    { file: files.name },
  );
}

function checkFiles(files: SourceFiles): void {
  able("SourceFiles", "open")(files, "files");
  listOf((entry, what) => checkOptions(entry as object, {}, what))(files.entries, "files.entries");
}
