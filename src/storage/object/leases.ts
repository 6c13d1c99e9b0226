/**
 * Leases: the signs by which collectors of garbage know which processes are at work.
 *
 * @module
 */

import { LONGEST_WAIT } from "../../async/mod.ts";
import { SnapshotError } from "../../errors.ts";
import { toHex } from "../../stream/mod.ts";
import type { BackgroundTasks } from "./background.ts";
import type { IndexStore } from "./index_store.ts";
import { type Lease, type ObjectIndex, randomName } from "./index.ts";
import type { SharedTime } from "./shared_time.ts";

/** The milliseconds for which a lease counts without renewal: the garbage of a crashed process stays that long. */
const LEASE_TIME = 10 * 60_000;
/** The milliseconds between two renewals. */
const RENEW_EVERY = LEASE_TIME / 3;

/** A lease that is held: it renews itself until it is released. */
export interface HeldLease {
  readonly id: string;
  /** The generation in which it was taken (over); if the index has another, this lease is lost. */
  readonly since: bigint;
  /** The time until which it counts, unless it is renewed, in milliseconds since 1970. */
  readonly activeUntil: number;
  /** Stops renewing it. */
  release(): void;
}

/** A lease that was taken, with the generation in which it was. */
type Taken = Lease & { readonly since: bigint };

/** The leases of one process. */
export class Leases {
  readonly #store: IndexStore;
  readonly #time: SharedTime;
  readonly #background: BackgroundTasks;
  /** A lease for the next snapshot. */
  #spare: Pick<Taken, "id" | "since" | "activeUntil"> | undefined;
  /** The time of the last commit, by `performance.now()`. */
  #committed = -Infinity;

  /**
   * @param store the index that they are in
   * @param time says until when they count
   * @param background is told of each renewal
   */
  constructor(store: IndexStore, time: SharedTime, background: BackgroundTasks) {
    this.#store = store;
    this.#time = time;
    this.#background = background;
  }

  /**
   * Takes a lease; for a snapshot the one that the last commit took, if it is there still.
   *
   * @param kind for what
   * @param since the snapshots of this generation stay, unless they are gone already; by default all that are in the
   *   returned index
   */
  async take(kind: "write" | "read", since?: bigint): Promise<[HeldLease, ObjectIndex]> {
    const spare = kind === "write" ? await this.#takeSpare() : undefined;
    return spare ??
      await this.#take((index) => ({ ...this.#fresh(index, kind), since: since ?? index.generation + 1n }));
  }

