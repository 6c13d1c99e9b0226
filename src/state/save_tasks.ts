/**
 * The asynchronous parts of saves: each cleaned up exactly once, by exactly one party (Flink's `AsyncSnapshotCallable`
 * and `CloseableRegistry`).
 *
 * @module
 */

import { SnapshotError, throwIfCancelled } from "../errors.ts";
import type { FileWriter, SnapshotInfo } from "../snapshot/mod.ts";
import type { SaveTask } from "./machine.ts";

/** What a save does, and what it holds. */
export interface SaveParts {
  /** Writes the view. The signal fires when the save is given up, by its caller or because the state is closed. */
  write(writer: FileWriter, signal: AbortSignal): Promise<void>;
  /** What was written is a snapshot. */
  committed?(snapshot: SnapshotInfo): void;
  /** Gives back what the synchronous part took. */
  cleanUp(): void | Promise<void>;
}

/**
 * The saves of a state. Closing it gives up those that are under way and waits until each has given back what it held:
 * then no native handle is left.
 */
export class SaveTasks {
  readonly #tasks = new Set<Task>();
  readonly #what: string;
  #closed = false;

  /** @param what is saved, for errors */
  constructor(what: string) {
    this.#what = what;
  }

  /** How many have not been cleaned up. */
  get size(): number {
    return this.#tasks.size;
  }

  /**
   * Looks whether there can be another one.
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

  /** Refuses new ones, gives up those that are there, and waits until they have been cleaned up. */
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
    // A view is let go while it is written: what is left of it is not the state any more.
    if (this.#begun) throw new SnapshotError("CLOSED", `This save of the ${this.#what} was written, or begun to be`);
    this.#begun = true;
    const onAbort = () => this.#stop.abort(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      this.#writing = this.#parts.write(writer, this.#stop.signal);
      await this.#writing;
      this.#stop.signal.throwIfAborted();
    } catch (error) {
      throwIfCancelled(signal);
      throw this.#stop.signal.aborted ? this.#stop.signal.reason : error;
    } finally {
      this.#writing = undefined;
      signal.removeEventListener("abort", onAbort);
    }
  }

  committed(snapshot: SnapshotInfo): void {
    if (this.#cleanUp === undefined) this.#parts.committed?.(snapshot);
  }

  release(): void {
    void this.close().catch(() => {});
  }

  /** Gives up what is running, and cleans up when nothing uses it any more. */
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
    return new SnapshotError("CLOSED", `The ${this.#what} was closed, or its save given up`);
  }
}
