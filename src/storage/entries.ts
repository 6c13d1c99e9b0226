/**
 * The snapshots that a storage on a medium knows: which are good, which cannot be read now, which are too old, and
 * which go.
 *
 * @module
 */

import { messageOf, SnapshotError } from "../errors.ts";
import type { SnapshotMeta } from "../snapshot/mod.ts";
import { mapAhead } from "../async/mod.ts";
import { type Entry, infoOf, newestFirst, storedChecks, unreadableChecks, type UnreadablePlace } from "./entry.ts";
import { aboutSnapshot, examine, isProof, MAX_QUARANTINED, readAll } from "./evidence.ts";
import type { Medium, QuarantinedPlace, StoredSnapshot } from "./medium.ts";
import type { StoredReader } from "./reader.ts";
import type { Retention } from "./retention.ts";
import type { StorageGroup } from "./storage_group.ts";
import type { StorageTrust } from "./trust.ts";

/** Snapshots that are looked at at the same time. */
const LOOKS_IN_FLIGHT = 8;

/** The storage, as far as its snapshots need it. */
export interface EntriesOwner {
  readonly medium: Medium;
  readonly retention: Retention;
  readonly group: StorageGroup;
  readonly trust: StorageTrust;
  /** Cancels reading when the storage closes. */
  readonly signal: AbortSignal;
  /** Is told of errors that no caller gets. */
  warn(error: SnapshotError): void;
  /** Is told of a snapshot that is found bad. */
  found(index: bigint, reason: string): void;
}

/** The snapshots of a storage, newest first. */
export class Entries {
  readonly #owner: EntriesOwner;
  readonly #medium: Medium;
  #entries: Entry[];
  /** Snapshots that could not be read at opening, nor since. */
  #unlisted: readonly UnreadablePlace[];
  /** True if one was found bad: those that are looked at later are suspect too. */
  #isDoubted = false;
  /** Attempts to read them again, one after the other. */
  #looking: Promise<void> = Promise.resolve();
  /** The moves and removals that waited for readers to close. */
  #settling: Promise<void> = Promise.resolve();

  /**
   * @param owner the storage
   * @param found what is on its medium
   * @param unreadable what else is there, and cannot be read now
   */
  constructor(owner: EntriesOwner, found: readonly StoredSnapshot[], unreadable: readonly UnreadablePlace[]) {
    storedChecks()(found, "found");
    unreadableChecks()(unreadable, "unreadable");
    this.#owner = owner;
    this.#medium = owner.medium;
    this.#unlisted = [...unreadable].sort((a, b) => a.index > b.index ? -1 : 1);
    this.#entries = found.map((snapshot) => ({ ...snapshot, readers: new Set<StoredReader>() })).sort(newestFirst);
  }

  /** All of them, also bad ones and those of another group. */
  get all(): readonly Entry[] {
    return this.#entries;
  }

  /** Those that cannot be read now. */
  get unlisted(): readonly UnreadablePlace[] {
    return this.#unlisted;
  }

  /** Adds one that was committed or restored. */
  add(stored: StoredSnapshot): Entry {
    const entry: Entry = { ...stored, readers: new Set() };
    this.#entries = [...this.#entries, entry].sort(newestFirst);
    return entry;
  }

  /** Warns of each that is of another group. */
  tellForeign(entries: readonly Entry[] = this.#entries): void {
    const { group, warn } = this.#owner;
    for (const { manifest } of entries) if (!group.isOwn(manifest)) warn(group.foreign(manifest));
  }

