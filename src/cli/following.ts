/**
 * A directory that another process writes: its new snapshots are seen, and one that is being read stays readable though
 * its owner removes it.
 *
 * @module
 */

import { hasCode } from "../errors.ts";
import { defaultDisk, type Disk } from "../fs/mod.ts";
import type {
  CreateOptions,
  QuarantinedSnapshot,
  SnapshotAt,
  SnapshotInfo,
  SnapshotInstall,
  SnapshotManifest,
  SnapshotReader,
  SnapshotStorage,
  SnapshotWriter,
  UnreadableSnapshot,
  VerifyOptions,
} from "../snapshot/mod.ts";
import { DirectoryStorage } from "../storage/directory/mod.ts";
import { HeldFiles } from "./held_files.ts";

/** The attempts to open a snapshot that its owner removes meanwhile. */
const TRIES = 5;

/** What the directory had at one moment. */
interface View {
  readonly storage: DirectoryStorage;
  /** The names of the snapshots that it had. */
  readonly names: string;
  /** The readers that are open. */
  readers: number;
}

/** The snapshots of a directory, read-only, as they are now. */
export class FollowingStorage implements SnapshotStorage {
  readonly #root: string;
  readonly #files: HeldFiles;
  #view: View;
  /** Earlier views that have readers. */
  readonly #earlier = new Set<View>();
  #looking: Promise<void> = Promise.resolve();
  readonly #listeners = new Set<(index: bigint, reason: string) => void>();

  private constructor(root: string, files: HeldFiles, view: View) {
    this.#root = root;
    this.#files = files;
    this.#view = view;
  }

  /**
   * Opens a directory; nothing in it is changed.
   *
   * @param root the directory
   */
  static async open(root: string): Promise<FollowingStorage> {
    const files = new HeldFiles(defaultDisk());
    return new FollowingStorage(root, files, await viewOf(root, files));
  }

  get retain(): number {
    return this.#view.storage.retain;
  }

  get group(): string | undefined {
    return this.#view.storage.group;
  }

  bindGroup(group: string): void {
    this.#view.storage.bindGroup(group);
  }

  /** Looks whether the directory has changed. One look at a time; whoever comes meanwhile has the next. */
  #look(): Promise<void> {
    return this.#looking = this.#looking.catch(() => {}).then(async () => {
      const names = await namesIn(this.#root, this.#files);
      if (names === this.#view.names) return;
      const before = this.#view;
      this.#view = await viewOf(this.#root, this.#files);
      for (const listener of this.#listeners) this.#view.storage.onQuarantine(listener);
      if (before.readers > 0) this.#earlier.add(before);
      else await before.storage.close();
    });
  }

  async open(index?: bigint | SnapshotAt): Promise<SnapshotReader> {
    for (let tries = 1;; tries++) {
      await this.#look();
      try {
        return await this.#openIn(this.#view, index);
      } catch (error) {
        if (!hasCode(error, "NOT_FOUND", "UNAVAILABLE")) throw error;
        // Its owner has removed it; somebody is still reading it here.
        for (const view of index === undefined ? [] : this.#earlier) {
          const reader = await this.#openIn(view, index).catch(() => undefined);
          if (reader !== undefined) return reader;
        }
        if (index !== undefined || tries === TRIES) throw error;
      }
    }
  }

  /** Opens a snapshot, and all of its files, so that they can be read whatever becomes of their names. */
  async #openIn(view: View, index: bigint | SnapshotAt | undefined): Promise<SnapshotReader> {
    view.readers++;
    let reader: SnapshotReader | undefined;
    try {
      reader = await view.storage.open(index);
      const release = await this.#files.hold(this.#root, reader.manifest);
      return closing(reader, async () => {
        await release();
        await this.#left(view);
      });
    } catch (error) {
      await reader?.close();
      await this.#left(view);
      throw error;
    }
  }

  async #left(view: View): Promise<void> {
    if (--view.readers > 0 || view === this.#view) return;
    this.#earlier.delete(view);
    await view.storage.close();
  }

  async list(): Promise<SnapshotInfo[]> {
    await this.#look();
    const now = await this.#view.storage.list();
    const all = new Map(now.map((info) => [info.meta.lastIncludedIndex, info]));
    for (const { storage } of this.#earlier) {
      for (const info of await storage.list()) {
        if (info.pinned && !all.has(info.meta.lastIncludedIndex)) all.set(info.meta.lastIncludedIndex, info);
      }
    }
    return [...all.values()].sort((a, b) => a.meta.lastIncludedIndex > b.meta.lastIncludedIndex ? -1 : 1);
  }

  async unreadable(): Promise<UnreadableSnapshot[]> {
    await this.#look();
    return await this.#view.storage.unreadable();
  }

  async quarantined(): Promise<QuarantinedSnapshot[]> {
    return await this.#view.storage.quarantined();
  }

  get installing(): SnapshotInstall | undefined {
    return undefined;
  }

  async unfinished(): Promise<SnapshotManifest[]> {
    return await this.#view.storage.unfinished();
  }

  onQuarantine(listener: (index: bigint, reason: string) => void): () => void {
    this.#listeners.add(listener);
    const end = this.#view.storage.onQuarantine(listener);
    return () => {
      this.#listeners.delete(listener);
      end();
    };
  }

  /** Refused, as by any storage that was opened for reading. */
  create(options?: CreateOptions): Promise<SnapshotWriter> {
    return this.#view.storage.create(options);
  }

  /** Refused, as by any storage that was opened for reading. */
  install(manifest: SnapshotManifest): Promise<SnapshotInstall> {
    return this.#view.storage.install(manifest);
  }

  /** Refused, as by any storage that was opened for reading. */
  quarantine(index: bigint, reason: string): Promise<boolean> {
    return this.#view.storage.quarantine(index, reason);
  }

  /** Refused, as by any storage that was opened for reading. */
  restore(index: bigint, options?: VerifyOptions): Promise<SnapshotInfo> {
    return this.#view.storage.restore(index, options);
  }

  async close(): Promise<void> {
    await this.#looking.catch(() => {});
    for (const { storage } of [this.#view, ...this.#earlier]) await storage.close();
    await this.#files.close();
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

async function viewOf(root: string, disk: Disk): Promise<View> {
  const names = await namesIn(root, disk); // first: what comes meanwhile is a change
  return { storage: await DirectoryStorage.open(root, { readOnly: true, disk }), names, readers: 0 };
}

/** The names of the snapshots: a snapshot is never changed, but added or removed. */
async function namesIn(root: string, disk: Disk): Promise<string> {
  const names = (await disk.list(root)).map(({ name }) => name).filter((name) => name.startsWith("snapshot_"));
  return names.sort().join("\n");
}

/** A reader that does something more when it is closed, once. */
function closing(reader: SnapshotReader, more: () => Promise<void>): SnapshotReader {
  let closed: Promise<void> | undefined;
  const close = () => closed ??= reader.close().finally(more);
  return {
    meta: reader.meta,
    manifest: reader.manifest,
    verified: reader.verified,
    info: (name) => reader.info(name),
    size: (name) => reader.size(name),
    file: (name, options) => reader.file(name, options),
    verify: (options) => reader.verify(options),
    close,
    [Symbol.asyncDispose]: close,
  };
}
