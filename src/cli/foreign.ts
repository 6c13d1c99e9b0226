/**
 * Snapshots of other systems on the command line: a file, or a directory that is not a storage of ours.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import { defaultDisk } from "../fs/mod.ts";
import { sourceFiles } from "../format/disk/mod.ts";
import { detectFormat, type FormatReader, listFormat, openFormat, type SourceFiles } from "../format/mod.ts";
import { Exit, type Invocation, parseIndex } from "./command.ts";
import { shown } from "./io.ts";

/** A snapshot in a directory of braft's, or of ours, for which a storage is opened. */
const STORED = /^snapshot_\d{20}$/;

/**
 * The files at a path, if another system wrote them.
 *
 * @returns nothing for a directory that is a storage, or that has nothing which is known
 * @throws {SnapshotError} `UNSUPPORTED` for a file that is no snapshot
 */
export async function foreignFiles(path: string): Promise<SourceFiles | undefined> {
  const disk = defaultDisk();
  const kind = (await disk.stat(path))?.kind;
  if (kind === "directory") {
    if ((await disk.list(path)).some(({ name }) => STORED.test(name))) return undefined;
  } else if (kind !== "file") {
    return undefined; // the storage says what is wrong
  }
  const files = await sourceFiles(path);
  if (await detectFormat(files) !== undefined) return files;
  if (kind === "directory") return undefined;
  throw new SnapshotError("UNSUPPORTED", `${path} is no snapshot of a system that this release knows`, { file: path });
}

/** `ls` */
export async function listForeign(files: SourceFiles, { io, json }: Invocation): Promise<number> {
  const { system, description } = (await detectFormat(files))!;
  const snapshots = await listFormat(files, { system });
  if (json) {
    io.print(JSON.stringify({
      format: system,
      snapshots,
    }, plain));
    return Exit.DONE;
  }
  io.note(description);
  for (const { index, term, size, name } of snapshots) io.print(`${index}\t${term}\t${size}\t${shown(name)}`);
  return Exit.DONE;
}

/** `inspect` */
export function inspectForeign(files: SourceFiles, invocation: Invocation): Promise<number> {
  return withForeign(files, invocation, async (reader) => {
    const { io, json } = invocation;
    const { meta, details, system } = reader;
    const sizes: { name: string; size: number }[] = [];
    for (const { name } of reader.manifest.files) sizes.push({ name, size: await reader.size(name) });
    const [index, term] = [String(meta.lastIncludedIndex), String(meta.lastIncludedTerm)];
    if (json) {
      io.print(JSON.stringify({
        format: system,
        snapshots: [{ index, term, peers: meta.peers, details, files: sizes }],
      }, plain));
      return Exit.DONE;
    }
    io.print(`snapshot ${index}, term ${term}, of ${system}`);
    io.print(`  peers     ${shown(meta.peers.join(", ")) || "-"}`);
    for (const [name, value] of Object.entries(details)) {
      io.print(`  ${name}: ${shown(JSON.stringify(value, plain) ?? "-")}`);
    }
    for (const { name, size } of sizes) io.print(`  ${size}\t${shown(name)}`);
    return Exit.DONE;
  });
}

/** `verify` */
export function verifyForeign(files: SourceFiles, invocation: Invocation): Promise<number> {
  return withForeign(files, invocation, async (reader) => {
    const { io, json, signal } = invocation;
    const { ok, bytes, bad, checked, unchecked } = await io.watch(reader.verify({ signal }));
    const index = String(reader.meta.lastIncludedIndex);
    if (json) {
      const { system: format } = reader;
      io.print(JSON.stringify({ format, snapshots: [{ index, ok, bytes, bad, checked, unchecked }] }));
    } else {
      io.print(
        `${index}\t${ok ? checked.length > 0 ? "good" : "can be read" : "DAMAGED"}\t${bytes} bytes\t${reader.system}`,
      );
      for (const { file, message } of bad) io.print(`  ${shown(file)}: ${shown(message)}`);
      for (const line of checked) io.print(`  checked: ${shown(line)}`);
      for (const line of unchecked) io.print(`  not checked: ${shown(line)}`);
    }
    return ok ? Exit.DONE : Exit.DAMAGED;
  });
}

async function withForeign(
  files: SourceFiles,
  { positionals }: Invocation,
  use: (reader: FormatReader) => Promise<number>,
): Promise<number> {
  const index = parseIndex(positionals[1]);
  const reader = await openFormat(files, index === undefined ? {} : { index });
  try {
    return await use(reader);
  } finally {
    await reader.close();
  }
}

/** JSON has no bigint. */
function plain(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}
