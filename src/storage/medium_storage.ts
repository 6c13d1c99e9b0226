/**
 * A storage on a medium: keeps track of its snapshots, their readers, and which of them may be removed.
 *
 * @module
 */

import {
  able,
  checkFunction,
  checkIndex,
  checkOptions,
  type Checks,
  checkString,
  integer,
  isOf,
  listOf,
  required,
  unfit,
} from "../checks.ts";
import { messageOf, SnapshotError, throwIfCancelled } from "../errors.ts";
import {
  checkCreateOptions,
  checkGroup,
  checkManifest,
  checkRestore,
  checkSigner,
  type CreateOptions,
  type QuarantinedSnapshot,
  type SnapshotInfo,
  type SnapshotInstall,
  type SnapshotManifest,
  type SnapshotMeta,
  type SnapshotReader,
  type SnapshotSigner,
  type SnapshotStorage,
  type SnapshotWriter,
  stale,
  type UnreadableSnapshot,
  type VerifyOptions,
} from "../snapshot/mod.ts";
import { neverThrowing } from "../async/mod.ts";
import { examine, isProof, MAX_QUARANTINED, readAll } from "./evidence.ts";
import { StoredInstall } from "./install.ts";
import type { Medium, Published, QuarantinedPlace, StoredSnapshot } from "./medium.ts";
import { QuarantineListeners } from "./quarantine_listeners.ts";
import { StoredReader } from "./reader.ts";
import { type Grouping, StorageGroup } from "./storage_group.ts";
import type { Trial } from "./trial.ts";
import { Unreadable } from "./unreadable.ts";
import { StoredWriter } from "./writer.ts";

/**
 * Options of every storage.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export interface StorageOptions {
  /**
   * The number of snapshots that are kept, 1 or more. Snapshots that are pinned are kept in addition.
   *
   * @default {2}
   */
  readonly retain?: number;
  /**
   * The group whose snapshots these are: it is in the meta of each that is saved, and others are refused
   * (`FORBIDDEN`). If absent, the group of the newest snapshot that has one. Snapshots without a group are older than
   * the name, and belong to the storage.
   */
  readonly group?: string;
  /** Signs every snapshot that is committed here and has no signature; none if absent. */
  readonly signer?: SnapshotSigner;
  /**
   * Called with each error that no caller gets, with its code and the snapshot's index: an old snapshot could not be
   * removed; one was proven bad and is quarantined; one cannot be read now, or is of another group, and stays in place.
   */
  readonly onWarning?: (error: SnapshotError) => void;
}

/** The checks of the options of every storage. */
export function storageChecks(): Checks<StorageOptions> {
  return { retain: integer(1), group: checkGroup, signer: checkSigner, onWarning: checkFunction };
}

/** Checks a snapshot that is said to be on a medium. */
function checkStored(value: unknown, what: string): void {
  checkOptions<StoredSnapshot>(value as StoredSnapshot, {
    place: required(checkString),
    manifest: required(checkManifest),
    size: required(integer(0)),
  }, what);
}

/** Checks a snapshot that is said to be on a medium but not readable. */
function checkUnreadable(value: unknown, what: string): void {
  checkOptions<UnreadablePlace>(value as UnreadablePlace, {
    place: required(checkString),
    index: required(checkIndex),
    error: required((error, what) => {
      if (!isOf(error, SnapshotError)) throw unfit(what, "a SnapshotError", error);
    }),
  }, what);
}

/** A snapshot of the storage. */
interface Entry extends StoredSnapshot {
  readonly readers: Set<StoredReader>;
  /** The reason why it may not be opened any more, if it is bad. */
  bad?: string;
  /** True if another was found bad meanwhile: files may be linked, and then damage in one is in both. */
  suspect?: boolean;
  /** True once a commit has found it too old. Snapshots found at opening stay until then. */
  retired?: boolean;
  /**
   * The files that could not be read. Until they were read again, the snapshot neither counts for retention nor is
   * retired.
   */
  unread?: Set<string>;
}

/** A snapshot that could not be read or understood when the storage was opened. */
interface UnreadablePlace extends UnreadableSnapshot {
  readonly place: string;
}

/**
 * A storage on a {@linkcode Medium}. It moves or removes a snapshot only on this evidence:
 *
 * | what | evidence |
 * |---|---|
 * | quarantines a snapshot | a chunk, a size or the manifest was read again, by another way, and is wrong as before |
 * | removes an old one | a commit, and as many newer ones as are retained, each just checked and not unreadable |
 * | removes a quarantined one | there are more than four, and it was proven bad once more |
 * | makes a quarantined one a snapshot | all of it was read and verified |
 *
 * After any other error a snapshot stays where it is.
 */
