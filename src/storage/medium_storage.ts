/**
 * A storage on a medium: which snapshots there are, who uses them, and what may go.
 *
 * @module
 */

import { hasCode, messageOf, SnapshotError } from "../errors.ts";
import {
  type CreateOptions,
  type SnapshotInfo,
  type SnapshotInstall,
  type SnapshotManifest,
  type SnapshotMeta,
  type SnapshotReader,
  type SnapshotSigner,
  type SnapshotStorage,
  type SnapshotWriter,
  stale,
} from "../snapshot/mod.ts";
import { neverThrowing } from "../stream/mod.ts";
import { StoredInstall } from "./install.ts";
import type { Medium, Published, StoredSnapshot } from "./medium.ts";
import { QuarantineListeners } from "./quarantine_listeners.ts";
import { StoredReader } from "./reader.ts";
import { type Grouping, StorageGroup } from "./storage_group.ts";
import type { Trial } from "./trial.ts";
import { Unreadable } from "./unreadable.ts";
import { StoredWriter } from "./writer.ts";

/** Options of every storage. */
export interface StorageOptions {
  /**
   * How many snapshots are kept, 1 or more; pinned ones, while they are, on top of that.
   *
   * @default {2}
   */
  readonly retain?: number;
  /**
   * The group whose snapshots these are: it is in the meta of each that is saved, and others are refused
   * (`FORBIDDEN`). If absent, that of the newest snapshot that has one. Those that have none are the storage's own:
   * older than the name.
   */
  readonly group?: string;
  /** Signs every snapshot that is committed here and has no signature; none if absent. */
  readonly signer?: SnapshotSigner;
  /**
   * Told of what went wrong where nobody waits for it: an old snapshot that could not be removed, one that was found
   * bad and put aside, one of another group, which is left where it is.
   */
  readonly onWarning?: (error: SnapshotError) => void;
}

/** A snapshot of the storage. */
interface Entry extends StoredSnapshot {
  readonly readers: Set<StoredReader>;
  /** Why nobody may open it any more. */
  bad?: string;
  /** Whether another was found bad while it was there: with files that are linked, what is bad in one is in both. */
  doubtful?: boolean;
  /** Whether a commit has found it too old. What an opening finds stays until then. */
  retired?: boolean;
}

