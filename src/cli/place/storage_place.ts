/**
 * A place that is a storage: a directory, or a bucket.
 *
 * @module
 */

import type { DamagedSnapshot, SnapshotReader, SnapshotStorage } from "../../snapshot/mod.ts";
import { toHex } from "../../stream/mod.ts";
import type { Place, Row, Trouble } from "./place.ts";

/** Snapshots of a storage. */
export class StoragePlace implements Place {
  readonly name: string;
  readonly format: string;
  readonly storage: SnapshotStorage;
  readonly #damaged: readonly DamagedSnapshot[];
  readonly #closing: () => Promise<void>;

  /**
   * @param name the address, for messages
   * @param format the system that wrote it
   * @param storage becomes the place's own
   * @param damaged the snapshots that opening found to be bad
   * @param closing closes what the storage stands on
   */
  constructor(
    name: string,
    format: string,
    storage: SnapshotStorage,
    damaged: readonly DamagedSnapshot[] = [],
    closing: () => Promise<void> = () => Promise.resolve(),
  ) {
    this.name = name;
    this.format = format;
    this.storage = storage;
    this.#damaged = damaged;
    this.#closing = closing;
  }

  async troubles(): Promise<readonly Trouble[]> {
    const bad =
      (kind: "damaged" | "unreadable") => ({ index, error: { code, message } }: DamagedSnapshot): Trouble => ({
        kind,
        index,
        code,
        message,
      });
    return [
      ...this.#damaged.map(bad("damaged")),
      ...(await this.storage.unreadable()).map(bad("unreadable")),
      ...(await this.storage.quarantined()).map(({ index, at, reason }): Trouble => ({
        kind: "quarantined",
        index,
        ...(at !== undefined && { at }),
        ...(reason !== undefined && { message: reason }),
      })),
    ];
  }

  async list(): Promise<readonly Row[]> {
    return (await this.storage.list()).map(({ meta, digest, size, files }) => ({
      index: meta.lastIncludedIndex,
      term: meta.lastIncludedTerm,
      size,
      files,
      digest: toHex(digest),
      ...(meta.createdAt !== undefined && { createdAt: meta.createdAt }),
      ...(meta.group !== undefined && { group: meta.group }),
    }));
  }

  async open(index?: bigint): Promise<SnapshotReader> {
    const damaged = this.#damaged.find((one) => one.index === index);
    if (damaged !== undefined) throw damaged.error;
    return await this.storage.open(index);
  }

  async close(): Promise<void> {
    try {
      await this.storage.close();
    } finally {
      await this.#closing();
    }
  }
}
