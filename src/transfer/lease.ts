/**
 * Keeping a snapshot while somebody downloads it.
 *
 * @module
 */

import { completeManifest, type SnapshotManifest, type SnapshotReader, type SnapshotStorage } from "../snapshot/mod.ts";

/** A lease: an open reader, closed when nobody has renewed it for a while. */
interface Lease {
  readonly reader: SnapshotReader;
  readonly manifest: Promise<SnapshotManifest>;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** The leases of a handler, one a snapshot. */
export class Leases {
  readonly #storage: SnapshotStorage;
  readonly #duration: number;
  readonly #leases = new Map<bigint, Lease>();

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
   * @param index which; the newest if absent
   * @returns its complete manifest, computed once a lease
   * @throws {SnapshotError} `NOT_FOUND` …
   */
  async renew(index: bigint | undefined): Promise<SnapshotManifest> {
    const reader = await this.#storage.open(index);
    const found = reader.meta.lastIncludedIndex;
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
    lease.timer = setTimeout(() => this.#end(found), this.#duration);
    return await lease.manifest;
  }

  /** Ends all leases. */
  async close(): Promise<void> {
    await Promise.all([...this.#leases.keys()].map((index) => this.#end(index)));
  }

  async #end(index: bigint): Promise<void> {
    const lease = this.#leases.get(index);
    if (lease === undefined) return;
    this.#leases.delete(index);
    clearTimeout(lease.timer);
    await lease.reader.close().catch(() => {});
  }
}
