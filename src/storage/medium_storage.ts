/**
 * A storage on a medium: which snapshots there are, who uses them, and what may go.
 *
 * @module
 */

import { able, checkFunction, checkIndex, checkOptions, type Checks, checkString, integer } from "../checks.ts";
import { hasCode, messageOf, SnapshotError } from "../errors.ts";
import {
  checkCreateOptions,
  checkManifest,
  checkSigner,
  type CreateOptions,
  type SnapshotInfo,
  type SnapshotInstall,
  type SnapshotManifest,
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
  /** Signs every snapshot that is committed here and has no signature; none if absent. */
  readonly signer?: SnapshotSigner;
  /**
   * Told of what went wrong where nobody waits for it: an old snapshot that could not be removed, one that was found
   * bad and put aside.
   */
  readonly onWarning?: (error: SnapshotError) => void;
}

/** The checks of the options of every storage. */
export function storageChecks(): Checks<StorageOptions> {
  return { retain: integer(1), signer: checkSigner, onWarning: checkFunction };
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
   * @throws {SnapshotError} `MALFORMED` if `retain` is not a positive integer
   */
  constructor(medium: Medium, found: readonly StoredSnapshot[], options: StorageOptions = {}) {
    able("a Medium", "open", "publish", "remove")(medium, "medium");
    const { retain = 2, onWarning = () => {}, signer } = checkOptions(options, storageChecks());
    this.#medium = medium;
    this.retain = retain;
    this.#onWarning = neverThrowing(onWarning);
    this.#signer = signer;
    this.#entries = found.map((snapshot) => ({ ...snapshot, readers: new Set<StoredReader>() })).sort(newestFirst);
  }

  async create(options: CreateOptions = {}): Promise<SnapshotWriter> {
    checkCreateOptions(options);
    this.#check();
    if (this.#beginning !== undefined || this.#writer !== undefined) throw busy("written");
    try {
      await (this.#beginning = this.#medium.clear(this.#medium.temp));
      this.#check();
      return this.#writer = new StoredWriter(this.#medium, {
        snapshots: () => this.#good().filter(({ doubtful }) => !doubtful),
        publish: (place, manifest, trial) => this.#publish(place, manifest, trial),
        released: () => this.#writer = undefined,
        signer: options.raw === true ? undefined : this.#signer, // for what others took, they vouch
        options,
      });
    } finally {
      this.#beginning = undefined;
    }
  }

  // deno-lint-ignore require-await -- so that it rejects, and never throws
  async open(index?: bigint): Promise<SnapshotReader> {
    if (index !== undefined) checkIndex(index, "index");
    this.#check();
    const good = this.#good();
    const entry = index === undefined
      ? this.#unreadable.prefer(good, ({ place }) => place)
      : good.find(({ manifest }) => manifest.index === index);
    if (entry === undefined) {
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
    checkManifest(manifest, "manifest");
    this.#check();
    if (this.#install !== undefined) throw busy("received");
    this.#checkNewer(manifest);
    return this.#install = new StoredInstall(this.#medium, manifest, {
      snapshots: () => this.#good(),
      publish: (place, manifest, trial) => this.#publish(place, manifest, trial),
      released: () => this.#install = undefined,
    });
  }

  async quarantine(index: bigint, reason: string): Promise<void> {
    checkIndex(index, "index");
    checkString(reason, "reason");
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

  #good(): Entry[] {
    return this.#entries.filter(({ bad }) => bad === undefined);
  }

  #checkNewer(manifest: SnapshotManifest): void {
    const [newest] = this.#good();
    if (newest !== undefined && manifest.index <= newest.manifest.index) {
      throw stale(manifest.index, newest.manifest.index);
    }
  }

  #publish(place: string, manifest: SnapshotManifest, trial: Trial): Promise<Published> {
    const published = this.#publishing.catch(() => {}).then(async () => {
      this.#check();
      this.#checkNewer(manifest);
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
