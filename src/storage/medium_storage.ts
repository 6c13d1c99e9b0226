/**
 * A storage on a medium: keeps track of its snapshots, their readers, and which of them may be removed.
 *
 * @module
 */

import { able, checkIndex, checkOptions, checkString } from "../checks.ts";
import { SnapshotError, throwIfCancelled } from "../errors.ts";
import {
  checkChoice,
  checkCreateOptions,
  checkManifest,
  checkRestore,
  type CreateOptions,
  isChosen,
  noneChosen,
  type QuarantinedSnapshot,
  type SnapshotAt,
  type SnapshotInfo,
  type SnapshotInstall,
  type SnapshotManifest,
  type SnapshotReader,
  type SnapshotSigner,
  type SnapshotStorage,
  type SnapshotVerifier,
  type SnapshotWriter,
  stale,
  type UnreadableSnapshot,
  type VerifyOptions,
} from "../snapshot/mod.ts";
import { neverThrowing } from "../async/mod.ts";
import { withJson } from "../stream/mod.ts";
import { examine, isProof, readAll } from "./evidence.ts";
import { Entries } from "./entries.ts";
import { type Entry, infoOf } from "./entry.ts";
import { StoredInstall } from "./install.ts";
import type { Medium, Place, Published, StoredSnapshot } from "./medium.ts";
import { QuarantineListeners } from "./quarantine_listeners.ts";
import { StoredReader } from "./reader.ts";
import { type Grouping, StorageGroup } from "./storage_group.ts";
import { storageChecks, type StorageOptions } from "./storage_options.ts";
import { Retention } from "./retention.ts";
import type { Trial } from "./trial.ts";
import { closed, StorageWork } from "./work.ts";
import { Unreadable } from "./unreadable.ts";
import { StorageTrust } from "./trust.ts";
import { StoredWriter } from "./writer.ts";

