/**
 * Commands that only look: `ls`, `inspect`, `verify`. They change nothing.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import { toHex } from "../stream/mod.ts";
import { type Command, type CommandOptions, Exit, type Invocation, JSON_OPTION, plain } from "./command.ts";
import { shown } from "./io.ts";
import { openPlace, parseNamed, type Place, type PlaceReader, PLACES, type Trouble } from "./place/mod.ts";
import { TOKEN_OPTIONS } from "./secrets.ts";
import { ageText, sizeText, table } from "./text.ts";

const OPTIONS: CommandOptions = { ...TOKEN_OPTIONS, ...JSON_OPTION };

/** `ls PLACE` */
export const ls: Command = {
  usage: "PLACE",
  summary: "lists the snapshots of a place, newest first",
  help: `A place is ${PLACES}.\n\n` +
    "Standard error names those that are damaged (exit code 3), those that cannot be read now, and those that are\n" +
    "quarantined: see restore.",
  positionals: [1, 1],
  options: OPTIONS,
  run: (invocation) =>
    looking(invocation, async (place, index) => {
      const { io, json } = invocation;
      const rows = (await place.list()).filter((row) => index === undefined || row.index === index);
      const troubles = await place.troubles();
      if (index !== undefined && rows.length === 0 && !troubles.some((one) => one.index === index)) {
        throw new SnapshotError("NOT_FOUND", `There is no snapshot ${index} in ${place.name}`, { index });
      }
      if (json) {
        const of = (kind: Trouble["kind"]) => troubles.filter((one) => one.kind === kind);
        io.print(JSON.stringify({
          format: place.format,
          snapshots: rows.map(({ createdAt, group, ...row }) => ({
            ...row,
            createdAt: createdAt ?? null,
            group: group ?? null,
          })),
          unreadable: of("unreadable").map(({ index, code, message }) => ({ index, code, message })),
          quarantined: of("quarantined").map(({ index, at }) => ({ index, at: at ?? null })),
        }, plain));
        return Exit.DONE;
      }
      if (place.description !== undefined) io.note(place.description);
      for (const { kind, index, at } of troubles) {
        if (kind !== "quarantined") continue;
        io.note(`snapshot ${index} is quarantined${at === undefined ? "" : ` since ${new Date(at).toISOString()}`}`);
      }
      if (rows.length === 0) io.note(`There is no snapshot in ${place.name}`);
      else for (const line of listing(rows, place.description !== undefined)) io.print(line);
      return Exit.DONE;
    }),
};

function listing(rows: Awaited<ReturnType<Place["list"]>>, isForeign: boolean): string[] {
  if (isForeign) {
    return table(
      [">INDEX", ">TERM", ">SIZE", "NAME"],
      rows.map(({ index, term, size, name }) => [`${index}`, `${term}`, sizeText(size), shown(name ?? "-")]),
    );
  }
  return table(
    [">INDEX", ">TERM", ">SIZE", ">FILES", ">AGE", "GROUP"],
    rows.map(({ index, term, size, files, createdAt, group }) => [
      `${index}`,
      `${term}`,
      sizeText(size),
      `${files ?? "-"}`,
      ageText(createdAt),
      group === undefined ? "-" : JSON.stringify(group),
    ]),
  );
}

/** `inspect PLACE [INDEX]` */
export const inspect: Command = {
  usage: "PLACE [INDEX]",
  summary: "shows what is in one snapshot, or in all",
  help: `Reads manifests and sizes, not the content: see verify.\nA place is ${PLACES}.`,
  positionals: [1, 2],
  options: OPTIONS,
  run: (invocation) =>
    looking(invocation, async (place, index) => {
      const { io, json } = invocation;
      const snapshots: Description[] = [];
      await eachReader(place, index, async (reader) => void snapshots.push(await describe(reader)));
      if (json) {
        io.print(JSON.stringify({ format: place.format, snapshots }, plain));
        return Exit.DONE;
      }
      for (const snapshot of snapshots) {
        for (const line of textOf(snapshot, place)) io.print(line);
      }
      return nothingIn(place, snapshots.length, invocation);
    }),
};

/** `verify PLACE [INDEX]` */
export const verify: Command = {
  usage: "PLACE [INDEX]",
  summary: "reads everything and checks it",
  help:
    "Exit code 3 if anything is damaged, 1 if there is no snapshot. What is damaged is named, and left as it is. Of\n" +
    "snapshots of other systems it says what was checked, and what their formats have no checksum of.\n" +
    `A place is ${PLACES}.`,
  positionals: [1, 2],
  options: OPTIONS,
  run: (invocation) =>
    looking(invocation, async (place, index) => {
      const { io, json, signal } = invocation;
      let code: number = Exit.DONE;
      const snapshots: unknown[] = [];
      await eachReader(place, index, async (reader, index) => {
        const { ok, verified, bytes, chunks, bad, checked, unchecked } = await io.watch(reader.verify({ signal }));
        if (!ok) code = Exit.DAMAGED;
        const more = checked === undefined ? { verified, chunks } : { checked, unchecked };
        snapshots.push({ index, ok, bytes, bad, ...more });
        if (json) return;
        const good = checked === undefined ? verified === "chunks" : checked.length > 0;
        const what = checked === undefined ? `${chunks} chunks` : place.format;
        io.print(`${index}\t${ok ? good ? "good" : "can be read" : "DAMAGED"}\t${bytes} bytes\t${what}`);
        for (const { file, message } of bad) io.print(`  ${shown(file)}: ${shown(message)}`);
        for (const line of checked ?? []) io.print(`  checked: ${shown(line)}`);
        for (const line of unchecked ?? []) io.print(`  not checked: ${shown(line)}`);
      });
      if (json) io.print(JSON.stringify({ format: place.format, snapshots }, plain));
      return code === Exit.DONE ? await nothingIn(place, snapshots.length, invocation) : code;
    }),
};

