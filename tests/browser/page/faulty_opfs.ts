// The real OPFS, of which operations fail, or with which everything ends.

import type { OpfsAccess, OpfsDirectory, OpfsFile, OpfsHandle, OpfsWritable } from "../../../src/opfs/mod.ts";

/** What happens to an operation: nothing; it fails; or the tab dies, before it, after it, or with half of it done. */
export type Fate = "passes" | "fails" | "dies before" | "dies after" | "dies halfway";

/** Says what happens to the next operation: what it is, and whether it changes anything. */
export type Oracle = (what: string, changes: boolean) => Fate;

/** A directory whose operations an oracle rules. */
export class FaultyOpfs {
  readonly #oracle: Oracle;
  readonly #open = new Set<OpfsWritable>();
  readonly #accesses = new Set<{ close(): void }>();
  #dead = false;

  constructor(oracle: Oracle) {
    this.#oracle = oracle;
  }

  /** Lets go what a tab that died had open, as the browser does. */
  async bury(): Promise<void> {
    for (const out of this.#open) await out.abort().catch(() => {});
    for (const access of this.#accesses) access.close();
  }

  async #step<T>(what: string, changes: boolean, verb: () => Promise<T>, half?: () => Promise<unknown>): Promise<T> {
    const fate = this.#fateOf(what, changes);
    if (fate === "passes") return await verb();
    if (fate === "dies after") await verb();
    if (fate === "dies halfway") await half?.();
    throw new DOMException("The tab is dead", "InvalidStateError");
  }

  #stepNow<T>(what: string, verb: () => T, half?: () => unknown): T {
    const fate = this.#fateOf(what, true);
    if (fate === "passes") return verb();
    if (fate === "dies after") verb();
    if (fate === "dies halfway") half?.();
    throw new DOMException("The tab is dead", "InvalidStateError");
  }

  /** What happens to an operation, unless it fails. */
  #fateOf(what: string, changes: boolean): Exclude<Fate, "fails"> {
    const fate = this.#dead ? "dies before" : this.#oracle(what, changes);
    if (fate.startsWith("dies")) this.#dead = true;
    if (fate !== "fails") return fate;
    throw changes
      ? new DOMException(`No room: ${what}`, "QuotaExceededError")
      : new DOMException(`Cannot be read: ${what}`, "NotReadableError");
  }

  directory(directory: OpfsDirectory): OpfsDirectory {
    const { name } = directory;
    const faulty: OpfsDirectory = {
      kind: "directory",
      name,
      isSameEntry: (other: OpfsHandle) => directory.isSameEntry(other),
      resolve: (below: OpfsHandle) => directory.resolve(below),
      getDirectoryHandle: async (child, options = {}) =>
        this.directory(
          await this.#step(`directory ${name}/${child}`, options.create === true, () =>
            directory.getDirectoryHandle(child, options)),
        ),
      getFileHandle: async (child, options = {}) =>
        this.#file(
          await this.#step(`file ${name}/${child}`, options.create === true, () =>
            directory.getFileHandle(child, options)),
        ),
      removeEntry: (child, options = {}) =>
        this.#step(
          `remove ${name}/${child}`,
          true,
          () => directory.removeEntry(child, options),
          () => removeHalf(directory, child),
        ),
      keys: () => this.#keys(directory),
    };
    return faulty;
  }

  async *#keys(directory: OpfsDirectory): AsyncGenerator<string> {
    yield* await this.#step(`list ${directory.name}`, false, () => Array.fromAsync(directory.keys()));
  }

  #file(file: OpfsFile): OpfsFile {
    const { name } = file;
    return {
      kind: "file",
      name,
      isSameEntry: (other: OpfsHandle) => file.isSameEntry(other),
      getFile: () => this.#step(`look at ${name}`, false, () => file.getFile()),
      createWritable: async () => {
        const out = await this.#step(`open ${name}`, true, async () => {
          const opened = await file.createWritable();
          this.#open.add(opened);
          return opened;
        });
        return {
          write: (bytes) =>
            this.#step(`write ${name}`, true, () => out.write(bytes), () => out.write(bytes.slice(bytes.length >> 1))),
          close: async () => {
            await this.#step(`close ${name}`, true, () => out.close());
            this.#open.delete(out);
          },
          abort: async () => {
            await out.abort();
            this.#open.delete(out);
          },
        };
      },
      ...(file.createSyncAccessHandle !== undefined && {
        createSyncAccessHandle: () =>
          this.#step(`sync ${name}`, true, async () => {
            const access = await file.createSyncAccessHandle!();
            this.#accesses.add(access); // closing it once more does nothing
            return this.#access(name, access);
          }),
      }),
    };
  }

  #access(name: string, access: OpfsAccess): OpfsAccess {
    return {
      getSize: () => access.getSize(),
      read: (buffer, at) => access.read(buffer, at),
      write: (bytes, { at }) =>
        this.#stepNow(
          `write ${name}`,
          () => access.write(bytes, { at }),
          () => access.write(bytes.subarray(0, bytes.length >> 1), { at }),
        ),
      truncate: (size) => this.#stepNow(`truncate ${name}`, () => access.truncate(size)),
      flush: () => this.#stepNow(`flush ${name}`, () => access.flush()),
      close: () => access.close(),
    };
  }
}

/** Removes one thing that is in a directory, and not the rest. */
async function removeHalf(directory: OpfsDirectory, name: string): Promise<void> {
  const inside = await directory.getDirectoryHandle(name).catch(() => undefined);
  if (inside === undefined) return;
  for await (const child of inside.keys()) return await inside.removeEntry(child, { recursive: true });
}