export class MediumStorage implements SnapshotStorage {
  readonly #medium: Medium;
  readonly retain: number;
  readonly #onWarning: (error: SnapshotError) => void;
  readonly #signer: SnapshotSigner | undefined;
  /** Newest first. */
  #entries: Entry[];
  readonly #group: StorageGroup = new StorageGroup();
  #writer: StoredWriter | undefined;
  #install: StoredInstall | undefined;
  /** The `create` that has begun: set before the first `await`, so that of two calls one is `BUSY`. */
  #beginning: Promise<void> | undefined;
  /** Commits, one after the other. */
  #publishing: Promise<unknown> = Promise.resolve();
  /** The moves and removals that waited for readers to close. */
  #settling: Promise<void> = Promise.resolve();
  #closed: Promise<void> | undefined;
  readonly #closing = new AbortController();
  readonly #listeners = new QuarantineListeners();
  readonly #unreadable = new Unreadable<string>();
  /** Snapshots that could not be read at opening, nor since. */
  #unlisted: readonly UnreadablePlace[];
  /** Attempts to read them again, one after the other. */
  #looking: Promise<void> = Promise.resolve();

  /**
   * Makes a storage.
   *
   * @param medium belongs to the storage from now on
   * @param found what is on it
   * @param options see {@linkcode StorageOptions}
   * @param unreadable what else is on it, and cannot be read now
   * @throws {SnapshotError} `MALFORMED` if `retain` is not a positive integer, or `group` no name of one
   */
  constructor(
    medium: Medium,
    found: readonly StoredSnapshot[],
    options: StorageOptions = {},
    unreadable: readonly (UnreadableSnapshot & { readonly place: string })[] = [],
  ) {
    able("a Medium", "open", "publish", "remove")(medium, "medium");
    listOf(checkStored)(found, "found");
    listOf(checkUnreadable)(unreadable, "unreadable");
    const { retain = 2, onWarning = () => {}, signer, group } = checkOptions(options, storageChecks());
    this.#medium = medium;
    this.retain = retain;
    this.#onWarning = neverThrowing(onWarning);
    this.#signer = signer;
    this.#unlisted = [...unreadable].sort((a, b) => a.index > b.index ? -1 : 1);
    this.#entries = found.map((snapshot) => ({ ...snapshot, readers: new Set<StoredReader>() })).sort(newestFirst);
    if (group !== undefined) this.bindGroup(group);
  }

  get group(): string | undefined {
    return this.#group.name;
  }

