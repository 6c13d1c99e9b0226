/**
 * A pool that writes to many files through a few open ones.
 *
 * @module
 */

import type { MediumFile } from "./medium.ts";
import { PacedFile } from "./paced_file.ts";

/** Files kept open at the same time, beside those in use. */
const MAX_IDLE = 16;

/** An open file of the pool. */
interface Handle {
  readonly file: Promise<PacedFile>;
  users: number;
  /** Called when it has no user any more. */
  onIdle?: () => void;
}

/** Opens files when they are written to, and makes them durable when they are complete. */
export class HandlePool {
  readonly #open: (name: string) => Promise<MediumFile>;
  /** In the order in which they were last used. */
  readonly #handles = new Map<string, Handle>();
  readonly #durable = new Set<string>();

  /** @param open opens a file to be written to */
  constructor(open: (name: string) => Promise<MediumFile>) {
    this.#open = open;
  }

  /**
   * Runs `verb` on a file, which is opened if it is not open. If it says that the file is complete, the file is made
   * durable, and closed unless somebody else is using it.
   */
  async use(name: string, verb: (file: PacedFile) => Promise<boolean>): Promise<void> {
    const handle: Handle = this.#handles.get(name) ?? {
      file: this.#open(name).then((file) => new PacedFile(file)),
      users: 0,
    };
    this.#handles.delete(name);
    this.#handles.set(name, handle);
    this.#durable.delete(name);
    handle.users++;
    let isComplete = false;
    try {
      const file = await handle.file;
      isComplete = await verb(file);
      if (isComplete) await file.sync();
    } catch (error) {
      await handle.file.catch(() => this.#handles.delete(name));
      throw error;
    } finally {
      if (--handle.users === 0) handle.onIdle?.();
      if (!isComplete) await this.#shrink();
    }
    if (!isComplete || handle.users > 0 || this.#handles.get(name) !== handle) return;
    this.#durable.add(name);
    await this.#close(name);
  }

  /** Makes a file durable and closes it, if nobody else is using it. */
  async finish(name: string): Promise<void> {
    if (!this.#durable.has(name)) await this.use(name, () => Promise.resolve(true));
  }

  /** Reports whether a file could not be made durable; such a file is closed, to be written anew. */
  async discardBroken(name: string): Promise<boolean> {
    const handle = this.#handles.get(name);
    if (handle === undefined || !(await handle.file).broken) return false;
    await this.#close(name);
    return true;
  }

  /** Closes all files, durable or not. */
  async close(): Promise<void> {
    for (const name of [...this.#handles.keys()]) await this.#close(name);
  }

  async #shrink(): Promise<void> {
    for (const [name, handle] of this.#handles) {
      if (this.#handles.size <= MAX_IDLE) return;
      if (handle.users > 0) continue;
      handle.users++;
      try {
        await (await handle.file).sync(); // an error of its background sync would be lost when it is closed
      } catch {
        continue; // its next use fails with this error
      } finally {
        if (--handle.users === 0) handle.onIdle?.();
      }
      if (handle.users === 0) await this.#close(name);
    }
  }

  async #close(name: string): Promise<void> {
    const handle = this.#handles.get(name);
    this.#handles.delete(name);
    if (handle === undefined) return;
    // The number of a closed file may be given to another file while a write to it is still running.
    if (handle.users > 0) await new Promise<void>((resolve) => handle.onIdle = resolve);
    await (await handle.file).close();
  }
}
