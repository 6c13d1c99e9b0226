/**
 * Commands that move snapshots: `pull`, `push`, `copy`, `archive`, `unarchive`.
 *
 * @module
 */

import { pullBraft } from "../braft/pull.ts";
import { writeFiles } from "../format/disk/mod.ts";
import { defaultDisk } from "../fs/mod.ts";
import {
  archive as archiveOf,
  type SnapshotReader,
  type SnapshotStorage,
  unarchive as takeIn,
} from "../snapshot/mod.ts";
import { pump, toHex } from "../stream/mod.ts";
import { pull as fetchInto, push as sendTo, type SourceOptions } from "../transfer/mod.ts";
import { type Command, Exit, INDEX_OPTION, type Invocation, JSON_OPTION, parseIndex, UsageError } from "./command.ts";
import { withReader } from "./files.ts";
import { checkBucket, openTarget, parseNamed, pathOf, type PlaceReader, PLACES, serverOf } from "./place/mod.ts";
import { TOKEN_OPTIONS } from "./secrets.ts";
import { sizeText } from "./text.ts";

/** `pull URL… TO` */
export const pull: Command = {
  usage: "URL… TO",
  summary: "fetches the newest snapshot from one or more servers, or a node of braft",
  help:
    "Can be stopped at any time, and resumes where it was when it is called again. The servers must be servers of\n" +
    "one group: all are asked, and the newest snapshot is fetched. If that is here already, all is well. TO is a\n" +
    "directory or a bucket. What a node of braft offers, and no other, is at remote://HOST:PORT/ID, which its log\n" +
    "says.",
  positionals: [2, Infinity],
  options: { ...INDEX_OPTION, ...TOKEN_OPTIONS, ...JSON_OPTION },
  async run(invocation) {
    const { positionals, options } = invocation;
    const sources: SourceOptions[] = [];
    if (positionals[0]!.startsWith("remote://")) return await fetchFromBraft(invocation);
    for (const url of positionals.slice(0, -1)) {
      const source = await serverOf(url, invocation);
      if (source === undefined) throw new UsageError(`${url} is no address of a server (http: or https:): see copy`);
      sources.push(source);
    }
    return await fetchTo(positionals.at(-1)!, sources, parseIndex(options["index"]), invocation);
  },
};

/** `push PLACE URL` */
export const push: Command = {
  usage: "PLACE URL",
  summary: "sends a snapshot to a server, which installs it",
  help: "Only chunks that the server does not have are sent. PLACE is as of ls.",
  positionals: [2, 2],
  options: { ...INDEX_OPTION, ...TOKEN_OPTIONS, ...JSON_OPTION },
  async run(invocation) {
    const server = await serverOf(invocation.positionals[1]!, invocation);
    if (server === undefined) throw new UsageError("push sends to a server (http: or https:): see copy");
    return await fromPlace(invocation, (reader) => send(reader, server, invocation));
  },
};

/** `copy FROM TO` */
export const copy: Command = {
  usage: "FROM TO",
  summary: "copies a snapshot from any place to any other",
  help: `FROM is ${PLACES}. TO is a directory, a bucket or a server, or an archive if it ends with .snap.\n` +
    "Everything is verified on the way, and what TO has already is not moved.",
  positionals: [2, 2],
  options: { ...INDEX_OPTION, ...TOKEN_OPTIONS, ...JSON_OPTION },
  async run(invocation) {
    const { positionals: [from, to], options } = invocation;
    const toServer = await serverOf(to!, invocation);
    if (toServer !== undefined) return await fromPlace(invocation, (reader) => send(reader, toServer, invocation));
    if (/\.snap$/i.test(to!)) return await fromPlace(invocation, (reader) => intoFile(reader, pathOf(to!), invocation));
    const named = parseNamed(from!, options["index"]);
    const fromServer = await serverOf(named.place, invocation);
    if (fromServer !== undefined) return await fetchTo(to!, [fromServer], named.index, invocation); // it can resume
    await checkBucket(to!);
    return await fromPlace(invocation, (reader) => into(reader, to!, invocation));
  },
};

/** `archive PLACE [INDEX] > FILE` */
export const archive: Command = {
  usage: "PLACE [INDEX] > FILE",
  summary: "writes a snapshot as one stream to standard output",
  help: "The newest, or the one that is named; also of another system. PLACE is as of ls.",
  positionals: [1, 2],
  options: TOKEN_OPTIONS,
  async run(invocation) {
    const { positionals, signal, io } = invocation;
    const output = io.stdout("binary");
    return await withReader(invocation, positionals[0]!, positionals[1], async (reader) => {
      await pump(archiveOf(reader as SnapshotReader), output, { signal });
      return Exit.DONE;
    });
  },
};