/**
 * A storage on a {@linkcode Medium}. It moves or removes a snapshot only on this evidence:
 *
 * | what | evidence |
 * |---|---|
 * | quarantines a snapshot | a chunk, a size or the manifest was read again, by another way, and is wrong as before |
 * | removes an old one | a commit, after which the retention keeps others, each just checked and not unreadable |
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
  readonly #entries: Entries;
  readonly #work = new StorageWork();
  readonly #group: StorageGroup = new StorageGroup();
  readonly #trust: StorageTrust;
  readonly #closing = new AbortController();
  readonly #listeners = new QuarantineListeners();
  readonly #unreadable = new Unreadable<string>();
  /**
   * Makes a storage.
   *
   * @param medium belongs to the storage from now on
   * @param found what is on it
   * @param options see {@linkcode StorageOptions}
   * @param unreadable what else is on it, and cannot be read now
   * @throws {SnapshotError} `MALFORMED` if `retain` is no retention, or `group` no name of one
   */
  constructor(
    medium: Medium,
    found: readonly StoredSnapshot[],
    options: StorageOptions = {},
    unreadable: readonly (UnreadableSnapshot & { readonly place: Place })[] = [],
  ) {
    able("a Medium", "installPlace", "publish", "inspect")(medium, "medium");
    const { retain, onWarning = () => {}, signer, verifier, floor = 0n, group } = checkOptions(
      options,
      storageChecks(),
    );
    this.#medium = medium;
    this.#onWarning = neverThrowing(onWarning);
    const retention = new Retention(retain, this.#onWarning);
    this.retain = retention.count;
    this.#signer = signer;
    this.#trust = new StorageTrust(verifier, floor, this.#onWarning);
    this.#entries = new Entries(
      {
        medium,
        retention,
        group: this.#group,
        trust: this.#trust,
        signal: this.#closing.signal,
        warn: this.#onWarning,
        found: (index, reason) => this.#listeners.tell(index, reason),
      },
      found,
      unreadable,
    );
    if (group !== undefined) this.bindGroup(group);
  }

  get group(): string | undefined {
    return this.#group.name;
  }

  get verifier(): SnapshotVerifier | undefined {
    return this.#trust.verifier;
  }

  bindGroup(group: string): void {
    if (this.#group.bind(group)) this.#entries.tellForeign();
  }

  async create(options: CreateOptions = {}): Promise<SnapshotWriter> {
    checkCreateOptions(options);
    this.#work.check();
    return await this.#work.write(async (released) => {
      await this.#entries.lookAgain();
      await this.#medium.temp.clear();
      await this.#entries.lookAgain();
      this.#work.check();
      const grouping = options.raw === true ? this.#group.offered : this.#group.saved;
      return new StoredWriter(this.#medium.temp, {
        snapshots: () => this.#entries.good().filter(({ suspect }) => !suspect),
        publish: (place, manifest, trial) => this.#publish(place, manifest, trial, grouping),
        released,
        grouped: (meta) => grouping(this.#entries.metas, meta),
        signer: options.raw === true ? undefined : this.#signer, // a snapshot that others took is not signed by us
        options,
      });
    });
  }

  async open(index?: bigint | SnapshotAt): Promise<SnapshotReader> {
    checkChoice(index);
    this.#work.check();
    if (typeof index === "object" || !this.#entries.knows(index)) await this.#entries.lookAgain();
    this.#work.check();
    const good = this.#entries.good().filter(({ manifest }) => isChosen(manifest.meta, index));
    const entry = this.#unreadable.prefer(good, ({ place }) => place.name);
    if (entry === undefined) {
      const refusal = typeof index === "object" ? undefined : this.#entries.refusalAt(index);
      if (refusal !== undefined) throw refusal;
      const unlisted = this.#entries.unlisted.find((one) => isChosen({ lastIncludedIndex: one.index }, index));
      throw unlisted?.error ?? noneChosen(index);
    }
    return this.#reader(entry);
  }

  #reader(entry: Entry): StoredReader {
    const reader = new StoredReader(entry, {
      found: (error) => this.#entries.condemn(entry, error.message),
      unreadable: (file) => {
        this.#unreadable.add(entry.place.name);
        (entry.unread ??= new Set()).add(file);
      },
      released: () => {
        entry.readers.delete(reader);
        void this.#entries.settleNext();
      },
    });
    entry.readers.add(reader);
    return reader;
  }

  async list(): Promise<SnapshotInfo[]> {
    this.#work.check();
    await this.#entries.lookAgain();
    return this.#entries.good().map(infoOf);
  }

  async unreadable(): Promise<UnreadableSnapshot[]> {
    this.#work.check();
    await this.#entries.lookAgain();
    return this.#entries.unlisted.map(({ index, error }) => withJson({ index, error }));
  }

  get installing(): SnapshotInstall | undefined {
    return this.#work.install;
  }

  async unfinished(): Promise<SnapshotManifest[]> {
    this.#work.check();
    return (await this.#medium.installs()).map(({ manifest }) => manifest);
  }

  async install(manifest: SnapshotManifest): Promise<SnapshotInstall> {
    checkManifest(manifest, "manifest");
    this.#work.check();
    await this.#trust.check(manifest);
    await this.#entries.lookAgain();
    this.#work.check();
    return await this.#work.receive((released) => {
      this.#checkWanted(manifest, this.#group.offered);
      return Promise.resolve(
        new StoredInstall(this.#medium, manifest, {
          snapshots: () => this.#entries.good(),
          publish: (place, manifest, trial) => this.#publish(place, manifest, trial, this.#group.offered),
          released,
        }),
      );
    });
  }

  async quarantine(index: bigint, reason: string): Promise<boolean> {
    checkIndex(index, "index");
    checkString(reason, "reason");
    this.#work.check();
    if (!this.#entries.knows(index)) await this.#entries.lookAgain();
    this.#work.check();
    const entry = this.#entries.good().find(({ manifest }) => manifest.index === index);
    if (entry !== undefined) {
      const proof = await this.#prove(entry);
      if (proof === undefined) return false;
      this.#entries.condemn(entry, `${reason}: ${proof.message}`);
    }
    await this.#entries.settleNext();
    return this.#entries.all.some(({ manifest, bad }) => manifest.index === index && bad !== undefined) ||
      (await this.#medium.quarantined()).some((quarantined) => quarantined.index === index);
  }

  /** Returns the proof that a snapshot is bad, if there is one. */
  async #prove(entry: Entry): Promise<SnapshotError | undefined> {
    const reader = this.#reader(entry); // so that it is not removed meanwhile
    try {
      await examine(this.#medium, entry.place, entry.manifest.index);
      await readAll(entry, this.#closing.signal);
      return undefined;
    } catch (error) {
      this.#work.check();
      return isProof(error) ? error : undefined;
    } finally {
      await reader.close();
    }
  }

  async quarantined(): Promise<QuarantinedSnapshot[]> {
    this.#work.check();
    await this.#entries.settled();
    return (await this.#entries.quarantined()).map(({ index, at }) => withJson({ index, at }));
  }

  async restore(index: bigint, options: VerifyOptions = {}): Promise<SnapshotInfo> {
    const { signal: given } = checkRestore(index, options);
    this.#work.check();
    const signal = given === undefined ? this.#closing.signal : AbortSignal.any([given, this.#closing.signal]);
    return await this.#work.publish(async () => {
      await this.#entries.settleNext();
      await this.#entries.lookAgain();
      const candidates = (await this.#entries.quarantined()).filter((one) => one.index === index);
      if (candidates.length === 0) {
        throw new SnapshotError("NOT_FOUND", `No snapshot ${index} is quarantined here`, { index });
      }
      const isHere = [...this.#entries.all.map(({ manifest }) => manifest), ...this.#entries.unlisted];
      if (isHere.some((one) => one.index === index)) {
        throw new SnapshotError("BUSY", `There is a snapshot ${index} here: nothing is restored over it`, { index });
      }
      let failure: unknown;
      for (const { place } of candidates) {
        try {
          const found = await examine(this.#medium, place, index);
          if (!this.#group.isOwn(found.manifest)) throw this.#group.foreign(found.manifest);
          await this.#trust.check(found.manifest);
          await readAll(found, signal);
          return infoOf(this.#add(await this.#medium.restore(place, index)));
        } catch (error) {
          throwIfCancelled(signal);
          failure ??= error;
        }
      }
      throw failure;
    });
  }

  onQuarantine(listener: (index: bigint, reason: string) => void): () => void {
    return this.#listeners.add(listener);
  }

  /**
   * Removes the snapshots that are too many, as a commit does: those found when the storage was opened stay until then.
   * As many newer ones as are retained are looked at first, and must be readable.
   */
  async prune(): Promise<void> {
    this.#work.check();
    await this.#entries.lookAgain();
    await this.#work.publish(() => this.#entries.retireOld());
  }

  close(): Promise<void> {
    this.#closing.abort(closed());
    return this.#work.close(() => this.#entries.all.flatMap(({ readers }) => [...readers]), async () => {
      await this.#entries.settled();
      await this.#medium.close();
    });
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Refuses a snapshot that is of another group, not newer than those here, or at the index of another group's. */
  #checkWanted(manifest: SnapshotManifest, grouping: Grouping): void {
    grouping(this.#entries.metas, manifest.meta);
    const refusal = this.#entries.refusalAt(manifest.index);
    if (refusal !== undefined) throw refusal;
    const [newest] = this.#entries.good();
    if (newest !== undefined && manifest.index <= newest.manifest.index) {
      throw stale(manifest.index, newest.manifest.index);
    }
    const inDoubt = [...this.#entries.unlisted, ...this.#entries.undecided];
    const unlisted = inDoubt.find(({ index }) => manifest.index <= index);
    if (unlisted === undefined) return;
    const { index, error } = unlisted;
    throw new SnapshotError(
      "STALE",
      `Snapshot ${manifest.index} is not newer than snapshot ${index}, which is here and cannot be read now: ` +
        error.message,
      { index: manifest.index, actual: index, cause: error },
    );
  }

  #add(stored: StoredSnapshot): Entry {
    this.#trust.add(stored.place.name);
    return this.#entries.add(stored);
  }

  #publish(place: Place, manifest: SnapshotManifest, trial: Trial, grouping: Grouping): Promise<Published> {
    return this.#work.publish(async () => {
      await this.#trust.check(manifest);
      await this.#entries.lookAgain();
      this.#checkWanted(manifest, grouping);
      await trial.run({ place, manifest });
      const entry = this.#add(await this.#medium.publish(place, manifest));
      await this.#entries.retireOld(entry);
      await this.#trust.kept(this.#entries.good().map(({ manifest }) => manifest.index), this.#entries.areDecided);
      return { info: infoOf(entry), place: entry.place };
    });
  }
}