/** Nothing was looked at, which is no success. */
async function nothingIn(place: Place, count: number, { io }: Invocation): Promise<number> {
  if (count > 0 || (await place.troubles()).some(({ kind }) => kind === "damaged")) return Exit.DONE;
  io.note(`There is no snapshot in ${place.name}`);
  return Exit.FAILED;
}

interface Description {
  readonly index: bigint;
  readonly term: bigint;
  readonly group: string | null;
  readonly peers: readonly string[];
  readonly oldPeers: readonly string[];
  readonly digest: string;
  readonly verified: "chunks" | "none";
  readonly files: readonly { readonly name: string; readonly size: number | null; readonly checksum: string | null }[];
  readonly details?: Readonly<Record<string, unknown>>;
}

async function describe(reader: PlaceReader): Promise<Description> {
  const { meta, manifest, verified, details } = reader;
  const files: Description["files"][number][] = [];
  for (const { name, checksum, source, chunks } of manifest.files) {
    const size = chunks?.size ?? (source === "reference" ? null : await reader.size(name));
    files.push({ name, size, checksum: checksum ?? null });
  }
  return {
    index: meta.lastIncludedIndex,
    term: meta.lastIncludedTerm,
    group: meta.group ?? null,
    peers: meta.peers,
    oldPeers: meta.oldPeers ?? [],
    digest: toHex(manifest.digest),
    verified,
    files,
    ...(details !== undefined && { details }),
  };
}

function textOf(snapshot: Description, { format, description }: Place): string[] {
  const { index, term, group, peers, oldPeers, digest, verified, files, details } = snapshot;
  const before = oldPeers.length > 0 ? ` (before: ${shown(oldPeers.join(", "))})` : "";
  const isForeign = description !== undefined;
  return [
    `snapshot ${index}, term ${term}${isForeign ? `, of ${format}` : ""}`,
    `  peers     ${shown(peers.join(", ")) || "-"}${before}`,
    ...isForeign ? [] : [
      `  group     ${group === null ? "-" : JSON.stringify(group)}`,
      `  digest    ${digest}`,
      `  verified  ${verified === "chunks" ? "chunk by chunk" : "not possible: it has no digests"}`,
    ],
    ...Object.entries(details ?? {}).map(([name, value]) => `  ${name}: ${shown(JSON.stringify(value, plain) ?? "-")}`),
    ...table(
      [">SIZE", "FILE", "CHECKSUM"],
      files.map((
        { name, size, checksum },
      ) => [size === null ? "-" : sizeText(size), shown(name), shown(checksum ?? "-")]),
    ).map((line) => `  ${line}`),
  ];
}

/** Opens the snapshot that is named, or one after the other. */
async function eachReader(
  place: Place,
  index: bigint | undefined,
  use: (reader: PlaceReader, index: bigint) => Promise<void>,
): Promise<void> {
  const isOne = index !== undefined || place.description !== undefined;
  const indices = isOne ? [index] : (await place.list()).map(({ index }) => index);
  for (const one of indices) {
    const reader = await place.open(one);
    try {
      await use(reader, reader.meta.lastIncludedIndex);
    } finally {
      await reader.close();
    }
  }
}

/**
 * Opens the place that is named, and says what is wrong in it. Exit code 3 if the named snapshot is damaged or, if none
 * was named, any of them.
 */
async function looking(
  invocation: Invocation,
  use: (place: Place, index: bigint | undefined) => Promise<number>,
): Promise<number> {
  const { positionals, io } = invocation;
  const named = parseNamed(positionals[0]!, positionals[1]);
  const place = await openPlace(named.place, invocation);
  try {
    let isDamaged = false;
    for (const { kind, index, message } of await place.troubles()) {
      if (kind === "quarantined") continue;
      isDamaged ||= kind === "damaged";
      if (kind === "damaged" && index === named.index) continue; // opening it says so
      io.note(`snapshot ${index} ${kind === "damaged" ? "is damaged" : "cannot be read now"}: ${message}`);
    }
    const code = await use(place, named.index);
    return code === Exit.DONE && isDamaged && named.index === undefined ? Exit.DAMAGED : code;
  } finally {
    await place.close();
  }
}