  bindGroup(group: string): void {
    if (!this.#group.bind(group)) return;
    for (const { manifest } of this.#entries) {
      if (!this.#group.isOwn(manifest)) this.#onWarning(this.#group.foreign(manifest));
    }
  }

  async create(options: CreateOptions = {}): Promise<SnapshotWriter> {
    checkCreateOptions(options);
    this.#check();
    if (this.#beginning !== undefined || this.#writer !== undefined) throw busy("written");
    try {
      await (this.#beginning = this.#medium.clear(this.#medium.temp));
      this.#check();
      const grouping = options.raw === true ? this.#group.offered : this.#group.saved;
      return this.#writer = new StoredWriter(this.#medium, {
        snapshots: () => this.#good().filter(({ suspect }) => !suspect),
        publish: (place, manifest, trial) => this.#publish(place, manifest, trial, grouping),
        released: () => this.#writer = undefined,
        grouped: (meta) => grouping(this.#metas, meta),
        signer: options.raw === true ? undefined : this.#signer, // a snapshot that others took is not signed by us
        options,
      });
    } finally {
      this.#beginning = undefined;
    }
  }

  async open(index?: bigint): Promise<SnapshotReader> {
    if (index !== undefined) checkIndex(index, "index");
    this.#check();
    await this.#lookAgain();
    this.#check();
    const good = this.#good();
    const entry = index === undefined
      ? this.#unreadable.prefer(good, ({ place }) => place)
      : good.find(({ manifest }) => manifest.index === index);
    if (entry === undefined) {
      const foreign = this.#foreignAt(index);
      if (foreign !== undefined) throw this.#group.foreign(foreign.manifest);
      const unlisted = this.#unlisted.find((one) => index === undefined || one.index === index);
      if (unlisted !== undefined) throw unlisted.error;
      throw new SnapshotError(
        "NOT_FOUND",
        index === undefined ? "There is no snapshot here" : `There is no snapshot ${index} here`,
        index === undefined ? {} : { index },
      );
    }
    return this.#reader(entry);
  }

  #reader(entry: Entry): StoredReader {
    const reader = new StoredReader(this.#medium, entry, {
      found: (error) => this.#condemn(entry, error.message),
      unreadable: (file) => {
        this.#unreadable.add(entry.place);
        (entry.unread ??= new Set()).add(file);
      },
      released: () => {
        entry.readers.delete(reader);
        void this.#settleNext();
      },
    });
    entry.readers.add(reader);
    return reader;
  }

  async list(): Promise<SnapshotInfo[]> {
    this.#check();
    await this.#lookAgain();
    return this.#good().map(infoOf);
  }

  async unreadable(): Promise<UnreadableSnapshot[]> {
    this.#check();
    await this.#lookAgain();
    return this.#unlisted.map(({ index, error }) => ({ index, error }));
  }

  /** Retries the snapshots that could not be read: each belongs to the storage as soon as it can be read. */
  #lookAgain(): Promise<void> {
    if (this.#unlisted.length === 0) return Promise.resolve();
    return this.#looking = this.#looking.then(async () => {
      const left: UnreadablePlace[] = [];
      for (const one of this.#unlisted) {
        try {
          const entry: Entry = { ...await examine(this.#medium, one.place, one.index), readers: new Set() };
          this.#entries = [...this.#entries, entry].sort(newestFirst);
          if (!this.#group.isOwn(entry.manifest)) this.#onWarning(this.#group.foreign(entry.manifest));
        } catch (error) {
          if (isProof(error) && await this.#quarantineUnlisted(one, error)) continue;
          left.push(error instanceof SnapshotError ? { ...one, error } : one);
        }
      }
      this.#unlisted = left;
    });
  }

  /** Quarantines a snapshot that can be read now and is bad. Returns whether that succeeded. */
  async #quarantineUnlisted({ place, index }: UnreadablePlace, error: SnapshotError): Promise<boolean> {
    try {
      await this.#medium.quarantine(place, index);
      this.#warnBad(index, error.message);
      return true;
    } catch {
      return false; // it is examined again later
    }
  }

  get installing(): SnapshotInstall | undefined {
    return this.#install;
  }

  async unfinished(): Promise<SnapshotManifest[]> {
    this.#check();
    return (await this.#medium.installs()).map(({ manifest }) => manifest);
  }

  async install(manifest: SnapshotManifest): Promise<SnapshotInstall> {
    checkManifest(manifest, "manifest");
    this.#check();
    await this.#lookAgain();
    this.#check();
    if (this.#install !== undefined) throw busy("received");
    this.#checkWanted(manifest, this.#group.offered);
    return this.#install = new StoredInstall(this.#medium, manifest, {
      snapshots: () => this.#good(),
      publish: (place, manifest, trial) => this.#publish(place, manifest, trial, this.#group.offered),
      released: () => this.#install = undefined,
    });
  }

  async quarantine(index: bigint, reason: string): Promise<boolean> {
    checkIndex(index, "index");
    checkString(reason, "reason");
    this.#check();
    const entry = this.#good().find(({ manifest }) => manifest.index === index);
    if (entry !== undefined) {
      const proof = await this.#prove(entry);
      if (proof === undefined) return false;
      this.#condemn(entry, `${reason}: ${proof.message}`);
    }
    await this.#settleNext();
    return this.#entries.some(({ manifest, bad }) => manifest.index === index && bad !== undefined) ||
      (await this.#medium.quarantined()).some((quarantined) => quarantined.index === index);
  }

  /** Returns the proof that a snapshot is bad, if there is one. */
  async #prove(entry: Entry): Promise<SnapshotError | undefined> {
    const reader = this.#reader(entry); // so that it is not removed meanwhile
    try {
      await examine(this.#medium, entry.place, entry.manifest.index);
      await readAll(this.#medium, entry, this.#closing.signal);
      return undefined;
    } catch (error) {
      this.#check();
      return isProof(error) ? error : undefined;
    } finally {
      await reader.close();
    }
  }

  /** Marks a snapshot as proven bad: it cannot be opened any more. */
  #condemn(entry: Entry, reason: string): void {
    if (entry.bad !== undefined || !this.#entries.includes(entry)) return;
    entry.bad = reason;
    for (const other of this.#entries) other.suspect = true;
    const { index } = entry.manifest;
    this.#listeners.tell(index, reason);
    this.#warnBad(index, reason);
    void this.#settleNext();
  }

  #warnBad(index: bigint, reason: string): void {
    this.#onWarning(
      new SnapshotError("CORRUPT", `Snapshot ${index} was found bad and is quarantined: ${reason}`, { index }),
    );
  }

  async quarantined(): Promise<QuarantinedSnapshot[]> {
    this.#check();
    await this.#settling;
    return (await this.#quarantined()).map(({ index, at }) => ({ index, at }));
  }

  /** Newest quarantine first. */
  async #quarantined(): Promise<QuarantinedPlace[]> {
    return (await this.#medium.quarantined()).sort((a, b) => b.at - a.at);
  }

  async restore(index: bigint, options: VerifyOptions = {}): Promise<SnapshotInfo> {
    const { signal: given } = checkRestore(index, options);
    this.#check();
    const signal = given === undefined ? this.#closing.signal : AbortSignal.any([given, this.#closing.signal]);
    const restored = this.#publishing.catch(() => {}).then(async () => {
      this.#check();
      await this.#settleNext();
      await this.#lookAgain();
      const candidates = (await this.#quarantined()).filter((one) => one.index === index);
      if (candidates.length === 0) {
        throw new SnapshotError("NOT_FOUND", `No snapshot ${index} is quarantined here`, { index });
      }
      const isHere = [...this.#entries.map(({ manifest }) => manifest), ...this.#unlisted];
      if (isHere.some((one) => one.index === index)) {
        throw new SnapshotError("BUSY", `There is a snapshot ${index} here: nothing is restored over it`, { index });
      }
      let failure: unknown;
      for (const { place } of candidates) {
        try {
          const found = await examine(this.#medium, place, index);
          if (!this.#group.isOwn(found.manifest)) throw this.#group.foreign(found.manifest);
          await readAll(this.#medium, found, signal);
          const entry: Entry = { ...await this.#medium.restore(place, index), readers: new Set() };
          this.#entries = [...this.#entries, entry].sort(newestFirst);
          return infoOf(entry);
        } catch (error) {
          throwIfCancelled(signal);
          failure ??= error;
        }
      }
      throw failure;
    });
    this.#publishing = restored;
    return await restored;
  }

  onQuarantine(listener: (index: bigint, reason: string) => void): () => void {
    return this.#listeners.add(listener);
  }

  close(): Promise<void> {
    return this.#closed ??= (async () => {
      // Waits for all, even if some fail: then nothing changes any more, and another process may open the medium.
      this.#closing.abort(closed());
      await Promise.allSettled([this.#beginning, this.#publishing, this.#looking]);
      const ended = await Promise.allSettled([
        this.#writer?.abort(closed()),
        this.#install?.close(),
        ...this.#entries.flatMap(({ readers }) => [...readers]).map((reader) => reader.close()),
      ]);
      await this.#settling;
      await this.#medium.close();
      for (const outcome of ended) if (outcome.status === "rejected") throw outcome.reason;
    })();
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #check(): void {
    if (this.#closed !== undefined) throw closed();
  }

  /** The snapshots of the storage's group that are not known to be bad. */
  #good(): Entry[] {
    return this.#entries.filter((entry) => entry.bad === undefined && this.#group.isOwn(entry.manifest));
  }

  #foreignAt(index: bigint | undefined): Entry | undefined {
    return this.#entries.find(({ manifest }) => manifest.index === index && !this.#group.isOwn(manifest));
  }

  get #metas(): { readonly meta: SnapshotMeta }[] {
    return this.#good().map(({ manifest }) => manifest);
  }

  /** Refuses a snapshot that is of another group, not newer than those here, or at the index of another group's. */
  #checkWanted(manifest: SnapshotManifest, grouping: Grouping): void {
    grouping(this.#metas, manifest.meta);
    const foreign = this.#foreignAt(manifest.index);
    if (foreign !== undefined) throw this.#group.foreign(foreign.manifest);
    const [newest] = this.#good();
    if (newest !== undefined && manifest.index <= newest.manifest.index) {
      throw stale(manifest.index, newest.manifest.index);
    }
    const unlisted = this.#unlisted.find(({ index }) => manifest.index <= index);
    if (unlisted === undefined) return;
    const { index, error } = unlisted;
    throw new SnapshotError(
      "STALE",
      `Snapshot ${manifest.index} is not newer than snapshot ${index}, which is here and cannot be read now: ` +
        error.message,
      { index: manifest.index, actual: index, cause: error },
    );
  }

  #publish(place: string, manifest: SnapshotManifest, trial: Trial, grouping: Grouping): Promise<Published> {
    const published = this.#publishing.catch(() => {}).then(async () => {
      this.#check();
      await this.#lookAgain();
      this.#checkWanted(manifest, grouping);
      await trial.run(this.#medium, { place, manifest });
      const stored = await this.#medium.publish(place, manifest);
      const entry: Entry = { ...stored, readers: new Set() };
      this.#entries = [entry, ...this.#entries].sort(newestFirst);
      for (const old of await this.#old(entry)) old.retired = true;
      await this.#settle();
      return { info: infoOf(entry), place: entry.place };
    });
    this.#publishing = published;
    return published;
  }

  /**
   * Returns the snapshots that are too old: as many newer ones as are retained can be read. Each newer one is checked,
   * since an old one must not be removed in favour of one that cannot be read.
   */
  async #old(committed: Entry): Promise<Entry[]> {
    if (this.#good().length <= this.retain) return [];
    let readable = 0;
    for (const entry of this.#good()) {
      if (readable >= this.retain && entry.unread === undefined) continue;
      if (entry === committed || await this.#canBeRead(entry)) readable++;
    }
    return this.#countable().slice(this.retain);
  }

  /** Checks a snapshot, and reads those of its files that could not be read before. */
  async #canBeRead(entry: Entry): Promise<boolean> {
    const { place, manifest, unread } = entry;
    try {
      await examine(this.#medium, place, manifest.index);
      if (unread !== undefined) await readAll(this.#medium, entry, this.#closing.signal, unread);
      delete entry.unread;
      return true;
    } catch (error) {
      if (isProof(error)) this.#condemn(entry, error.message);
      else {
        entry.unread ??= new Set();
        this.#onWarning(
          new SnapshotError(
            error instanceof SnapshotError ? error.code : "UNAVAILABLE",
            `Snapshot ${manifest.index} cannot be read now and stays where it is; an older one is retained in its ` +
              `stead: ${messageOf(error)}`,
            { index: manifest.index, cause: error },
          ),
        );
      }
      return false;
    }
  }

  /** The snapshots that count for retention. */
  #countable(): Entry[] {
    return this.#good().filter(({ unread }) => unread === undefined);
  }

  /** Runs {@linkcode #settle}; {@linkcode close} waits for it. */
  #settleNext(): Promise<void> {
    return this.#settling = this.#settling.then(() => this.#settle());
  }

  /** Quarantines bad snapshots and removes old ones that have no reader. Errors are only reported as warnings. */
  async #settle(): Promise<void> {
    const old = this.#countable().slice(this.retain);
    const going = this.#entries.filter((entry) =>
      entry.readers.size === 0 && (entry.bad !== undefined || (entry.retired && old.includes(entry)))
    );
    this.#entries = this.#entries.filter((entry) => !going.includes(entry));
    for (const { place, manifest, bad } of going) {
      try {
        if (bad === undefined) await this.#medium.remove(place);
        else {
          await this.#medium.quarantine(place, manifest.index);
          await this.#dropQuarantined();
        }
      } catch (error) {
        this.#warnLeft(error, manifest.index);
      }
    }
  }

  /** Removes the oldest quarantined snapshots beyond the limit, if they are proven bad once more. */
  async #dropQuarantined(): Promise<void> {
    for (const { place, index } of (await this.#quarantined()).slice(MAX_QUARANTINED)) {
      try {
        await readAll(this.#medium, await examine(this.#medium, place, index), this.#closing.signal);
        this.#onWarning(
          new SnapshotError("BUSY", `Snapshot ${index} is quarantined, and is good: restore it, or remove it`, {
            index,
          }),
        );
      } catch (error) {
        if (isProof(error)) await this.#medium.remove(place);
        else if (this.#closed === undefined) this.#warnLeft(error, index);
      }
    }
  }

  #warnLeft(error: unknown, index: bigint): void {
    this.#onWarning(
      new SnapshotError(
        "UNAVAILABLE",
        `Snapshot ${index} could not be quarantined or removed, and is left to the next opening: ${messageOf(error)}`,
        { index, cause: error },
      ),
    );
  }
}

function newestFirst(a: Entry, b: Entry): number {
  return a.manifest.index > b.manifest.index ? -1 : a.manifest.index < b.manifest.index ? 1 : 0;
}

function infoOf({ manifest, size, readers }: Entry): SnapshotInfo {
  return {
    meta: manifest.meta,
    digest: manifest.digest,
    size,
    files: manifest.files.length,
    chunks: manifest.files.reduce((sum, { chunks }) => sum + (chunks?.count ?? 0), 0),
    pinned: readers.size > 0,
  };
}

function busy(what: string): SnapshotError {
  return new SnapshotError("BUSY", `Another snapshot is being ${what}: one at a time`);
}

function closed(): SnapshotError {
  return new SnapshotError("CLOSED", "The storage was closed");
}
