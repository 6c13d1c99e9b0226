/**
 * Commands that only look: `ls`, `inspect`, `verify`. They open the directory read-only and change nothing in it.
 *
 * @module
 */

import type { SourceFiles } from "../format/mod.ts";
import type { SnapshotReader } from "../snapshot/mod.ts";
import { DirectoryStorage } from "../storage/directory/mod.ts";
import { toHex } from "../stream/mod.ts";
import { shown } from "./io.ts";
import { type Command, Exit, type Invocation, parseIndex } from "./command.ts";
import { foreignFiles, inspectForeign, listForeign, verifyForeign } from "./foreign.ts";

/** The writer of the snapshots: braft's carry no digests. */
function formatOf(verifiable: readonly boolean[]): "braft" | "snapstream" {
  return verifiable.length > 0 && verifiable.every((is) => !is) ? "braft" : "snapstream";
}

/** `ls PATH` */
export const ls: Command = {
  usage: "PATH",
  summary: "lists the snapshots of a directory, newest first",
  help:
    "Prints index, term, size, number of files, time and group of each. On standard error it names those that are\n" +
    "damaged (exit code 3), those that cannot be read now, and those that are quarantined: see `restore`.",
  positionals: [1, 1],
  options: {},
  run: (invocation) =>
    withStorage(invocation, listForeign, async (storage) => {
      const { io, json } = invocation;
      const snapshots = await storage.list();
      const quarantined = await storage.quarantined();
      if (json) {
        io.print(JSON.stringify({
          format: formatOf(snapshots.map(({ meta }) => meta.createdAt !== undefined)),
          snapshots: snapshots.map(({ meta, digest, size, files }) => ({
            index: String(meta.lastIncludedIndex),
            term: String(meta.lastIncludedTerm),
            digest: toHex(digest),
            size,
            files,
            createdAt: meta.createdAt ?? null,
            group: meta.group ?? null,
          })),
          unreadable: (await storage.unreadable()).map(({ index, error: { code, message } }) => ({
            index: String(index),
            code,
            message,
          })),
          quarantined: quarantined.map(({ index, at }) => ({ index: String(index), at: at ?? null })),
        }));
        return;
      }
      for (const { index, at } of quarantined) {
        io.note(`snapshot ${index} is quarantined${at === undefined ? "" : ` since ${new Date(at).toISOString()}`}`);
      }
      for (const { meta, size, files } of snapshots) {
        const when = meta.createdAt ? new Date(meta.createdAt).toISOString() : "-";
        const group = meta.group === undefined ? "-" : JSON.stringify(meta.group);
        io.print(`${meta.lastIncludedIndex}\t${meta.lastIncludedTerm}\t${size}\t${files}\t${when}\t${group}`);
      }
    }),
};

/** `inspect PATH [INDEX]` */
export const inspect: Command = {
  usage: "PATH [INDEX]",
  summary: "shows what is in one snapshot, or in all",
  help: "Reads manifests and sizes, not the content: see `verify`.",
  positionals: [1, 2],
  options: {},
  run: (invocation) =>
    withStorage(invocation, inspectForeign, async (storage) => {
      const { io, json } = invocation;
      const snapshots: Awaited<ReturnType<typeof describe>>[] = [];
      for (const index of await indicesOf(storage, invocation)) {
        const reader = await storage.open(index);
        try {
          snapshots.push(await describe(reader));
        } finally {
          await reader.close();
        }
      }
      if (json) {
        return io.print(
          JSON.stringify({ format: formatOf(snapshots.map(({ verified }) => verified === "chunks")), snapshots }),
        );
      }
      for (const { index, term, group, peers, oldPeers, digest, verified, files } of snapshots) {
        io.print(`snapshot ${index}, term ${term}`);
        io.print(`  group     ${group === null ? "-" : JSON.stringify(group)}`);
        io.print(
          `  peers     ${shown(peers.join(", ")) || "-"}${
            oldPeers.length > 0 ? ` (before: ${shown(oldPeers.join(", "))})` : ""
          }`,
        );
        io.print(`  digest    ${digest}`);
        io.print(`  verified  ${verified === "chunks" ? "chunk by chunk" : "not possible: it has no digests"}`);
        for (const { name, size, checksum } of files) {
          io.print(`  ${size ?? "-"}\t${shown(name)}\t${shown(checksum ?? "")}`);
        }
      }
    }),
};