  /** The snapshots of the storage's group that are trusted, and not known to be bad. */
  good(): Entry[] {
    const { group, trust } = this.#owner;
    return this.#entries.filter(({ bad, manifest, place }) =>
      bad === undefined && group.isOwn(manifest) && trust.has(place.name)
    );
  }

  /** Those of which nobody can say now whether they are trusted: they may well be, and be the newest. */
  get undecided(): { readonly index: bigint; readonly error: SnapshotError }[] {
    const { group, trust } = this.#owner;
    return this.#entries.flatMap(({ bad, manifest, place }) => {
      const error = trust.refusal(place.name);
      const isOpen = bad === undefined && error !== undefined && group.isOwn(manifest) && !trust.refuses(place.name);
      return isOpen ? [{ index: manifest.index, error }] : [];
    });
  }

  /** True if it is known of each snapshot that lies here whether it is trusted. */
  get areDecided(): boolean {
    return this.#unlisted.length === 0 && this.undecided.length === 0;
  }

  /** The reason why a snapshot that lies here is not the storage's own, if there is one at this index. */
  refusalAt(index: bigint | undefined): SnapshotError | undefined {
    const { group, trust } = this.#owner;
    for (const { manifest, place } of this.#entries) {
      if (manifest.index !== index) continue;
      const refusal = group.isOwn(manifest) ? trust.refusal(place.name) : group.foreign(manifest);
      if (refusal !== undefined) return refusal;
    }
    return undefined;
  }

  /** Their metas. */
  get metas(): { readonly meta: SnapshotMeta }[] {
    return this.good().map(({ manifest }) => manifest);
  }

  /**
   * Reports whether a snapshot can be opened without a look at the others: it is good, and if no index is given, newer
   * than all that were not looked at. Whether one is trusted is looked at each time.
   */
  knows(index: bigint | undefined): boolean {
    if (this.#owner.trust.isLimited) return false;
    const good = this.good();
    if (index !== undefined) return good.some(({ manifest }) => manifest.index === index);
    const [newest] = good;
    return newest !== undefined && this.#unlisted.every((one) => one.index < newest.manifest.index);
  }

  /**
   * Looks at the snapshots that nobody has looked at, and again at those that could not be read: each belongs to the
   * storage as soon as it can be read. And looks whether those that lie here are trusted.
   */
  async lookAgain(): Promise<void> {
    await this.#readAgain();
    await this.#owner.trust.look(
      this.#entries.map(({ place, manifest }) => ({
        key: place.name,
        isOwn: this.#owner.group.isOwn(manifest),
        manifest: () => manifest,
      })),
      this.#unlisted.length === 0,
    );
  }

  #readAgain(): Promise<void> {
    if (this.#unlisted.length === 0) return Promise.resolve();
    return this.#looking = this.#looking.then(async () => {
      const found: Entry[] = [];
      const left: UnreadablePlace[] = [];
      for await (const seen of mapAhead(this.#unlisted, LOOKS_IN_FLIGHT, (one) => this.#look(one))) {
        if (seen === undefined) continue;
        if ("manifest" in seen) found.push({ ...seen, readers: new Set(), ...(this.#isDoubted && { suspect: true }) });
        else left.push(seen);
      }
      this.#entries = [...this.#entries, ...found].sort(newestFirst);
      this.#unlisted = left;
      this.tellForeign(found);
    });
  }

  /** Looks at one that is not listed. Returns nothing if it is quarantined now. */
  async #look(one: UnreadablePlace): Promise<StoredSnapshot | UnreadablePlace | undefined> {
    try {
      return await examine(this.#medium, one.place, one.index);
    } catch (error) {
      if (!(error instanceof SnapshotError)) return one;
      if (isProof(error) && await this.#quarantineUnlisted(one, error)) return undefined;
      if (one.isUnseen) this.#owner.warn(aboutSnapshot(error, one.index)); // of the others the opening has warned
      return { place: one.place, index: one.index, error };
    }
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

  /** Marks a snapshot as proven bad: it cannot be opened any more. */
  condemn(entry: Entry, reason: string): void {
    if (entry.bad !== undefined || !this.#entries.includes(entry)) return;
    entry.bad = reason;
    for (const other of this.#entries) other.suspect = true;
    this.#isDoubted = true;
    const { index } = entry.manifest;
    this.#owner.found(index, reason);
    this.#warnBad(index, reason);
    void this.settleNext();
  }

  #warnBad(index: bigint, reason: string): void {
    this.#owner.warn(
      new SnapshotError("CORRUPT", `Snapshot ${index} was found bad and is quarantined: ${reason}`, { index }),
    );
  }

  /** Newest quarantine first. */
  async quarantined(): Promise<QuarantinedPlace[]> {
    return (await this.#medium.quarantined()).sort((a, b) => b.at - a.at);
  }

  /** Retires those that are too old, after a commit for one, and lets go what can go. */
  async retireOld(committed?: Entry): Promise<void> {
    for (const old of await this.#old(committed)) old.retired = true;
    await this.#settle();
  }

  /**
   * Returns the snapshots that are too old. Each that is kept is checked first, since an old one must not be removed in
   * favour of one that cannot be read; then the choice is made again among the others.
   */
  async #old(committed: Entry | undefined): Promise<Entry[]> {
    if (this.#kept(this.good()).length === this.good().length) return [];
    const checked = new Set<Entry | undefined>([committed]);
    const check = async (entry: Entry) => {
      checked.add(entry);
      await this.#canBeRead(entry);
    };
    for (const entry of this.good()) if (entry.unread !== undefined && entry !== committed) await check(entry);
    for (;;) {
      const countable = this.#countable();
      const kept = new Set(this.#kept(countable));
      const next = countable.find((entry) => kept.has(entry) && !checked.has(entry));
      if (next === undefined) return countable.filter((entry) => !kept.has(entry));
      await check(next);
    }
  }

  #kept(entries: readonly Entry[]): readonly Entry[] {
    return this.#owner.retention.kept(entries, infoOf);
  }

  /** Checks a snapshot, and reads those of its files that could not be read before. */
  async #canBeRead(entry: Entry): Promise<boolean> {
    const { place, manifest, unread } = entry;
    try {
      await examine(this.#medium, place, manifest.index);
      if (unread !== undefined) await readAll(entry, this.#owner.signal, unread);
      delete entry.unread;
      return true;
    } catch (error) {
      if (isProof(error)) this.condemn(entry, error.message);
      else {
        entry.unread ??= new Set();
        this.#owner.warn(
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
    return this.good().filter(({ unread }) => unread === undefined);
  }

  /** Runs {@linkcode #settle}; {@linkcode close} waits for it. */
  settleNext(): Promise<void> {
    return this.#settling = this.#settling.then(() => this.#settle());
  }

  /** Quarantines bad snapshots and removes old ones that have no reader. Errors are only reported as warnings. */
  async #settle(): Promise<void> {
    const isRetiring = this.#entries.some(({ retired }) => retired);
    const kept = new Set(isRetiring ? this.#kept(this.#countable()) : []);
    const old = this.#countable().filter((entry) => !kept.has(entry));
    const going = this.#entries.filter((entry) =>
      entry.readers.size === 0 && (entry.bad !== undefined || (entry.retired && old.includes(entry)))
    );
    this.#entries = this.#entries.filter((entry) => !going.includes(entry));
    for (const { place, manifest, bad } of going) {
      try {
        if (bad === undefined) await place.remove();
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
    for (const { place, index } of (await this.quarantined()).slice(MAX_QUARANTINED)) {
      try {
        await readAll(await examine(this.#medium, place, index), this.#owner.signal);
        this.#owner.warn(
          new SnapshotError("BUSY", `Snapshot ${index} is quarantined, and is good: restore it, or remove it`, {
            index,
          }),
        );
      } catch (error) {
        if (isProof(error)) await place.remove();
        else if (!this.#owner.signal.aborted) this.#warnLeft(error, index);
      }
    }
  }

  #warnLeft(error: unknown, index: bigint): void {
    this.#owner.warn(
      new SnapshotError(
        "UNAVAILABLE",
        `Snapshot ${index} could not be quarantined or removed, and is left to the next opening: ${messageOf(error)}`,
        { index, cause: error },
      ),
    );
  }

  /** Waits until nothing is looked at, moved or removed any more. */
  async settled(): Promise<void> {
    await this.#looking;
    await this.#settling;
  }
}
