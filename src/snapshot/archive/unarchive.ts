/**
 * Taking archives in: see `format.ts`.
 *
 * @module
 */

import { checkFunction, checkIndex, checkOptions, checkReadable, checkSignal, withMembers } from "../../checks.ts";
import { SnapshotError, throwIfCancelled } from "../../errors.ts";
import { InFlight, onAbort, Operation, type Tracker } from "../../async/mod.ts";
import { type ArchiveRecord, decodeRecords } from "./records.ts";
import { equal } from "../../stream/mod.ts";
import { END_SIZE, limitOf, malformed, Type, view } from "./format.ts";
import { decodeTrailer } from "../trailer.ts";
import { checkOffered } from "../group.ts";
import { checkIndexOf, decodeHead } from "./head.ts";
import { checkHeadroom, checkLimits, limitChecks, type SnapshotLimits } from "../limits.ts";
import type { SnapshotManifest } from "../manifest.ts";
import type { SnapshotMeta, SnapshotSeal } from "../meta.ts";
import { checkStorage, checkVerifier } from "../options.ts";
import { ReceivedFiles } from "./received_files.ts";
import type { SnapshotVerifier } from "../signature.ts";
import { stale } from "../stale.ts";
import { verifiedBy } from "../verified_by.ts";
import type { SnapshotInfo } from "../info.ts";
import type { SnapshotStorage } from "../storage.ts";
import type { CheckOptions } from "../writer.ts";

const CHUNKS_IN_FLIGHT = 4;

/**
 * Options of {@linkcode unarchive}.
 *
 * @category Transfer
 * @see {@linkcode archive}
 */
export interface UnarchiveOptions extends CheckOptions {
  /** Stops it. */
  readonly signal?: AbortSignal | undefined;
  /** The index that the snapshot must have; any if absent. */
  readonly index?: bigint | undefined;
  /** Refuses what is not signed by somebody who is trusted. By default the storage's verifier does, if it has one. */
  readonly verifier?: SnapshotVerifier | undefined;
  /** Refuses what is too large, before anything of it is written if the archive begins with its manifest. */
  readonly limits?: SnapshotLimits | undefined;
  /**
   * Called when all of it is here, before it is tried and committed; may have that wait, or throw to refuse it. Nothing
   * is locked meanwhile.
   */
  readonly onReceived?: () => void | Promise<void>;
}

/**
 * Takes an archive into a storage. It becomes a snapshot only if it is complete and right to the last bit. Of an
 * archive that begins with a manifest (as `archive` makes them), chunks that the storage has already are not taken
 * again, and those of one that was cut short stay for the next; of a streamed one nothing stays.
 *
 * @category Transfer
 * @see {@linkcode archive}
 * @param stream the archive; cancelled if it is not wanted any more
 * @param storage where to
 * @param options the signal, and what is expected
 * @returns work that gives the snapshot, and fails with `MALFORMED`, `CORRUPT` or `UNSUPPORTED` for what is not a right
 *   archive, `FORBIDDEN` if it is of another group or not from somebody who is trusted, `STALE` if it is not newer
 *   than what is here, `BUSY` while another snapshot is being written or received
 */
export function unarchive(
  stream: ReadableStream<Uint8Array>,
  storage: SnapshotStorage,
  options: UnarchiveOptions = {},
): Operation<SnapshotInfo> {
  return new Operation((tracker) => {
    checkReadable(stream, "stream");
    checkStorage(storage, "storage");
    checkOptions(options, {
      signal: checkSignal,
      index: checkIndex,
      verifier: checkVerifier,
      check: checkFunction,
      onReceived: checkFunction,
      limits: withMembers<SnapshotLimits>(limitChecks()),
    });
    return new Unarchiver(storage, options, tracker).run(stream);
  });
}

/** The contents of an END, and of the SEAL before it. */
interface End {
  readonly digest: Uint8Array;
  readonly signature: Uint8Array | undefined;
  readonly seal?: SnapshotSeal;
}

class Unarchiver {
  readonly #storage: SnapshotStorage;
  readonly #options: UnarchiveOptions;
  readonly #tracker: Tracker;
  /** The memory of chunks that an install has written, for those to come. A writer's stream may keep what it gets. */
  readonly #free: Uint8Array[] = [];

  constructor(storage: SnapshotStorage, options: UnarchiveOptions, tracker: Tracker) {
    this.#storage = storage;
    this.#options = options;
    this.#tracker = tracker;
  }

