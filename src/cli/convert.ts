/**
 * `convert`: a snapshot in the format of another system.
 *
 * @module
 */

import { defaultDisk } from "../fs/mod.ts";
import { writeFiles } from "../format/disk/mod.ts";
import { openFormat, WRITABLE_SYSTEMS, type WritableSystem, writeFormat } from "../format/mod.ts";
import type { SnapshotReader } from "../snapshot/mod.ts";
import { DirectoryStorage } from "../storage/directory/mod.ts";
import { type Command, Exit, type Invocation, parseIndex, UsageError } from "./command.ts";
import { foreignFiles } from "./foreign.ts";

/** `convert FROM TO --format F` */
export const convert: Command = {
  usage: "FROM TO --format F [--index I] [--file NAME]",
  summary: "writes a snapshot in the format of another system",
  help:
    `F is ${
      WRITABLE_SYSTEMS.join(" or ")
    }. FROM is a storage, or what another system wrote; TO must not exist, and is\n` +
    "complete or not there. The state is the snapshot's only file, or the one that is named.",
  positionals: [2, 2],
  options: { format: "F", index: "I", file: "NAME" },
  async run(invocation) {
    const { positionals, options, json, signal, io } = invocation;
    const system = WRITABLE_SYSTEMS.find((it) => it === options.format);
    if (system === undefined) throw new UsageError(`--format takes ${WRITABLE_SYSTEMS.join(" or ")}`);
    const to = positionals[1]!;
    return await withReader(invocation, async (reader) => {
      const how = { system: system as WritableSystem, ...(options.file !== undefined && { file: options.file }) };
      const bytes = await writeFiles(defaultDisk(), to, writeFormat(reader, how), signal);
      const index = String(reader.meta.lastIncludedIndex);
      io.print(
        json ? JSON.stringify({ index, format: system, bytes }) : `snapshot ${index}: ${bytes} bytes of ${system}`,
      );
      return Exit.DONE;
    });
  },
};

async function withReader(
  { positionals, options }: Invocation,
  use: (reader: SnapshotReader) => Promise<number>,
): Promise<number> {
  const index = parseIndex(options.index);
  const files = await foreignFiles(positionals[0]!);
  const storage = files === undefined ? await DirectoryStorage.open(positionals[0]!, { readOnly: true }) : undefined;
  try {
    const reader = files === undefined
      ? await storage!.open(index)
      : await openFormat(files, index === undefined ? {} : { index });
    try {
      return await use(reader);
    } finally {
      await reader.close();
    }
  } finally {
    await storage?.close();
  }
}
