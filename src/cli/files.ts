/**
 * Commands about the files of a snapshot: `extract`, `cat`, `diff`.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import { writeFiles } from "../format/disk/mod.ts";
import { defaultDisk } from "../fs/mod.ts";
import type { FileInfo, SnapshotManifest, SnapshotReader } from "../snapshot/mod.ts";
import { pump, toHex } from "../stream/mod.ts";
import { type Command, Exit, INDEX_OPTION, type Invocation, JSON_OPTION } from "./command.ts";
import { shown } from "./io.ts";
import { openPlace, parseNamed, pathOf, type PlaceReader } from "./place/mod.ts";
import { TOKEN_OPTIONS } from "./secrets.ts";
import { shareText, sizeText } from "./text.ts";

/** Opens a snapshot of a place for as long as it is used. */
export async function withReader<T>(
  invocation: Invocation,
  address: string,
  index: string | undefined,
  use: (reader: PlaceReader) => Promise<T>,
): Promise<T> {
  const named = parseNamed(address, index);
  const place = await openPlace(named.place, invocation);
  try {
    const reader = await place.open(named.index);
    try {
      return await use(reader);
    } finally {
      await reader.close();
    }
  } finally {
    await place.close();
  }
}

/** `extract PLACE DIR [FILE…]` */
export const extract: Command = {
  usage: "PLACE DIR [FILE…]",
  summary: "writes the files of a snapshot into a directory",
  help:
    "All of them, or those that are named. DIR must not exist, and is complete or not there; every byte is verified\n" +
    "before it is written. PLACE is as of ls.",
  positionals: [2, Infinity],
  options: { ...INDEX_OPTION, ...TOKEN_OPTIONS, ...JSON_OPTION },
  async run(invocation) {
    const { positionals: [place, directory, ...names], options, json, io, signal } = invocation;
    return await withReader(invocation, place!, options["index"], async (reader) => {
      const wanted = names.length > 0 ? names : reader.manifest.files.map(({ name }) => name);
      for (const name of names) reader.info(name); // fails before anything is written
      const files = async function* () {
        for (const name of wanted) yield { name, content: reader.file(name) };
      };
      const path = pathOf(directory!).replace(/(?<=[^/])\/+$/, "");
      if (wanted.length === 0) throw new SnapshotError("NOT_FOUND", "The snapshot has no files");
      const bytes = await writeFiles(defaultDisk(), path, files(), signal);
      const index = String(reader.meta.lastIncludedIndex);
      io.print(
        json
          ? JSON.stringify({ index, files: wanted.length, bytes })
          : `snapshot ${index}: ${wanted.length} file${wanted.length === 1 ? "" : "s"}, ${sizeText(bytes)}`,
      );
      return Exit.DONE;
    });
  },
};

/** `cat PLACE FILE` */
export const cat: Command = {
  usage: "PLACE FILE",
  summary: "writes a file of a snapshot to standard output",
  help: "Every byte is verified before it is written. To a terminal it writes text, and nothing that is none.\n" +
    "PLACE is as of ls.",
  positionals: [2, 2],
  options: { ...INDEX_OPTION, ...TOKEN_OPTIONS },
  async run(invocation) {
    const { positionals: [place, name], options, io, signal } = invocation;
    return await withReader(invocation, place!, options["index"], async (reader) => {
      reader.info(name!);
      await pump(reader.file(name!), io.stdout("text"), { signal });
      return Exit.DONE;
    });
  },
};