/** `verify PATH [INDEX]` */
export const verify: Command = {
  usage: "PATH [INDEX]",
  summary: "reads everything and checks it",
  help:
    "Exit code 3 if anything is damaged, 1 if it is no snapshot. What is damaged is named, and left as it is. Of\n" +
    "snapshots of other systems it says what was checked, and what their formats have no checksum of.",
  positionals: [1, 2],
  options: {},
  run: (invocation) =>
    withStorage(invocation, verifyForeign, async (storage) => {
      const { io, json, signal } = invocation;
      let code: number = Exit.DONE;
      const snapshots: unknown[] = [];
      for (const index of await indicesOf(storage, invocation)) {
        const reader = await storage.open(index);
        try {
          const { ok, verified, bytes, chunks, bad } = await io.watch(reader.verify({ signal }));
          if (!ok) code = Exit.DAMAGED;
          snapshots.push({ index: String(index), ok, verified, bytes, chunks, bad });
          if (json) continue;
          io.print(
            `${index}\t${
              ok ? verified === "chunks" ? "good" : "can be read" : "DAMAGED"
            }\t${bytes} bytes\t${chunks} chunks`,
          );
          for (const { file, message } of bad) io.print(`  ${shown(file)}: ${shown(message)}`);
        } finally {
          await reader.close();
        }
      }
      if (json) io.print(JSON.stringify({ snapshots }));
      if (snapshots.length > 0 || storage.damaged.length > 0) return code;
      io.note(`There is no snapshot in ${invocation.positionals[0]}`);
      return Exit.FAILED; // nothing was verified, which is no success
    }),
};

async function describe(reader: SnapshotReader) {
  const { meta, manifest, verified } = reader;
  const files: { name: string; size: number | null; checksum: string | null }[] = [];
  for (const { name, checksum, source, chunks } of manifest.files) {
    const size = chunks?.size ?? (source === "reference" ? null : await reader.size(name));
    files.push({ name, size, checksum: checksum ?? null });
  }
  return {
    index: String(meta.lastIncludedIndex),
    term: String(meta.lastIncludedTerm),
    group: meta.group ?? null,
    peers: meta.peers,
    oldPeers: meta.oldPeers ?? [],
    digest: toHex(manifest.digest),
    verified,
    files,
  };
}

/** The index that was asked for, or all that there are. */
async function indicesOf(storage: DirectoryStorage, { positionals }: Invocation): Promise<bigint[]> {
  const index = parseIndex(positionals[1]);
  return index === undefined ? (await storage.list()).map(({ meta }) => meta.lastIncludedIndex) : [index];
}

/** Opens the directory read-only, or hands over what another system wrote. Exit code 3 if the named snapshot is damaged or, if none was named, any of them. */
async function withStorage(
  invocation: Invocation,
  foreign: (files: SourceFiles, invocation: Invocation) => Promise<number>,
  use: (storage: DirectoryStorage) => Promise<number | void>,
): Promise<number> {
  const { positionals, io } = invocation;
  const files = await foreignFiles(positionals[0]!);
  if (files !== undefined) return await foreign(files, invocation);
  const storage = await DirectoryStorage.open(positionals[0]!, { readOnly: true });
  try {
    for (const { index, error } of storage.damaged) io.note(`snapshot ${index} is damaged: ${error.message}`);
    for (const { index, error } of await storage.unreadable()) {
      io.note(`snapshot ${index} cannot be read now: ${error.message}`);
    }
    const asked = parseIndex(positionals[1]);
    const damaged = storage.damaged.find(({ index }) => index === asked);
    if (damaged !== undefined) throw damaged.error;
    const code = await use(storage) ?? Exit.DONE;
    return code === Exit.DONE && storage.damaged.length > 0 && asked === undefined ? Exit.DAMAGED : code;
  } finally {
    await storage.close();
  }
}
