/**
 * What this process knows of snapshots that it could not read, and of those that are proven bad.
 *
 * @module
 */

import { hasCode, SnapshotError, throwIfCancelled } from "../../errors.ts";
import type { SnapshotInfo } from "../../snapshot/mod.ts";
import { MAX_QUARANTINED, readAll } from "../evidence.ts";
import type { StorageGroup } from "../storage_group.ts";
import type { StorageTrust } from "../trust.ts";
import { Unreadable } from "../unreadable.ts";
import { quarantined, restored } from "./changes.ts";
import { groupedOf, infoOf, type KeptSnapshot } from "./index.ts";
import type { IndexStore } from "./index_store.ts";
import type { KeptPlaces } from "./kept_places.ts";
import type { SharedTime } from "./shared_time.ts";

/** The storage, as far as evidence needs it. */
export interface EvidenceParts {
  readonly kept: KeptPlaces;
  readonly store: IndexStore;
  readonly time: SharedTime;
  /** Cancels reading when the storage closes. */
  readonly signal: AbortSignal;
  /** Throws once it was closed. */
  check(): void;
  /** Is told of a snapshot that was quarantined. */
  found(index: bigint, reason: string): void;
}

/** Doubts are this process's own; a proof is written into the index, for all. */
export class ObjectEvidence {
  readonly #parts: EvidenceParts;
  readonly #unreadable = new Unreadable<string>();

  /** @param parts the storage */
  constructor(parts: EvidenceParts) {
    this.#parts = parts;
  }

  /** Returns the newest snapshot that could be read, or else the newest. */
  prefer(newestFirst: readonly KeptSnapshot[]): KeptSnapshot | undefined {
    return this.#unreadable.prefer(newestFirst, ({ id }) => id);
  }

  /** Notes that a snapshot, or a file of it, cannot be read now. Other processes are not told. */
  doubt(id: string, file?: string): void {
    this.#unreadable.add(id);
    const { unread } = this.#parts.kept;
    const files = unread.get(id) ?? new Set();
    unread.set(id, file === undefined ? files : files.add(file));
  }

  /** Reads the unread files of snapshots again; those that can be read now count again. */
  async readDoubted(): Promise<void> {
    const { kept: { unread }, store } = this.#parts;
    if (unread.size === 0) return;
    const { snapshots } = await store.read();
    for (const [id, files] of unread) {
      const kept = snapshots.find((kept) => kept.id === id);
      if (kept !== undefined && !await this.#canBeRead(kept, files)) continue;
      unread.delete(id);
    }
  }

  async #canBeRead(kept: KeptSnapshot, files: Iterable<string>): Promise<boolean> {
    try {
      await this.readAll(kept, this.#parts.signal, files);
      return true;
    } catch (error) {
      this.#parts.check();
      if (hasCode(error, "CORRUPT")) await this.quarantine(kept.id, error.message);
      return false;
    }
  }

  /** Reads all files of a snapshot, or some; throws if that fails. */
  async readAll(kept: KeptSnapshot, signal: AbortSignal, files?: Iterable<string>): Promise<void> {
    const { kept: places } = this.#parts;
    const place = places.pin(kept.id);
    try {
      const { manifest } = await places.manifest(kept, true);
      await readAll({ place, manifest }, signal, files);
    } finally {
      places.unpin(kept.id);
    }
  }

  /** Returns the proof that a snapshot is bad, if there is one. */
  async prove(kept: KeptSnapshot): Promise<SnapshotError | undefined> {
    try {
      await this.readAll(kept, this.#parts.signal);
      return undefined;
    } catch (error) {
      this.#parts.check();
      return hasCode(error, "CORRUPT") ? error : undefined;
    }
  }

  /** Quarantines a snapshot that was proven bad. */
  async quarantine(id: string, reason: string): Promise<void> {
    const { store, time, found } = this.#parts;
    // The oldest quarantined ones make room for others, if they are proven bad once more.
    const bad = new Set<string>();
    for (const kept of (await store.read()).quarantined.slice(MAX_QUARANTINED - 1)) {
      if (await this.prove(kept) !== undefined) bad.add(kept.id);
    }
    let done: KeptSnapshot | undefined;
    await store.update((index) => {
      const kept = index.snapshots.find((kept) => kept.id === id);
      if (kept === undefined) return undefined;
      done = kept;
      return quarantined(index, kept, reason, bad, time);
    });
    if (done !== undefined) found(done.index, reason);
  }

  /** Makes a quarantined snapshot one again, if all of it can be read and is right. */
  async restore(
    index: bigint,
    group: StorageGroup,
    trust: StorageTrust,
    signal: AbortSignal,
  ): Promise<SnapshotInfo> {
    const { store, kept: places } = this.#parts;
    const current = await store.read();
    let failure: unknown;
    for (const kept of current.quarantined.filter((kept) => kept.index === index)) {
      try {
        if (!group.isOwn(groupedOf(kept))) throw group.foreign(groupedOf(kept));
        await trust.check((await places.manifest(kept)).manifest);
        restored(current, kept.id); // throws if it cannot be restored, before all of it is read
        await this.readAll(kept, signal);
      } catch (error) {
        throwIfCancelled(signal);
        failure ??= error;
        continue;
      }
      await store.update((current) => restored(current, kept.id));
      return await infoOf(kept, places.isPinned(kept.id));
    }
    throw failure ?? new SnapshotError("NOT_FOUND", `No snapshot ${index} is quarantined here`, { index });
  }
}