/** `diff A B` */
export const diff: Command = {
  usage: "A B",
  summary: "compares two snapshots: files, and the chunks that they share",
  help:
    "A and B are places, as of ls, or PLACE#INDEX. Of a file that changed it says how much of B's is in A, anywhere.\n" +
    "Only manifests are read. The exit code is 0 also if they differ.",
  positionals: [2, 2],
  options: { ...TOKEN_OPTIONS, ...JSON_OPTION },
  async run(invocation) {
    const { positionals: [a, b], json, io } = invocation;
    return await withReader(invocation, a!, undefined, (from) =>
      withReader(invocation, b!, undefined, async (to) => {
        const found = await compare(from as SnapshotReader, to as SnapshotReader);
        if (json) {
          io.print(JSON.stringify(found));
          return Exit.DONE;
        }
        const signs = { added: "+", removed: "-", changed: "~", same: "=" };
        for (const { name, change, size, shared } of found.files) {
          if (change === "same") continue;
          const part = change === "removed" || shared === null ? "" : `, ${shareText(shared, size)} of it in both`;
          io.print(`${signs[change]} ${shown(name)}  ${sizeText(size)}${part}`);
        }
        const count = (change: string) => found.files.filter((file) => file.change === change).length;
        io.print(
          `${count("same")} same, ${count("changed")} changed, ${count("added")} added, ${count("removed")} removed`,
        );
        if (found.chunks !== null) {
          const { shared, all, sharedBytes, allBytes } = found.chunks;
          io.print(
            `${shared} of ${all} chunks shared: ${sizeText(sharedBytes)} of ${sizeText(allBytes)} ` +
              `(${shareText(sharedBytes, allBytes)})`,
          );
        }
        return Exit.DONE;
      }));
  },
};

interface FileDifference {
  readonly name: string;
  readonly change: "added" | "removed" | "changed" | "same";
  /** Bytes of the newer one; of the older one, if it was removed. */
  readonly size: number;
  /** Bytes of its chunks that the other snapshot has, too; nothing where there are no digests. */
  readonly shared: number | null;
}

interface Difference {
  readonly files: readonly FileDifference[];
  readonly chunks: {
    readonly shared: number;
    readonly all: number;
    readonly sharedBytes: number;
    readonly allBytes: number;
  } | null;
}

async function compare(from: SnapshotReader, to: SnapshotReader): Promise<Difference> {
  const known = chunksOf(from.manifest);
  const before = new Map(from.manifest.files.map((file) => [file.name, file]));
  const after = new Set(to.manifest.files.map(({ name }) => name));
  const files: FileDifference[] = [];
  const total = { shared: 0, all: 0, sharedBytes: 0, allBytes: 0 };
  for (const file of to.manifest.files) {
    const old = before.get(file.name);
    const { chunks } = file;
    let shared = 0;
    for (let i = 0; chunks !== undefined && i < chunks.count; i++) {
      total.all++;
      total.allBytes += chunks.length(i);
      if (!known.has(toHex(chunks.digest(i)))) continue;
      total.shared++;
      total.sharedBytes += chunks.length(i);
      shared += chunks.length(i);
    }
    files.push({
      name: file.name,
      change: old === undefined ? "added" : isSame(old, file) ? "same" : "changed",
      size: await sizeOf(to, file),
      shared: chunks === undefined ? null : shared,
    });
  }
  for (const [name, file] of before) {
    if (!after.has(name)) files.push({ name, change: "removed", size: await sizeOf(from, file), shared: null });
  }
  const hasDigests = from.manifest.verifiable && to.manifest.verifiable;
  return { files, chunks: hasDigests ? total : null };
}

function chunksOf({ files }: SnapshotManifest): Set<string> {
  const all = new Set<string>();
  for (const { chunks } of files) {
    for (let i = 0; chunks !== undefined && i < chunks.count; i++) all.add(toHex(chunks.digest(i)));
  }
  return all;
}

/** Without digests nothing is known to be the same. */
function isSame(a: FileInfo, b: FileInfo): boolean {
  return a.chunks !== undefined && b.chunks !== undefined && toHex(a.chunks.root) === toHex(b.chunks.root);
}

async function sizeOf(reader: SnapshotReader, { name, chunks, source }: FileInfo): Promise<number> {
  return chunks?.size ?? (source === "reference" ? 0 : await reader.size(name));
}
