/**
 * A server from which braft's followers copy snapshots, as if it were their leader.
 *
 * @module
 */

import type { AddressInfo, Server, Socket } from "node:net";
import { LONGEST_WAIT } from "../async/mod.ts";
import { checkOptions, checkString, checkTimeout, integer, limitOf, required } from "../checks.ts";
import { hasCode, messageOf, SnapshotError } from "../errors.ts";
import { checkReader, MANIFEST_NAME, SnapshotManifest, type SnapshotReader } from "../snapshot/mod.ts";
import { checkThrottle, type Throttle } from "../stream/mod.ts";
import { Connections } from "../transfer/mod.ts";
import { CODES, decodeGetFile, encodeError, encodePart, type Frame, FrameReader, type GetFile } from "./frames.ts";
import { FileCursor } from "./file_cursor.ts";

/** The most bytes of a request: a name has at most 4096. */
const MAX_REQUEST = 64 * 1024;
/** The most bytes of an answer, whatever is asked for; a follower asks for 128 KiB. */
const MAX_PART = 4 * 1024 * 1024;
/** Connections at a time: of too many one goes, of the address that has the most. */
const MAX_CONNECTIONS = 1024;
/** How long a throttle may hold an answer; a follower waits ten seconds. */
const MAX_HELD = 5000;

/**
 * Options of {@linkcode serveBraft}.
 *
 * @see {@linkcode serveBraft}
 */
export interface BraftServerOptions {
  /** The port; 0 for any that is free. */
  readonly port: number;
  /**
   * The IPv4 address to listen at, which is in the addresses that followers are told.
   *
   * @default {"127.0.0.1"}
   */
  readonly hostname?: string;
  /** Holds all that is sent to a rate. */
  readonly throttle?: Throttle;
  /**
   * The longest time for which a follower may ask for nothing and take nothing, in milliseconds. Then its connection is
   * closed; it opens another when it wants more. 0 for no limit.
   *
   * @default {60000}
   */
  readonly stallTimeout?: number;
}

/**
 * A server that is running.
 *
 * @see {@linkcode serveBraft}
 */
export interface BraftServer extends AsyncDisposable {
  /** The port that it listens at. */
  readonly port: number;
  /**
   * Offers a snapshot, until it is withdrawn.
   *
   * @param reader the snapshot, kept open meanwhile
   * @returns `remote://HOST:PORT/ID`, which a follower is told in `install_snapshot`; the number cannot be guessed
   */
  offer(reader: SnapshotReader): string;
  /**
   * Ends an offer; who is copying is told that there is none. The reader stays open.
   *
   * @param uri what `offer` returned
   * @returns whether there was one
   */
  withdraw(uri: string): boolean;
  /** Stops the server; copies that are running are cut off. */
  close(): Promise<void>;
}

/**
 * Serves snapshots to braft's followers, as braft's `FileService` does: `get_file` in frames of `baidu_std`. Unlike
 * braft's it lets several followers read one offer, each where it likes. On Node, Deno and Bun.
 *
 * There is no authentication in this protocol: who knows the number of an offer can read it.
 *
 * @param options where to listen, and how fast
 * @throws {SnapshotError} `MALFORMED` if an option is not allowed; what the system throws if the port is taken
 *
 * @example
 * ```ts
 * import { MemoryStorage } from "@snapstream/snapstream";
 * import { pullBraft, serveBraft } from "@snapstream/snapstream/braft";
 *
 * await using storage = new MemoryStorage();
 * const writer = await storage.create();
 * await ReadableStream.from([new TextEncoder().encode("state")]).pipeTo(writer.file("state"));
 * await writer.commit({ lastIncludedIndex: 7n, lastIncludedTerm: 2n, peers: [] });
 *
 * await using reader = await storage.open();
 * await using server = await serveBraft({ port: 0 });
 * await using copy = new MemoryStorage();
 * const { meta } = await pullBraft(server.offer(reader), copy).result;
 * console.assert(meta.lastIncludedIndex === 7n);
 * ```
 */