/** `unarchive TO < FILE` */
export const unarchive: Command = {
  usage: "TO [< FILE]",
  summary: "takes a snapshot from standard input into a directory or a bucket",
  help: "All or nothing: an archive that is cut short or damaged leaves it as it was (exit code 3).",
  positionals: [1, 1],
  options: JSON_OPTION,
  async run(invocation) {
    const { positionals, json, signal, io } = invocation;
    const input = io.stdin();
    const target = await openTarget(positionals[0]!, invocation);
    try {
      const { meta, size } = await io.watch(takeIn(input, target.storage, { signal }));
      const index = String(meta.lastIncludedIndex);
      io.print(json ? JSON.stringify({ index, size }) : `snapshot ${index}: ${size} bytes`);
      return Exit.DONE;
    } finally {
      await target.close();
    }
  },
};

function fromPlace(invocation: Invocation, use: (reader: PlaceReader) => Promise<number>): Promise<number> {
  return withReader(invocation, invocation.positionals[0]!, invocation.options["index"], use);
}

async function send(reader: PlaceReader, server: SourceOptions, { io, json, signal }: Invocation): Promise<number> {
  const index = String(reader.meta.lastIncludedIndex);
  const { upToDate } = await io.watch(sendTo(reader as SnapshotReader, server, { signal }));
  if (json) io.print(JSON.stringify({ index, upToDate }));
  else io.print(upToDate ? `snapshot ${index}: up to date` : `snapshot ${index} was installed there`);
  return Exit.DONE;
}

/** Fetches from servers, and resumes what was interrupted. */
async function fetchTo(
  to: string,
  sources: readonly SourceOptions[],
  index: bigint | undefined,
  invocation: Invocation,
): Promise<number> {
  const { io, json, signal } = invocation;
  const target = await openTarget(to, invocation);
  const told = new Set<string>();
  try {
    const work = fetchInto(target.storage, sources, {
      index,
      signal,
      // Of one server the last error, which ends it, says it all.
      onSourceError({ message }) {
        if (sources.length === 1 || told.has(message)) return; // a retry that fails alike says nothing new
        told.add(message);
        io.note(message);
      },
    });
    const { upToDate, snapshot, fetched, reused } = await io.watch(work);
    const found = String(snapshot.meta.lastIncludedIndex);
    io.print(
      json
        ? JSON.stringify({ index: found, size: snapshot.size, fetched, reused, upToDate })
        : upToDate
        ? `snapshot ${found}: up to date`
        : `snapshot ${found}: ${sizeText(snapshot.size)}, ${sizeText(fetched)} fetched, ${
          sizeText(reused)
        } here already`,
    );
    return Exit.DONE;
  } finally {
    await target.close();
  }
}

/** Fetches what a node of braft offers, of which an address names one. */
async function fetchFromBraft(invocation: Invocation): Promise<number> {
  const { positionals, options, io, json, signal } = invocation;
  const [uri, to, ...more] = positionals;
  if (more.length > 0 || options["index"] !== undefined) {
    throw new UsageError("An address of braft is of one snapshot: pull remote://HOST:PORT/ID TO");
  }
  const target = await openTarget(to!, invocation);
  try {
    const { meta, size } = await io.watch(pullBraft(uri!, target.storage, { signal }));
    const index = String(meta.lastIncludedIndex);
    io.print(json ? JSON.stringify({ index, size }) : `snapshot ${index}: ${sizeText(size)}`);
    return Exit.DONE;
  } finally {
    await target.close();
  }
}

/** Copies into a storage: only chunks that it does not have. */
async function into(reader: PlaceReader, to: string, invocation: Invocation): Promise<number> {
  const { io, json, signal } = invocation;
  const target = await openTarget(to, invocation);
  try {
    const { storage } = target;
    const index = reader.meta.lastIncludedIndex;
    const held = await heldBy(storage, reader, signal);
    if (held === "all") {
      io.print(json ? JSON.stringify({ index: `${index}`, upToDate: true }) : `snapshot ${index}: up to date`);
      return Exit.DONE;
    }
    const stream = archiveOf(reader as SnapshotReader, held === undefined ? {} : { held });
    const { size } = await io.watch(takeIn(stream, storage, { signal }));
    io.print(json ? JSON.stringify({ index: `${index}`, size }) : `snapshot ${index}: ${sizeText(size)}`);
    return Exit.DONE;
  } finally {
    await target.close();
  }
}

/** The chunks of a snapshot that a storage has; `"all"` if the snapshot itself is there. */
async function heldBy(storage: SnapshotStorage, { manifest }: PlaceReader, signal: AbortSignal) {
  const digest = toHex(manifest.digest);
  if ((await storage.list()).some((one) => toHex(one.digest) === digest)) return "all";
  if (!manifest.verifiable) return undefined;
  const install = await storage.install(manifest);
  try {
    await install.prepare({ signal });
    return install.held();
  } finally {
    await install.close();
  }
}

async function intoFile(reader: PlaceReader, path: string, { io, json, signal }: Invocation): Promise<number> {
  const one = async function* () {
    yield { name: "", content: archiveOf(reader as SnapshotReader) };
  };
  const bytes = await writeFiles(defaultDisk(), path, one(), signal);
  const index = String(reader.meta.lastIncludedIndex);
  io.print(json ? JSON.stringify({ index, bytes }) : `snapshot ${index}: an archive of ${sizeText(bytes)}`);
  return Exit.DONE;
}
