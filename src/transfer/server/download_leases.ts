/**
 * Keeping a snapshot while somebody downloads it.
 *
 * @module
 */

import { hasCode, SnapshotError } from "../../errors.ts";
import {
  completeManifest,
  type SnapshotManifest,
  type SnapshotReader,
  type SnapshotStorage,
} from "../../snapshot/mod.ts";
import { LONGEST_WAIT } from "../../async/mod.ts";
import { toHex } from "../../stream/mod.ts";

/** Selects a snapshot: the newest if neither is given. */
export interface Selector {
  /** The one with this index. */
  readonly index?: bigint;
  /** The one with this digest, in hexadecimal. */
  readonly digest?: string;
}

/** A lease: an open reader, closed when nobody has renewed it for a while. */
interface Lease {
  readonly reader: SnapshotReader;
  readonly manifest: Promise<SnapshotManifest>;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** The leases of a handler, one a snapshot. */
export class DownloadLeases {
  readonly #storage: SnapshotStorage;
  readonly #duration: number;
  /** By the digest: an index may be used again after its snapshot was quarantined. */
  readonly #leases = new Map<string, Lease>();
  #closed = false;

  /**
   * @param storage has the snapshots
   * @param duration how long a lease lasts after each request, in milliseconds
   */
  constructor(storage: SnapshotStorage, duration: number) {
    this.#storage = storage;
    this.#duration = duration;
  }

  /**
   * Leases a snapshot, or renews the lease that there is.
   *
   * @param which which
   * @returns its complete manifest, computed once a lease
   * @throws {SnapshotError} `NOT_FOUND` …
   */
  async renew(which: Selector): Promise<SnapshotManifest> {
    if (which.digest === undefined) return await this.#renew(which.index);
    for (const { meta, digest, chunks } of await this.#storage.list()) {
      // A snapshot that braft wrote has another digest once it was completed.
      if (chunks > 0 && toHex(digest) !== which.digest) continue;
      try {
        const manifest = await this.#renew(meta.lastIncludedIndex);
        if (toHex(manifest.digest) === which.digest) return manifest;
      } catch (error) {
        if (!hasCode(error, "NOT_FOUND", "CORRUPT")) throw error;
      }
    }
    throw new SnapshotError("NOT_FOUND", `There is no snapshot ${which.digest} here`, { expected: which.digest });
  }

  async #renew(index: bigint | undefined): Promise<SnapshotManifest> {
    const reader = await this.#storage.open(index);
    const found = toHex(reader.manifest.digest);
    let lease = this.#leases.get(found);
    if (lease === undefined) {
      const manifest = completeManifest(reader);
      manifest.catch(() => this.#end(found));
      lease = { reader, manifest, timer: undefined };
      this.#leases.set(found, lease);
    } else {
      await reader.close();
    }
    clearTimeout(lease.timer);
    try {
      return await lease.manifest; // this may take longer than a lease lasts
    } finally {
      clearTimeout(lease.timer);
      if (this.#closed) await this.#end(found);
      else if (this.#leases.get(found) === lease) lease.timer = this.#timer(found);
    }
  }

  #timer(digest: string): ReturnType<typeof setTimeout> {
    return setTimeout(() => this.#end(digest), Math.min(this.#duration, LONGEST_WAIT));
  }

  /** Ends all leases. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#leases.keys()].map((digest) => this.#end(digest)));
  }

  async #end(digest: string): Promise<void> {
    const lease = this.#leases.get(digest);
    if (lease === undefined) return;
    this.#leases.delete(digest);
    clearTimeout(lease.timer);
    await lease.reader.close().catch(() => {});
  }
}
