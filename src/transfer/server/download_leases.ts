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
  /** The client that asks for it. */
  readonly client?: string;
}

/** The snapshots that one client keeps at a time: the newest, and the one before it. */
const MAX_OF_CLIENT = 2;
/** The snapshots that all clients together keep at a time. */
const MAX_LEASES = 8;
/**
 * A lease can be renewed for so many times its duration, and longer if its client is sent something of the snapshot.
 */
const RENEWALS = 10;
/** The bytes that make a lease last a millisecond longer: 4 kB a second. */
const BYTES_PER_MS = 4;

/** The part of a client in a lease. */
interface Holder {
  readonly begun: number;
  /** Bytes that it was sent. */
  bytes: number;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** A lease: an open reader, closed when no client holds it any more. */
interface Lease {
  readonly reader: SnapshotReader;
  readonly manifest: Promise<SnapshotManifest>;
  /** By client; who renewed it last is the last. */
  readonly holders: Map<string, Holder>;
}

/**
 * The leases of a handler, one a snapshot, each held by some clients. They are few, and none is held for long by who
 * downloads nothing: a poller keeps neither disk nor log.
 */
export class DownloadLeases {
  readonly #storage: SnapshotStorage;
  readonly #duration: number;
  /** By the digest: an index may be used again after its snapshot was quarantined. Renewed last is last. */
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
   * Leases a snapshot for a client, or renews its lease.
   *
   * @param which which, and who asks
   * @returns its complete manifest, computed once a lease
   * @throws {SnapshotError} `NOT_FOUND` …
   */
  async renew(which: Selector): Promise<SnapshotManifest> {
    const { client = "" } = which;
    if (which.digest === undefined) return await this.#renew(which.index, client);
    for (const { meta, digest, chunks } of await this.#storage.list()) {
      // A snapshot that braft wrote has another digest once it was completed.
      if (chunks > 0 && toHex(digest) !== which.digest) continue;
      try {
        const manifest = await this.#renew(meta.lastIncludedIndex, client);
        if (toHex(manifest.digest) === which.digest) return manifest;
      } catch (error) {
        if (!hasCode(error, "NOT_FOUND", "CORRUPT")) throw error;
      }
    }
    throw new SnapshotError("NOT_FOUND", `There is no snapshot ${which.digest} here`, { expected: which.digest });
  }

  /** Notes that a client was sent bytes of a snapshot. */
  moved({ digest }: SnapshotManifest, { client = "" }: Selector, bytes: number): void {
    const holder = this.#leases.get(toHex(digest))?.holders.get(client);
    if (holder !== undefined) holder.bytes += bytes;
  }

  async #renew(index: bigint | undefined, client: string): Promise<SnapshotManifest> {
    const reader = await this.#storage.open(index);
    const found = toHex(reader.manifest.digest);
    let lease = this.#leases.get(found);
    if (lease === undefined) {
      const manifest = completeManifest(reader);
      manifest.catch(() => this.#end(found));
      lease = { reader, manifest, holders: new Map() };
    } else void reader.close().catch(() => {}); // the lease has one of its own
    const holder = lease.holders.get(client) ?? { begun: performance.now(), bytes: 0, timer: undefined };
    clearTimeout(holder.timer);
    this.#hold(found, lease, client, holder);
    try {
      return await lease.manifest; // this may take longer than a lease lasts
    } finally {
      clearTimeout(holder.timer);
      if (this.#closed) await this.#end(found);
      else if (this.#leases.get(found) === lease && lease.holders.get(client) === holder) {
        const left = this.#duration * RENEWALS + holder.bytes / BYTES_PER_MS - (performance.now() - holder.begun);
        const wait = Math.min(Math.max(left, 0), this.#duration, LONGEST_WAIT);
        holder.timer = setTimeout(() => void this.#release(found, client), wait);
      }
    }
  }

  /** Gives a lease to a client, and ends those that are too many: of this client first, then of all. */
  #hold(digest: string, lease: Lease, client: string, holder: Holder): void {
    this.#leases.delete(digest);
    this.#leases.set(digest, lease);
    lease.holders.delete(client);
    lease.holders.set(client, holder);
    const own = [...this.#leases].filter(([, { holders }]) => holders.has(client)).map(([held]) => held);
    for (const held of own.slice(0, Math.max(own.length - MAX_OF_CLIENT, 0))) void this.#release(held, client);
    for (const held of this.#leases.keys()) {
      if (this.#leases.size <= MAX_LEASES) break;
      void this.#end(held);
    }
  }

  /** Ends the part of a client in a lease, and the lease if nobody else has one. */
  async #release(digest: string, client: string): Promise<void> {
    const lease = this.#leases.get(digest);
    const holder = lease?.holders.get(client);
    if (lease === undefined || holder === undefined) return;
    clearTimeout(holder.timer);
    lease.holders.delete(client);
    if (lease.holders.size === 0) await this.#end(digest);
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
    for (const { timer } of lease.holders.values()) clearTimeout(timer);
    await lease.reader.close().catch(() => {});
  }
}
