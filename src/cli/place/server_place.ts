/**
 * A place that is a server of snapshots.
 *
 * @module
 */

import type { SnapshotReader } from "../../snapshot/mod.ts";
import { listRemote, openRemote, type SourceOptions } from "../../transfer/mod.ts";
import type { Place, Row, Trouble } from "./place.ts";

/** Snapshots of a server. */
export class ServerPlace implements Place {
  readonly name: string;
  readonly format = "snapstream";
  /** Where to, for a push. */
  readonly source: SourceOptions;
  readonly #signal: AbortSignal;

  /**
   * @param name its address, for messages
   * @param source its address, and the token
   * @param signal cancels what is asked of it
   */
  constructor(name: string, source: SourceOptions, signal: AbortSignal) {
    this.name = name;
    this.source = source;
    this.#signal = signal;
  }

  troubles(): Promise<readonly Trouble[]> {
    return Promise.resolve([]);
  }

  async list(): Promise<readonly Row[]> {
    return (await listRemote(this.source, { signal: this.#signal })).map((one) => ({
      ...one,
      index: BigInt(one.index),
      term: BigInt(one.term),
    }));
  }

  async open(index?: bigint): Promise<SnapshotReader> {
    return await openRemote(this.source, { signal: this.#signal, ...(index !== undefined && { index }) });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
