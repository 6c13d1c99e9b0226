/**
 * Who is at work in a storage: one writer and one install at a time, commits one after the other, and in the end its
 * closing, which waits for all of them.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import type { StoredInstall } from "./install.ts";
import type { StoredWriter } from "./writer.ts";

/** The work in one storage. */
export class StorageWork {
  #writer: StoredWriter | undefined;
  #install: StoredInstall | undefined;
  /**
   * What has begun and is no writer, or install, yet: set before the first `await`, so that of two calls one is `BUSY`.
   */
  readonly #beginning = new Set<"written" | "received">();
  #begun: Promise<void> = Promise.resolve();
  #publishing: Promise<unknown> = Promise.resolve();
  #closed: Promise<void> | undefined;

  /** True once the storage is closing. */
  get isClosed(): boolean {
    return this.#closed !== undefined;
  }

  /** @throws {SnapshotError} `CLOSED` */
  check(): void {
    if (this.#closed !== undefined) throw closed();
  }

  /**
   * Makes the one writer.
   *
   * @param make is given what the writer is to call when it has ended
   * @throws {SnapshotError} `BUSY` if there is one; `CLOSED` if the storage was closed meanwhile
   */
  async write(make: (released: () => void) => Promise<StoredWriter>): Promise<StoredWriter> {
    if (this.#writer !== undefined) throw busy("written");
    const writer = await this.#begin("written", () => make(() => this.#writer = undefined));
    if (this.#closed === undefined) return this.#writer = writer;
    await writer.abort(closed());
    throw closed();
  }

  /** Makes the one install, as {@linkcode write} does. */
  async receive(make: (released: () => void) => Promise<StoredInstall>): Promise<StoredInstall> {
    if (this.#install !== undefined) throw busy("received");
    return this.#install = await this.#begin("received", () => make(() => this.#install = undefined));
  }

  async #begin<T>(what: "written" | "received", make: () => Promise<T>): Promise<T> {
    if (this.#beginning.has(what)) throw busy(what);
    this.#beginning.add(what);
    try {
      const made = make();
      this.#begun = Promise.allSettled([this.#begun, made]).then(() => {}); // nothing is kept of what came of it
      return await made;
    } finally {
      this.#beginning.delete(what);
    }
  }

  /** The install that runs. */
  get install(): StoredInstall | undefined {
    return this.#install;
  }

  /** Does something that changes which snapshots there are, after all that was begun before. */
  publish<T>(work: () => Promise<T>): Promise<T> {
    const published = this.#publishing.catch(() => {}).then(() => {
      this.check();
      return work();
    });
    this.#publishing = published;
    return published;
  }

  /**
   * Ends all of it, once.
   *
   * @param readers the readers that are open, when the commits have ended
   * @param last what is done then
   * @throws what the writer, the install or a reader ends with; `last` was done all the same
   */
  close(readers: () => readonly { close(): Promise<void> }[], last: () => Promise<void>): Promise<void> {
    return this.#closed ??= (async () => {
      // Waits for all, even if some fail: then nothing changes any more, and another process may open the medium.
      await Promise.resolve(); // from here on it is closed
      await Promise.allSettled([this.#begun, this.#publishing]);
      const ended = await Promise.allSettled([
        this.#writer?.abort(closed()),
        this.#install?.close(),
        ...readers().map((reader) => reader.close()),
      ]);
      await last();
      for (const outcome of ended) if (outcome.status === "rejected") throw outcome.reason;
    })();
  }
}

/** The error of what was closed. */
export function closed(): SnapshotError {
  return new SnapshotError("CLOSED", "The storage was closed");
}

function busy(what: string): SnapshotError {
  return new SnapshotError("BUSY", `Another snapshot is being ${what}: one at a time`);
}
