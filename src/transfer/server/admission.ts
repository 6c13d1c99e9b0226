/**
 * Admission: an archive is admitted, or refused, by its head, before it takes the place of the one install that there
 * may be, and before anything of it is written.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import {
  checkHeadroom,
  checkIndexOf,
  checkLimits,
  checkOffered,
  readHead,
  type SnapshotLimits,
  type SnapshotManifest,
  type SnapshotMeta,
  type SnapshotStorage,
  type SnapshotVerifier,
} from "../../snapshot/mod.ts";

/** The limits of a handler, unless others are given. */
const LIMITS: Required<SnapshotLimits> = { bytes: 2 ** 40, files: 16_384, directories: 4096 };

/** Admits snapshots that are sent or offered. */
export class Admission {
  /** The limits in force. */
  readonly limits: Required<SnapshotLimits>;
  readonly #storage: SnapshotStorage;
  readonly #verifier: SnapshotVerifier | undefined;

  /**
   * @param storage where to
   * @param verifier who is trusted
   * @param limits how much a snapshot may be
   */
  constructor(storage: SnapshotStorage, verifier: SnapshotVerifier | undefined, limits: SnapshotLimits = {}) {
    this.#storage = storage;
    this.#verifier = verifier;
    this.limits = { ...LIMITS, ...limits };
  }

  /**
   * Admits an archive by its head.
   *
   * @param index the index that it has to have
   * @param stream the archive; cancelled if it is refused
   * @returns the archive, with its head
   * @throws {SnapshotError} `MALFORMED`, `CORRUPT`, `UNSUPPORTED`, `FORBIDDEN`, `NO_SPACE`
   */
  async archive(index: bigint, stream: ReadableStream<Uint8Array>): Promise<ReadableStream<Uint8Array>> {
    const head = await readHead(stream, this.#verifier, this.limits.files);
    try {
      checkIndexOf(head.meta, index);
      await this.#check(head.meta, head.manifest);
      return head.stream;
    } catch (error) {
      head.stream.cancel(error).catch(() => {}); // not waited for: it may stall
      throw error;
    }
  }

  /** Admits a snapshot that is offered by its manifest. */
  async offer(manifest: SnapshotManifest): Promise<void> {
    await this.#check(manifest.meta, manifest);
  }

  async #check(meta: SnapshotMeta, manifest: SnapshotManifest | undefined): Promise<void> {
    checkHeadroom(meta);
    const here = await this.#storage.list();
    checkOffered(this.#storage.group, here, meta);
    if (manifest === undefined) return;
    checkLimits(manifest, this.limits);
    const free = await this.#storage.freeSpace?.();
    if (free === undefined) return;
    const room = here.reduce((sum, { size }) => sum + size, free); // what is here may be what it has: it is linked
    if (manifest.size <= room) return;
    throw new SnapshotError(
      "NO_SPACE",
      `Snapshot ${manifest.index} has ${manifest.size} bytes, for which there is no room`,
      {
        index: manifest.index,
        expected: room,
        actual: manifest.size,
      },
    );
  }
}