  /**
   * Returns the lease for the next snapshot, to be put with a commit: where commits come often, each is one put of the
   * index. One that is not used runs out.
   *
   * @param index the index that the commit changes
   * @returns nothing if the last commit was too long ago
   */
  next(index: ObjectIndex): Lease | undefined {
    if (performance.now() - this.#committed >= LEASE_TIME / 4) return undefined;
    return this.#spare = { ...this.#fresh(index, "write"), since: index.generation + 1n };
  }

  /** Keeps a lease for the next snapshot: that of one which was aborted, and can never be committed any more. */
  reuse(lease: HeldLease): void {
    lease.release();
    this.#spare = lease;
  }

  /** Notes that a commit is done. */
  committed(): void {
    this.#committed = performance.now();
  }

  async #takeSpare(): Promise<[HeldLease, ObjectIndex] | undefined> {
    const spare = this.#spare;
    this.#spare = undefined;
    if (spare === undefined || spare.activeUntil < this.#time.latest() + LEASE_TIME / 2) return undefined;
    const index = await this.#store.read();
    const isThere = index.leases.some(({ id, since }) => id === spare.id && since === spare.since);
    return isThere ? [this.#hold(spare), index] : undefined;
  }

  /**
   * Keeps the snapshots of a generation while one is read, even if others retire them: takes a lease after a time. Most
   * readers are done before.
   *
   * @param since the generation
   * @param after the time, in milliseconds
   * @param failed is told if no lease can be taken
   * @returns a function that ends it
   */
  stay(since: bigint, after: number, failed: (error: unknown) => void): () => Promise<void> {
    let taking: Promise<HeldLease | undefined> | undefined;
    const take = async () => {
      try {
        return (await this.take("read", since))[0];
      } catch (error) {
        failed(error);
        return undefined;
      }
    };
    const timer = setTimeout(() => taking = take(), Math.min(after, LONGEST_WAIT));
    return async () => {
      clearTimeout(timer);
      const lease = await taking;
      lease?.release();
      if (lease !== undefined) await this.drop(lease);
    };
  }

  /** Takes a lease for an install. */
  async takeInstall(digest: Uint8Array, index: bigint, keep: number): Promise<[HeldLease, ObjectIndex]> {
    return await this.#take((current) => ({
      ...this.#fresh(current, "install"),
      since: current.generation + 1n,
      expiresAt: this.#time.latest() + keep,
      digest,
      index,
    }));
  }

  async #take(make: (index: ObjectIndex) => Taken): Promise<[HeldLease, ObjectIndex]> {
    let taken: Taken | undefined;
    const index = await this.#store.update((index) => {
      if (taken !== undefined && has(index, taken.id)) return undefined;
      taken = make(index);
      return { leases: [...index.leases, taken] };
    });
    return [this.#hold(taken!), index];
  }

  /**
   * Takes over the lease of an interrupted install.
   *
   * @throws {SnapshotError} `NOT_FOUND` if it is gone
   */
  async takeOver(id: string, keep: number): Promise<[HeldLease, ObjectIndex]> {
    let taken: Taken | undefined;
    const index = await this.#store.update((index) => {
      const lease = index.leases.find((lease) => lease.id === id);
      if (lease === undefined) throw new SnapshotError("NOT_FOUND", `The install ${id} is gone`, { file: id });
      if (taken !== undefined && lease.since === taken.since) return undefined;
      const now = this.#time.latest();
      taken = { ...lease, since: index.generation + 1n, activeUntil: now + LEASE_TIME, expiresAt: now + keep };
      return replace(index, id, taken);
    });
    return [this.#hold(taken!), index];
  }

  /**
   * Ends a lease, unless another process has it now.
   *
   * @param lease which one; without `since` one that nobody has
   * @returns the index, which shows whether the lease is gone
   */
  async drop({ id, since }: Pick<Lease, "id" | "since">): Promise<ObjectIndex> {
    return await this.#store.update((index) => {
      const lease = index.leases.find((lease) => lease.id === id);
      return lease !== undefined && lease.since === since ? withoutLease(index, id) : undefined;
    });
  }

  /** Leaves an install, to be resumed later. */
  async leave({ id, since }: HeldLease): Promise<void> {
    await this.#store.update((index) => {
      const lease = index.leases.find((lease) => lease.id === id);
      return lease?.since === since ? replace(index, id, idle(lease)) : undefined;
    });
  }

  #fresh({ epoch, generation }: ObjectIndex, kind: Lease["kind"]): Lease {
    const activeUntil = this.#time.latest() + LEASE_TIME;
    return { id: `${epoch}-${generation + 1n}-${randomName(8)}`, kind, activeUntil, expiresAt: activeUntil };
  }

  #hold({ id, since, activeUntil: until }: Pick<Taken, "id" | "since" | "activeUntil">): HeldLease {
    let released = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const renew = async () => {
      try {
        await this.#store.update((index) => {
          const lease = index.leases.find((lease) => lease.id === id);
          const activeUntil = this.#time.latest() + LEASE_TIME;
          if (released || lease?.since !== since || lease.activeUntil > activeUntil - RENEW_EVERY / 2) return undefined;
          return replace(index, id, { ...lease, activeUntil });
        });
        until = this.#time.latest() + LEASE_TIME / 2; // at least
        this.#background.succeeded("renew");
      } catch (error) {
        // Retried at the next renewal; if the lease is lost meanwhile, the commit fails.
        if (!released) this.#background.failed("renew", `The lease ${id} could not be renewed`, error);
      }
      if (!released) timer = setTimeout(renew, RENEW_EVERY);
    };
    timer = setTimeout(renew, RENEW_EVERY);
    return {
      id,
      since,
      get activeUntil() {
        return until;
      },
      release() {
        released = true;
        clearTimeout(timer);
      },
    };
  }
}

function has({ leases }: ObjectIndex, id: string): boolean {
  return leases.some((lease) => lease.id === id);
}

function replace({ leases }: ObjectIndex, id: string, lease: Lease): Partial<ObjectIndex> {
  return { leases: leases.map((other) => other.id === id ? lease : other) };
}

/** Returns the index without a lease. */
export function withoutLease({ leases }: ObjectIndex, id: string): Pick<ObjectIndex, "leases"> {
  return { leases: leases.filter((lease) => lease.id !== id) };
}

/** Returns the lease as inactive: it keeps only its own objects. */
export function idle({ since: _, ...lease }: Lease): Lease {
  return { ...lease, activeUntil: 0 };
}

/** Returns the epoch and generation in which a lease was taken; nothing if this is no name of a lease. */
export function bornIn(id: string): { readonly epoch: string; readonly generation: bigint } | undefined {
  const [, epoch, generation] = /^([0-9a-f]{16})-([0-9]{1,20})-[0-9a-f]{16}$/.exec(id) ?? [];
  return epoch === undefined ? undefined : { epoch, generation: BigInt(generation!) };
}

/** Returns the place in which a snapshot is received. */
export function installPlace(index: bigint, digest: Uint8Array): string {
  return `install-${index}-${toHex(digest)}`;
}

/** Reports whether a lease is that of the install in this place, running or interrupted. */
export function isInstallOf({ kind, index, digest }: Lease, place: string): boolean {
  return kind === "install" && index !== undefined && digest !== undefined && installPlace(index, digest) === place;
}