export async function serveBraft(options: BraftServerOptions): Promise<BraftServer> {
  const { port, hostname = "127.0.0.1", throttle, stallTimeout = 60_000 } = checkOptions(options, {
    port: required(integer(0, 65_535)),
    hostname: checkString,
    throttle: checkThrottle,
    stallTimeout: checkTimeout,
  });
  const stallLimit = limitOf(stallTimeout);
  const { createServer } = await import("node:net");
  const offers = new Map<bigint, SnapshotReader>();
  const sockets = new Set<Socket>();
  const connections = new Connections(MAX_CONNECTIONS);
  const server = createServer((socket) => {
    sockets.add(socket);
    connections.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => {}); // it is closed then, which the reading sees
    if (stallLimit < Infinity) socket.setTimeout(Math.min(stallLimit, LONGEST_WAIT), () => void socket.destroy());
    socket.setNoDelay(true);
    answerAll(socket, offers, throttle, () => connections.answering(socket)).catch(() => {}).finally(() =>
      socket.destroy()
    );
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, hostname, resolve));
  const actual = (server.address() as AddressInfo).port;
  const prefix = `remote://${hostname}:${actual}/`;
  return {
    port: actual,
    offer(reader) {
      checkReader(reader, "reader");
      let id = 0n;
      while (id === 0n || offers.has(id)) id = crypto.getRandomValues(new BigUint64Array(1))[0]! >> 1n;
      offers.set(id, reader);
      return prefix + id;
    },
    withdraw(uri) {
      checkString(uri, "uri");
      return uri.startsWith(prefix) && /^\d{1,19}$/.test(uri.slice(prefix.length)) &&
        offers.delete(BigInt(uri.slice(prefix.length)));
    },
    close: () => closed(server, sockets),
    [Symbol.asyncDispose]: () => closed(server, sockets),
  };
}

async function closed(server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  const ended = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const socket of sockets) socket.destroy();
  await ended;
}

/** Answers one request after the other, so that a follower holds no more than one answer here. */
async function answerAll(
  socket: Socket,
  offers: ReadonlyMap<bigint, SnapshotReader>,
  throttle: Throttle | undefined,
  answering: () => () => void,
): Promise<void> {
  const frames = new FrameReader(socket);
  const cursor = new FileCursor();
  try {
    for (;;) {
      const frame = await frames.next(MAX_REQUEST);
      if (frame === undefined) return;
      const answered = answering();
      const answer = await answerOf(frame, offers, cursor, throttle);
      await new Promise<void>((resolve, reject) => {
        socket.once("close", reject);
        socket.write(answer, (error) => {
          socket.off("close", reject);
          if (error == null) resolve();
          else reject(error);
        });
      });
      answered();
    }
  } finally {
    await cursor.close();
  }
}

async function answerOf(
  frame: Frame,
  offers: ReadonlyMap<bigint, SnapshotReader>,
  cursor: FileCursor,
  throttle: Throttle | undefined,
): Promise<Uint8Array> {
  const { correlation, service, method, compression, message } = frame;
  const error = (code: number, text: string) => encodeError(correlation, code, text);
  if (!/^(braft\.)?FileService$/.test(service)) return error(CODES.noService, `There is no service ${service}`);
  if (method !== "get_file") return error(CODES.noMethod, `FileService has no ${method}`);
  if (compression !== 0) return error(CODES.request, "The request is compressed, which is not supported");
  const request = decodeGetFile(message);
  const { reader: id, name, count, offset } = request;
  if (count <= 0n || offset < 0n || offset > Number.MAX_SAFE_INTEGER) {
    return error(CODES.request, `There are no ${count} bytes at ${offset}`);
  }
  const reader = offers.get(id);
  if (reader === undefined) return error(CODES.noReader, `There is no reader ${id}`);
  if (name === MANIFEST_NAME) return encodePart(correlation, offset, true, [await served(reader.manifest)]);
  if (!reader.manifest.files.some((file) => file.name === name)) {
    return error(CODES.notListed, `The snapshot has no file ${JSON.stringify(name)}`);
  }
  const length = await allowed(request, throttle);
  if (length === 0) return error(CODES.again, "The rate is used up: ask again");
  try {
    const { pieces, eof } = await cursor.read(reader, name, Number(offset), length);
    return encodePart(correlation, offset, eof, pieces);
  } catch (failure) {
    if (failure instanceof SnapshotError) await cursor.close();
    return error(hasCode(failure, "BUSY") ? CODES.again : CODES.io, messageOf(failure));
  }
}

/** The manifest that a follower gets: as from braft, it does not say where a file lies here. A digest covers that. */
async function served({ verifiable, meta, files, bytes }: SnapshotManifest): Promise<Uint8Array> {
  if (verifiable || files.every(({ source }) => source === undefined)) return bytes;
  return (await SnapshotManifest.of(meta, files.map(({ source: _, ...file }) => file))).bytes;
}

/** The bytes that may be sent now: fewer than asked for where a slow rate would have the follower wait too long. */
async function allowed({ count, partly }: GetFile, throttle: Throttle | undefined): Promise<number> {
  const wanted = Number(count < MAX_PART ? count : BigInt(MAX_PART));
  if (throttle === undefined) return wanted;
  const length = partly ? Math.max(Math.min(wanted, Math.floor(throttle.bytesPerSecond)), 1) : wanted;
  try {
    await throttle.take(length, AbortSignal.timeout(MAX_HELD));
    return length;
  } catch (error) {
    if (!hasCode(error, "CANCELLED")) throw error;
    return 0;
  }
}
