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
/** The clients that are remembered of one lease: one client can have very many addresses. */
const MAX_HOLDERS = 1024;
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

/** A snapshot that is kept, and the reader that keeps it. */
export interface Leased {
  /** Its complete manifest. */
  readonly manifest: SnapshotManifest;
  /** Its reader, which requests share: to be released, and not closed. */
  readonly reader: SnapshotReader;
  /** Gives the reader back. It stays open as long as a request has it, also after the lease has ended. */
  release(): Promise<void>;
}

/** A lease: an open reader, closed when no client holds the lease any more, and no request has the reader. */
interface Lease {
  readonly reader: SnapshotReader;
  readonly manifest: Promise<SnapshotManifest>;
  /** The digest of the complete manifest, in hexadecimal, once that is known. */
  digest: string | undefined;
  /** The number of requests that have the reader. */
  users: number;
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
  readonly #unsubscribe: () => void;
  #closed = false;

  /**
   * @param storage has the snapshots
   * @param duration how long a lease lasts after each request, in milliseconds
   */
  constructor(storage: SnapshotStorage, duration: number) {
    this.#storage = storage;
    this.#duration = duration;
    // A reader that is handed out again and again would keep a snapshot that was found bad in use.
    this.#unsubscribe = storage.onQuarantine((index) => {
      for (const [key, { reader }] of this.#leases) if (reader.manifest.index === index) void this.#end(key);
    });
  }

  /**
   * Leases a snapshot for a client, or renews its lease.
   *
   * @param which which, and who asks
   * @returns its complete manifest, computed once a lease
   * @throws {SnapshotError} `NOT_FOUND` …
   */
  async renew(which: Selector): Promise<SnapshotManifest> {
    const { manifest, release } = await this.lend(which);
    await release();
    return manifest;
  }

  /**
   * Leases a snapshot as {@linkcode renew} does, and hands out its reader. One that is leased is found by its digest
   * without asking the storage, which may have to ask a bucket.
   *
   * @param which which, and who asks
   * @throws {SnapshotError} `NOT_FOUND` …
   */
  async lend(which: Selector): Promise<Leased> {
    const { client = "" } = which;
    if (which.digest === undefined) return await this.#open(which.index, client);
    for (const [key, lease] of this.#leases) {
      if (lease.digest === which.digest) return await this.#lend(key, lease, client);
    }
    for (const { meta, digest, chunks } of await this.#storage.list()) {
      // A snapshot that braft wrote has another digest once it was completed.
      if (chunks > 0 && toHex(digest) !== which.digest) continue;
      try {
        const leased = await this.#open(meta.lastIncludedIndex, client);
        if (toHex(leased.manifest.digest) === which.digest) return leased;
        await leased.release();
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

  async #open(index: bigint | undefined, client: string): Promise<Leased> {
    const reader = await this.#storage.open(index);
    const key = toHex(reader.manifest.digest);
    const known = this.#leases.get(key);
    if (known !== undefined) {
      void reader.close().catch(() => {}); // the lease has one of its own
      return await this.#lend(key, known, client);
    }
    const manifest = completeManifest(reader);
    const lease: Lease = { reader, manifest, digest: undefined, users: 0, holders: new Map() };
    manifest.then(({ digest }) => lease.digest = toHex(digest), () => this.#end(key));
    return await this.#lend(key, lease, client);
  }

  async #lend(key: string, lease: Lease, client: string): Promise<Leased> {
    const holder = lease.holders.get(client) ?? { begun: performance.now(), bytes: 0, timer: undefined };
    clearTimeout(holder.timer);
    lease.users++;
    this.#hold(key, lease, client, holder);
    let released: Promise<void> | undefined;
    const release = () => {
      if (released === undefined) lease.users--;
      return released ??= this.#closeUnused(key, lease);
    };
    try {
      const manifest = await lease.manifest; // this may take longer than a lease lasts
      return { manifest, reader: lease.reader, release };
    } catch (error) {
      await release();
      throw error;
    } finally {
      clearTimeout(holder.timer);
      if (this.#closed) await this.#end(key);
      else if (this.#leases.get(key) === lease && lease.holders.get(client) === holder) {
        const left = this.#duration * RENEWALS + holder.bytes / BYTES_PER_MS - (performance.now() - holder.begun);
        const wait = Math.min(Math.max(left, 0), this.#duration, LONGEST_WAIT);
        holder.timer = setTimeout(() => void this.#release(key, client), wait);
      }
    }
  }

  /** Gives a lease to a client, and ends those that are too many: of this client first, then of all. */
  #hold(digest: string, lease: Lease, client: string, holder: Holder): void {
    this.#leases.delete(digest);
    this.#leases.set(digest, lease);
    lease.holders.delete(client);
    lease.holders.set(client, holder);
    const [oldest] = lease.holders.keys();
    if (lease.holders.size > MAX_HOLDERS) void this.#release(digest, oldest!);
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
    this.#unsubscribe();
    await Promise.all([...this.#leases.keys()].map((digest) => this.#end(digest)));
  }

  async #end(digest: string): Promise<void> {
    const lease = this.#leases.get(digest);
    if (lease === undefined) return;
    this.#leases.delete(digest);
    for (const { timer } of lease.holders.values()) clearTimeout(timer);
    await this.#closeUnused(digest, lease);
  }

  async #closeUnused(digest: string, lease: Lease): Promise<void> {
    if (lease.users === 0 && this.#leases.get(digest) !== lease) await lease.reader.close().catch(() => {});
  }
}