/** A storage on a {@linkcode Medium}. */
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
  /** What is being begun: taken before the first `await`, so that of two calls one is `BUSY`. */
  #beginning: Promise<void> | undefined;
  /** Commits, one after the other. */
  #publishing: Promise<unknown> = Promise.resolve();
  /** What closed readers let go. */
  #settling: Promise<void> = Promise.resolve();
  #closed: Promise<void> | undefined;
  readonly #listeners = new QuarantineListeners();
  readonly #unreadable = new Unreadable<string>();

  /**
   * Makes a storage.
   *
   * @param medium belongs to the storage from now on
   * @param found what is on it
   * @param options see {@linkcode StorageOptions}
   * @throws {SnapshotError} `MALFORMED` if `retain` is not a positive integer, or `group` no name of one
   */
  constructor(medium: Medium, found: readonly StoredSnapshot[], options: StorageOptions = {}) {
    const { retain = 2, onWarning = () => {} } = options;
    if (!Number.isSafeInteger(retain) || retain < 1) {
      throw new SnapshotError("MALFORMED", `A storage keeps one snapshot or more, not ${retain}`);
    }
    this.#medium = medium;
    this.retain = retain;
    this.#onWarning = neverThrowing(onWarning);
    this.#signer = options.signer;
    this.#entries = found.map((snapshot) => ({ ...snapshot, readers: new Set<StoredReader>() })).sort(newestFirst);
    if (options.group !== undefined) this.bindGroup(options.group);
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
    this.#check();
    if (this.#beginning !== undefined || this.#writer !== undefined) throw busy("written");
    try {
      await (this.#beginning = this.#medium.clear(this.#medium.temp));
      this.#check();
      const grouping = options.raw === true ? this.#group.offered : this.#group.saved;
      return this.#writer = new StoredWriter(this.#medium, {
        snapshots: () => this.#good().filter(({ doubtful }) => !doubtful),
        publish: (place, manifest, trial) => this.#publish(place, manifest, trial, grouping),
        released: () => this.#writer = undefined,
        grouped: (meta) => grouping(this.#metas, meta),
        signer: options.raw === true ? undefined : this.#signer, // for what others took, they vouch
        options,
      });
    } finally {
      this.#beginning = undefined;
    }
  }

  // deno-lint-ignore require-await -- so that it rejects, and never throws
  async open(index?: bigint): Promise<SnapshotReader> {
    this.#check();
    const good = this.#good();
    const entry = index === undefined
      ? this.#unreadable.prefer(good, ({ place }) => place)
      : good.find(({ manifest }) => manifest.index === index);
    if (entry === undefined) {
      const foreign = this.#foreignAt(index);
      if (foreign !== undefined) throw this.#group.foreign(foreign.manifest);
      throw new SnapshotError(
        "NOT_FOUND",
        index === undefined ? "There is no snapshot here" : `There is no snapshot ${index} here`,
        index === undefined ? {} : { index },
      );
    }
    const reader = new StoredReader(this.#medium, entry, {
      found: (error) => void this.quarantine(entry.manifest.index, error.message).catch(() => {}),
      unreadable: () => this.#unreadable.add(entry.place),
      released: () => {
        entry.readers.delete(reader);
        void this.#settleNext();
      },
    });
    entry.readers.add(reader);
    return reader;
  }

  // deno-lint-ignore require-await -- so that it rejects, and never throws
  async list(): Promise<SnapshotInfo[]> {
    this.#check();
    return this.#good().map(infoOf);
  }

  get installing(): SnapshotInstall | undefined {
    return this.#install;
  }

  async unfinished(): Promise<SnapshotManifest[]> {
    this.#check();
    return (await this.#medium.installs()).map(({ manifest }) => manifest);
  }

  // deno-lint-ignore require-await -- so that it rejects, and never throws
  async install(manifest: SnapshotManifest): Promise<SnapshotInstall> {
    this.#check();
    if (this.#install !== undefined) throw busy("received");
    this.#checkWanted(manifest, this.#group.offered);
    return this.#install = new StoredInstall(this.#medium, manifest, {
      snapshots: () => this.#good(),
      publish: (place, manifest, trial) => this.#publish(place, manifest, trial, this.#group.offered),
      released: () => this.#install = undefined,
    });
  }

  async quarantine(index: bigint, reason: string): Promise<void> {
    this.#check();
    const entry = this.#good().find(({ manifest }) => manifest.index === index);
    if (entry === undefined) return;
    entry.bad = reason;
    for (const other of this.#entries) other.doubtful = true;
    this.#listeners.tell(index, reason);
    this.#onWarning(
      new SnapshotError("CORRUPT", `Snapshot ${index} was found bad and is put aside: ${reason}`, { index }),
    );
    await this.#settleNext();
  }

  onQuarantine(listener: (index: bigint, reason: string) => void): () => void {
    return this.#listeners.add(listener);
  }

  close(): Promise<void> {
    return this.#closed ??= (async () => {
      // All of them, whatever becomes of each: then nothing is being changed any more, and somebody else may have it.
      await Promise.allSettled([this.#beginning, this.#publishing]);
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

  /** What is the storage's, and not known to be bad. */
  #good(): Entry[] {
    return this.#entries.filter((entry) => entry.bad === undefined && this.#group.isOwn(entry.manifest));
  }

  #foreignAt(index: bigint | undefined): Entry | undefined {
    return this.#entries.find(({ manifest }) => manifest.index === index && !this.#group.isOwn(manifest));
  }

  get #metas(): { readonly meta: SnapshotMeta }[] {
    return this.#good().map(({ manifest }) => manifest);
  }

  /**
   * Refuses what is of another group, or not newer than what is here; or would come to lie where another group's does.
   */
  #checkWanted(manifest: SnapshotManifest, grouping: Grouping): void {
    grouping(this.#metas, manifest.meta);
    const foreign = this.#foreignAt(manifest.index);
    if (foreign !== undefined) throw this.#group.foreign(foreign.manifest);
    const [newest] = this.#good();
    if (newest !== undefined && manifest.index <= newest.manifest.index) {
      throw stale(manifest.index, newest.manifest.index);
    }
  }

  #publish(place: string, manifest: SnapshotManifest, trial: Trial, grouping: Grouping): Promise<Published> {
    const published = this.#publishing.catch(() => {}).then(async () => {
      this.#check();
      this.#checkWanted(manifest, grouping);
      await trial.run(this.#medium, { place, manifest });
      const stored = await this.#medium.publish(place, manifest);
      const entry: Entry = { ...stored, readers: new Set() };
      this.#entries = [entry, ...this.#entries].sort(newestFirst);
      for (const old of this.#good().slice(this.retain)) old.retired = true;
      await this.#settle();
      return { info: infoOf(entry), place: entry.place };
    });
    this.#publishing = published;
    return published;
  }

  /** {@linkcode #settle}, which {@linkcode close} waits for. */
  #settleNext(): Promise<void> {
    return this.#settling = this.#settling.then(() => this.#settle());
  }

  /** Lets go what nobody uses: what is bad is put aside, what is too old removed. Nothing waits for what fails here. */
  async #settle(): Promise<void> {
    const old = this.#good().slice(this.retain);
    const going = this.#entries.filter((entry) =>
      entry.readers.size === 0 && (entry.bad !== undefined || (entry.retired && old.includes(entry)))
    );
    this.#entries = this.#entries.filter((entry) => !going.includes(entry));
    for (const { place, manifest, bad } of going) {
      try {
        if (bad === undefined) await this.#medium.remove(place);
        else await this.#medium.quarantine(place, manifest.index);
      } catch (error) {
        this.#onWarning(
          hasCode(error, "CLOSED") ? error : new SnapshotError(
            "UNAVAILABLE",
            `Snapshot ${manifest.index} could not be put away, and is left to the next opening: ${messageOf(error)}`,
            { index: manifest.index, cause: error },
          ),
        );
      }
    }
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
