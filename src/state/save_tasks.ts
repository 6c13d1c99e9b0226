/**
 * The asynchronous parts of saves, each cleaned up exactly once, by exactly one party (as by Flink's
 * `AsyncSnapshotCallable` and `CloseableRegistry`).
 *
 * @module
 */

import { SnapshotError, throwIfCancelled } from "../errors.ts";
import { onAbort } from "../async/mod.ts";
import type { FileWriter, SnapshotInfo } from "../snapshot/mod.ts";
import type { SaveTask } from "./machine.ts";

/** The steps of a save after its synchronous part. */
export interface SaveParts {
  /** Writes the view. The signal fires when the caller cancels the save, or the state is closed. */
  write(writer: FileWriter, signal: AbortSignal): Promise<void>;
  /** Called when the written view has become a snapshot. */
  committed?(snapshot: SnapshotInfo): void;
  /** Releases the resources that the synchronous part took. */
  cleanUp(): void | Promise<void>;
}

/**
 * The saves of a state. Closing cancels those that are running and waits until each has released its resources: then no
 * native handle is left.
 */
export class SaveTasks {
  readonly #tasks = new Set<Task>();
  readonly #what: string;
  #closed = false;

  /** @param what is saved, for errors */
  constructor(what: string) {
    this.#what = what;
  }

  /** The number of saves that have not been cleaned up. */
  get size(): number {
    return this.#tasks.size;
  }

  /**
   * Checks that another save may begin.
   *
   * @throws {SnapshotError} `CLOSED`
   */
  check(): void {
    if (this.#closed) throw new SnapshotError("CLOSED", `The ${this.#what} was closed`);
  }

  /**
   * Begins a save, after its synchronous part.
   *
   * @throws {SnapshotError} `CLOSED`
   */
  begin(parts: SaveParts): SaveTask {
    this.check();
    const task = new Task(parts, this.#what, () => this.#tasks.delete(task));
    this.#tasks.add(task);
    return task;
  }

  /** Refuses new saves, cancels the running ones, and waits until they have been cleaned up. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled([...this.#tasks].map((task) => task.close()));
  }
}

class Task implements SaveTask {
  readonly #parts: SaveParts;
  readonly #what: string;
  readonly #done: () => void;
  readonly #stop = new AbortController();
  #writing: Promise<void> | undefined;
  #begun = false;
  #cleanUp: Promise<void> | undefined;

  constructor(parts: SaveParts, what: string, done: () => void) {
    this.#parts = parts;
    this.#what = what;
    this.#done = done;
  }

  async write(writer: FileWriter, signal: AbortSignal): Promise<void> {
    throwIfCancelled(signal);
    if (this.#cleanUp !== undefined) throw this.#closed();
    // A view is released while it is written, so a second write would miss a part of the state.
    if (this.#begun) throw new SnapshotError("CLOSED", `This save of the ${this.#what} was written, or begun to be`);
    this.#begun = true;
    const unlink = onAbort(signal, (reason) => this.#stop.abort(reason));
    try {
      this.#writing = this.#parts.write(writer, this.#stop.signal);
      await this.#writing;
      this.#stop.signal.throwIfAborted();
    } catch (error) {
      throwIfCancelled(signal);
      throw this.#stop.signal.aborted ? this.#stop.signal.reason : error;
    } finally {
      this.#writing = undefined;
      unlink();
    }
  }

  committed(snapshot: SnapshotInfo): void {
    if (this.#cleanUp === undefined) this.#parts.committed?.(snapshot);
  }

  release(): void {
    void this.close().catch(() => {});
  }

  /** Cancels a running write, and cleans up when nothing uses the view any more. */
  close(): Promise<void> {
    return this.#cleanUp ??= (async () => {
      if (this.#writing !== undefined) {
        this.#stop.abort(this.#closed());
        await this.#writing.catch(() => {});
      }
      try {
        await this.#parts.cleanUp();
      } finally {
        this.#done();
      }
    })();
  }

  #closed(): SnapshotError {
    return new SnapshotError("CLOSED", `The ${this.#what} was closed, or its save was cancelled`);
  }
}
