/**
 * The files of a streamed archive while they come: see `format.ts`.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { InFlight, type Tracker } from "../../async/mod.ts";
import { closeSink, DIGEST_SIZE, equal, sha256, toHex } from "../../stream/mod.ts";
import { malformed, MAX_OPEN_FILES, view } from "./format.ts";
import { LimitedSize, type SnapshotLimits } from "../limits.ts";
import { SnapshotManifest } from "../manifest.ts";
import { MAX_MANIFEST_BYTES } from "../manifest_bytes.ts";
import { decodeTrailer, type FileTrailer } from "../trailer.ts";
import type { SnapshotMeta } from "../meta.ts";
import type { SnapshotWriter } from "../writer.ts";

/** Chunks of a file that are checked at the same time. */
const CHUNKS_IN_FLIGHT = 4;
/** With more open files than this, which a peer can have at will, each is read ahead less. */
const FEW_FILES = 4;

/** A file of a streamed archive while it comes. */
interface ReceivedFile {
  readonly name: string;
  readonly sink: WritableStreamDefaultWriter<Uint8Array>;
  readonly checked: InFlight<Uint8Array>;
  size: number;
  chunks: number;
  trailer: FileTrailer;
}

/** The files of a streamed archive, written as they come. */
export class ReceivedFiles {
  readonly #writer: SnapshotWriter;
  readonly #bare: SnapshotMeta;
  readonly #tracker: Tracker;
  readonly #open = new Map<number, ReceivedFile>();
  readonly #size: LimitedSize;
  #described = 0;
  /** The number of files that have begun. */
  count = 0;
  /** Bytes in all their chunks. */
  bytes = 0;

  constructor(
    writer: SnapshotWriter,
    { createdAt: _, ...bare }: SnapshotMeta,
    tracker: Tracker,
    limits?: SnapshotLimits,
  ) {
    this.#writer = writer;
    this.#bare = bare;
    this.#tracker = tracker;
    this.#size = new LimitedSize(limits);
  }

  async begin(head: Uint8Array): Promise<void> {
    if (head.length < 4) throw malformed("a FILE that is too short");
    if (this.#open.size === MAX_OPEN_FILES) throw malformed(`more than ${MAX_OPEN_FILES} files at the same time`);
    this.#describe(head);
    const chunkSize = view(head).getUint32(0);
    const described = await SnapshotManifest.decode(head.subarray(4));
    const [info] = described.files;
    if (info === undefined || described.files.length > 1) throw malformed("a FILE that is not of one file");
    const { bytes } = await SnapshotManifest.of(this.#bare, [info]);
    if (!equal(bytes, head.subarray(4))) {
      throw new SnapshotError("CORRUPT", `The archive does not describe ${JSON.stringify(info.name)} as it should`, {
        file: info.name,
      });
    }
    const { name, ...attributes } = info;
    this.#size.addFile(name);
    const sink = this.#writer.file(name, {
      ...attributes,
      chunkSize: chunkSize === 0 ? "pieces" : chunkSize,
      keyGroups: () => file.trailer.keyGroups,
      encryption: () => Promise.resolve(file.trailer.encryption),
    }).getWriter();
    sink.closed.catch(() => {});
    const inFlight = () => this.#open.size > FEW_FILES ? 2 : CHUNKS_IN_FLIGHT;
    const checked = new InFlight<Uint8Array>(inFlight, async (bytes) => {
      await sink.ready;
      sink.write(bytes).catch(() => {}); // a failed write rejects `ready` and `close`
      this.#tracker.add(bytes.length);
    });
    const file: ReceivedFile = { name, sink, checked, size: 0, chunks: 0, trailer: {} };
    this.#open.set(this.count++, file);
  }

  async chunk(payload: Uint8Array): Promise<void> {
    if (payload.length <= 4 + DIGEST_SIZE) throw malformed("a CHUNK without bytes");
    const file = this.#file(payload);
    this.#size.addBytes(payload.length - 4 - DIGEST_SIZE);
    file.size += payload.length - 4 - DIGEST_SIZE;
    this.bytes += payload.length - 4 - DIGEST_SIZE;
    await file.checked.add(checkChunk(file.name, file.chunks++, payload.subarray(4)));
  }

  async end(payload: Uint8Array): Promise<void> {
    if (payload.length < 12) throw malformed("a FILE_END that is too short");
    const file = this.#file(payload);
    if (view(payload).getBigUint64(4) !== BigInt(file.size)) {
      throw new SnapshotError("CORRUPT", `The archive lost a part of ${JSON.stringify(file.name)}`, {
        file: file.name,
      });
    }
    this.#describe(payload);
    file.trailer = decodeTrailer(payload.subarray(12));
    await file.checked.drain();
    await closeSink(file.sink);
    this.#open.delete(view(payload).getUint32(0));
  }

  checkClosed(): void {
    for (const { name } of this.#open.values()) {
      throw new SnapshotError("CORRUPT", `The archive was cut short in ${JSON.stringify(name)}`, { file: name });
    }
  }

  async abort(reason: unknown): Promise<void> {
    for (const { sink, checked } of this.#open.values()) {
      await checked.settled();
      await sink.abort(reason).catch(() => {});
    }
  }

  #file(payload: Uint8Array): ReceivedFile {
    const number = view(payload).getUint32(0);
    const file = this.#open.get(number);
    if (file !== undefined) return file;
    throw malformed(`a part of file ${number}, which has not begun or was at its end`);
  }

  /** Counts the bytes that go into the manifest. */
  #describe(payload: Uint8Array): void {
    this.#described += payload.length;
    if (this.#described > MAX_MANIFEST_BYTES) throw malformed("it has more files than a manifest can hold");
  }
}

async function checkChunk(file: string, chunk: number, payload: Uint8Array): Promise<Uint8Array> {
  const bytes = payload.subarray(DIGEST_SIZE);
  const digest = await sha256(bytes);
  if (equal(digest, payload.subarray(0, DIGEST_SIZE))) return bytes;
  throw new SnapshotError(
    "CORRUPT",
    `Chunk ${chunk} of ${JSON.stringify(file)} in the archive does not have its SHA-256`,
    { file, chunk, expected: toHex(payload.subarray(0, DIGEST_SIZE)), actual: toHex(digest) },
  );
}