  async run(stream: ReadableStream<Uint8Array>): Promise<SnapshotInfo> {
    const { signal } = this.#options;
    const records = decodeRecords(stream, limitOf, signal, () => this.#tracker.moved(), this.#free);
    try {
      const { verifier = this.#storage.verifier, limits } = this.#options;
      const { meta, manifest } = await decodeHead((await records.next()).value, verifier, limits?.files);
      await this.#checkWanted(meta);
      return manifest === undefined ? await this.#create(records, meta) : await this.#install(records, manifest);
    } finally {
      await records.return();
    }
  }

  /** Takes in an archive that begins with its manifest. */
  async #install(records: AsyncGenerator<ArchiveRecord>, manifest: SnapshotManifest): Promise<SnapshotInfo> {
    const { signal, limits } = this.#options;
    checkLimits(manifest, limits);
    const install = await this.#storage.install(manifest);
    const { content } = manifest;
    const writing = new InFlight<unknown>(() => CHUNKS_IN_FLIGHT);
    let sent = 0;
    let next = 0;
    try {
      this.#tracker.phase("prepare", manifest.size);
      await install.prepare({ signal, onReused: (bytes, chunks) => this.#tracker.reuse(bytes, chunks) });
      this.#tracker.phase("receive");
      for (;;) {
        const { done, value: record } = await records.next();
        if (done) throw new SnapshotError("CORRUPT", "The archive was cut short: it has no END");
        if (record.type === Type.END) {
          await writing.drain();
          const end = await this.#end(records, record.payload, manifest.files.length, sent);
          if (!equal(end.digest, manifest.digest)) throw malformed("its END is of another snapshot");
          if (end.signature !== undefined) throw malformed("its END is signed, and its MANIFEST should be");
          break;
        }
        if (record.type !== Type.PART || record.payload.length < 4) {
          throw malformed(`a record of type ${record.type} where a PART or the END should be`);
        }
        const number = view(record.payload).getUint32(0);
        if (number < next || number >= content.count) throw malformed(`a PART ${number}, which is not the next`);
        next = number + 1;
        const bytes = record.payload.subarray(4);
        sent += bytes.length;
        const isNew = !install.has(number); // the sender may not have known
        await writing.add(
          install.write(number, bytes).then(() => {
            if (isNew) this.#tracker.add(bytes.length);
            if (record.isAlone) this.#free.push(record.payload);
          }),
        );
      }
      await this.#options.onReceived?.();
      throwIfCancelled(signal);
      this.#tracker.phase("commit");
      return await install.commit({ check: this.#options.check });
    } catch (error) {
      throwIfCancelled(signal);
      throw error;
    } finally {
      await writing.settled();
      await install.close();
    }
  }

  /** Takes in an archive of which nothing is known before its end. */
  async #create(records: AsyncGenerator<ArchiveRecord>, meta: SnapshotMeta): Promise<SnapshotInfo> {
    const { signal, verifier = this.#storage.verifier, limits } = this.#options;
    this.#tracker.phase("receive");
    const writer = await this.#storage.create({ raw: true });
    const unlink = onAbort(signal, (reason) => void writer.abort(reason).catch(() => {}));
    try {
      const received = new ReceivedFiles(writer, meta, this.#tracker, limits);
      const { digest, signature = meta.signature, seal = meta.seal } = await this.#receive(records, received);
      const whole = { ...meta, ...(signature !== undefined && { signature }), ...(seal !== undefined && { seal }) };
      await verifiedBy(verifier, { index: meta.lastIncludedIndex, digest, meta: whole });
      await this.#options.onReceived?.();
      this.#tracker.phase("commit");
      return await writer.commit(whole, { digest, check: this.#options.check });
    } catch (error) {
      await writer.abort(error).catch(() => {}); // leftovers that cannot be removed now go with the next one
      throwIfCancelled(signal);
      throw error;
    } finally {
      unlink();
    }
  }

  async #receive(records: AsyncGenerator<ArchiveRecord>, received: ReceivedFiles): Promise<End> {
    let seal: SnapshotSeal | undefined;
    try {
      for (;;) {
        const { done, value: record } = await records.next();
        if (done) throw new SnapshotError("CORRUPT", "The archive was cut short: it has no END");
        if (record.type === Type.END) {
          received.checkClosed();
          const end = await this.#end(records, record.payload, received.count, received.bytes);
          return { ...end, ...(seal !== undefined && { seal }) };
        }
        if (seal !== undefined) throw malformed("something else than the END follows its SEAL");
        if (record.type === Type.SEAL) seal = sealOf(record.payload);
        else if (record.type === Type.FILE) await received.begin(record.payload);
        else if (record.type === Type.CHUNK) await received.chunk(record.payload);
        else if (record.type === Type.FILE_END) await received.end(record.payload);
        else throw malformed(`a record of type ${record.type} where a FILE or the END should be`);
      }
    } catch (error) {
      await received.abort(error);
      throw error;
    }
  }

  /** Refuses early a snapshot that the commit would refuse after everything was received. */
  async #checkWanted(meta: SnapshotMeta): Promise<void> {
    const { lastIncludedIndex: index } = meta;
    const { index: expected } = this.#options;
    checkIndexOf(meta, expected);
    if (expected === undefined) checkHeadroom(meta);
    const here = await this.#storage.list();
    checkOffered(this.#storage.group, here, meta);
    const [newest] = here;
    if (newest !== undefined && index <= newest.meta.lastIncludedIndex) {
      throw stale(index, newest.meta.lastIncludedIndex);
    }
  }

  /** Checks the END, and that nothing follows it. */
  async #end(records: AsyncGenerator<unknown>, end: Uint8Array, files: number, bytes: number): Promise<End> {
    if (end.length < END_SIZE) throw malformed(`an END of ${end.length} bytes`);
    if (view(end).getUint32(0) !== files || view(end).getBigUint64(4) !== BigInt(bytes)) {
      throw new SnapshotError("CORRUPT", "The archive lost a part: its totals do not match", {
        expected: view(end).getBigUint64(4),
        actual: bytes,
      });
    }
    if (!(await records.next()).done) throw malformed("something follows its END");
    const signature = end.length > END_SIZE ? end.slice(END_SIZE) : undefined;
    return { digest: end.slice(12, END_SIZE), signature };
  }
}

function sealOf(payload: Uint8Array): SnapshotSeal {
  const { keyGroups, encryption } = decodeTrailer(payload);
  if (encryption === undefined || keyGroups !== undefined) throw malformed("its SEAL is none");
  return encryption;
}
