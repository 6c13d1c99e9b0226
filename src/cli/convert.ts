/**
 * `convert`: a snapshot in the format of another system.
 *
 * @module
 */

import { defaultDisk } from "../fs/mod.ts";
import { writeFiles } from "../format/disk/mod.ts";
import { WRITABLE_SYSTEMS, writeFormat } from "../format/mod.ts";
import type { SnapshotReader } from "../snapshot/mod.ts";
import { type Command, Exit, INDEX_OPTION, JSON_OPTION, UsageError } from "./command.ts";
import { withReader } from "./files.ts";
import { pathOf } from "./place/mod.ts";
import { TOKEN_OPTIONS } from "./secrets.ts";

/** `convert FROM TO --format F` */
export const convert: Command = {
  usage: "FROM TO --format F",
  summary: "writes a snapshot in the format of another system",
  help: "FROM is a place, as of ls; TO must not exist, and is complete or not there.",
  positionals: [2, 2],
  options: {
    format: ["F", `${WRITABLE_SYSTEMS.join(", ")}; must be given`],
    ...INDEX_OPTION,
    file: ["NAME", "the file that is the state; needed if there are several"],
    ...TOKEN_OPTIONS,
    ...JSON_OPTION,
  },
  async run(invocation) {
    const { positionals, options, json, signal, io } = invocation;
    const system = WRITABLE_SYSTEMS.find((it) => it === options["format"]);
    if (system === undefined) throw new UsageError(`--format takes ${WRITABLE_SYSTEMS.join(" or ")}`);
    const to = pathOf(positionals[1]!);
    return await withReader(invocation, positionals[0]!, options["index"], async (reader) => {
      const { file } = options;
      const how = { system, ...(file !== undefined && { file }) };
      const bytes = await writeFiles(defaultDisk(), to, writeFormat(reader as SnapshotReader, how), signal);
      const index = String(reader.meta.lastIncludedIndex);
      io.print(
        json ? JSON.stringify({ index, format: system, bytes }) : `snapshot ${index}: ${bytes} bytes of ${system}`,
      );
      return Exit.DONE;
    });
  },
};
