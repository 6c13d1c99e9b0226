/**
 * Commands that move snapshots: `serve`, `pull`, `archive`, `unarchive`, `restore`.
 *
 * @module
 */

import { timingSafeEqual } from "@std/crypto/timing-safe-equal";
import { onAbort } from "../async/mod.ts";
import { messageOf } from "../errors.ts";
import { archive as archiveOf, unarchive as takeIn } from "../snapshot/mod.ts";
import { DirectoryStorage } from "../storage/directory/mod.ts";
import { pump } from "../stream/mod.ts";
import { checkSource, pull as fetchInto, snapshotHandler } from "../transfer/mod.ts";
import { serve as listen } from "../serve.ts";
import { openFormat } from "../format/mod.ts";
import { type Command, Exit, parseIndex, UsageError } from "./command.ts";
import { foreignFiles } from "./foreign.ts";

/** Compares a secret in a time that does not tell how much of it is right. */
function isSame(given: string, secret: string): boolean {
  const encoder = new TextEncoder();
  const [a, b] = [encoder.encode(given), encoder.encode(secret)];
  return a.length === b.length && timingSafeEqual(a, b); // it throws if their lengths differ
}

/** `serve DIR --port P` */
export const serve: Command = {
  usage: "DIR --port P [--host H] [--token T]",
  summary: "serves the snapshots of a directory over HTTP, until Ctrl-C",
  help:
    "Reads only: nothing can be sent to it, and nothing in the directory is changed. What is added to the directory\n" +
    "later is not seen. --host is 127.0.0.1 unless given; with --token only requests with that bearer token pass.",
  positionals: [1, 1],
  options: { port: "P", host: "H", token: "T" },
  async run({ positionals, options, json, signal, io }) {
    const port = Number(options.port ?? NaN);
    if (!Number.isInteger(port) || port < 0 || port > 65_535) {
      throw new UsageError("--port takes a number from 0 to 65535");
    }
    const storage = await DirectoryStorage.open(positionals[0]!, { readOnly: true });
    try {
      const { token } = options;
      const handler = snapshotHandler(storage, {
        authorize: ({ method, headers }) =>
          (method === "GET" || method === "HEAD") &&
          (token === undefined || isSame(headers.get("Authorization") ?? "", `Bearer ${token}`)),
        onError: (error, { url }) => io.note(`${new URL(url).pathname}: ${error}`),
      });
      const server = await listen(handler, { port, ...(options.host !== undefined && { hostname: options.host }) });
      io.print(json ? JSON.stringify({ url: server.url }) : `Serving ${positionals[0]} at ${server.url}`);
      await new Promise((resolve) => onAbort(signal, resolve));
      await server.close();
      await handler.close();
      return Exit.DONE;
    } finally {
      await storage.close();
    }
  },
};

/** `pull URL… DIR` */
export const pull: Command = {
  usage: "URL… DIR [--index I] [--token T]",
  summary: "fetches the newest snapshot from one or more servers",
  help:
    "Can be stopped at any time, and resumes where it was when it is called again. The servers must be servers of\n" +
    "one group: all are asked, and the newest snapshot is fetched.",
  positionals: [2, Infinity],
  options: { index: "I", token: "T" },
  async run({ positionals, options, json, signal, io }) {
    const headers: HeadersInit = options.token === undefined ? {} : { Authorization: `Bearer ${options.token}` };
    const sources = positionals.slice(0, -1).map((url) => {
      try {
        checkSource({ url, headers }, "URL"); // its message shows no password
      } catch (error) {
        throw new UsageError(messageOf(error));
      }
      return { url, headers };
    });
    const index = parseIndex(options.index);
    const storage = await DirectoryStorage.open(positionals.at(-1)!);
    try {
      const { upToDate, snapshot, fetched, reused } = await io.watch(fetchInto(storage, sources, {
        index,
        signal,
        onSourceError: (error) => io.note(error.message),
      }));
      const found = String(snapshot.meta.lastIncludedIndex);
      io.print(
        json
          ? JSON.stringify({ index: found, size: snapshot.size, fetched, reused, upToDate })
          : upToDate
          ? `snapshot ${found}: up to date`
          : `snapshot ${found}: ${snapshot.size} bytes, ${fetched} of them fetched, ${reused} here already`,
      );
      return Exit.DONE;
    } finally {
      await storage.close();
    }
  },
};

/** `archive PATH [INDEX] > FILE` */
export const archive: Command = {
  usage: "PATH [INDEX] > FILE",
  summary: "writes a snapshot as one stream to standard output",
  help: "The newest, or the one that is named; also of another system. Nothing at the path is changed.",
  positionals: [1, 2],
  options: {},
  async run({ positionals, signal, io }) {
    const index = parseIndex(positionals[1]);
    const files = await foreignFiles(positionals[0]!);
    if (files !== undefined) {
      const reader = await openFormat(files, index === undefined ? {} : { index });
      await pump(archiveOf(reader), io.stdout(), { signal });
      return Exit.DONE;
    }
    const storage = await DirectoryStorage.open(positionals[0]!, { readOnly: true });
    try {
      const reader = await storage.open(index);
      try {
        await pump(archiveOf(reader), io.stdout(), { signal });
      } finally {
        await reader.close();
      }
      return Exit.DONE;
    } finally {
      await storage.close();
    }
  },
};

/** `restore DIR INDEX` */
export const restore: Command = {
  usage: "DIR INDEX",
  summary: "makes a quarantined snapshot one again, if it verifies",
  help: "Reads all of it first: what is bad stays where it is (exit code 3). `ls` names those that are quarantined.",
  positionals: [2, 2],
  options: {},
  async run({ positionals, json, signal, io }) {
    const index = parseIndex(positionals[1])!;
    const storage = await DirectoryStorage.open(positionals[0]!, { onWarning: ({ message }) => io.note(message) });
    try {
      const { size } = await storage.restore(index, { signal });
      io.print(json ? JSON.stringify({ index: String(index), size }) : `snapshot ${index}: ${size} bytes`);
      return Exit.DONE;
    } finally {
      await storage.close();
    }
  },
};

/** `unarchive DIR < FILE` */
export const unarchive: Command = {
  usage: "DIR < FILE",
  summary: "takes a snapshot from standard input into a directory",
  help: "All or nothing: an archive that is cut short or damaged leaves the directory as it was (exit code 3).",
  positionals: [1, 1],
  options: {},
  async run({ positionals, json, signal, io }) {
    const storage = await DirectoryStorage.open(positionals[0]!);
    try {
      const { meta, size } = await io.watch(takeIn(io.stdin(), storage, { signal }));
      const index = String(meta.lastIncludedIndex);
      io.print(json ? JSON.stringify({ index, size }) : `snapshot ${index}: ${size} bytes`);
      return Exit.DONE;
    } finally {
      await storage.close();
    }
  },
};
