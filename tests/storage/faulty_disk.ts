// A disk that fails at a chosen operation: once, from then on (the process crashed), or from then on and with the loss
// of all that was not synced (the power failed). Or at those that are chosen by what they do.

import { readdir, rename, rm, truncate } from "node:fs/promises";
import { dirname } from "node:path";
import { SnapshotError, type SnapshotErrorCode } from "../../mod.ts";
import { defaultDisk, type Disk, type DiskEntry, type DiskFile, type DiskStat } from "../../src/storage/directory.ts";

/** How it fails. */
export type Fault = "once" | "crash" | "power";

const CODES: readonly SnapshotErrorCode[] = ["NO_SPACE", "UNAVAILABLE", "FORBIDDEN"];

/** A change of the names in a directory that was not made durable, and how it is undone. */
interface Unsynced {
  directory: string;
  from?: string;
  to: string;
}

export class FaultyDisk implements Disk {
  readonly #disk = defaultDisk();
  readonly #fault: Fault;
  readonly #at: number;
  readonly #chosen: (what: string) => boolean;
  #done = 0;
  #names: Unsynced[] = [];
  /** How much of each file is durable. */
  #sizes = new Map<string, number>();
  readonly #unlocks: (() => Promise<void>)[] = [];
  readonly #open = new Set<DiskFile>();
  /** What failed, if something did by now. */
  failed: string | undefined;

  /** @param at which operation fails, from 1; or says so of each, by a verb and a path */
  constructor(fault: Fault, at: number | ((what: string) => boolean)) {
    this.#fault = fault;
    this.#at = typeof at === "number" ? at : Infinity;
    this.#chosen = typeof at === "number" ? () => false : at;
  }

  /** What the end of the process does: files are closed, locks given back; and of the power: see above. */
  async end(): Promise<void> {
    this.#done = Math.max(this.#done, this.#at);
    if (this.#fault === "once") return;
    for (const file of this.#open) await file.close().catch(() => {});
    for (const unlock of this.#unlocks) await unlock();
    if (this.#fault !== "power" || this.failed === undefined) return;
    for (const [path, size] of this.#sizes) await truncate(path, size).catch(() => {});
    for (const { from, to } of this.#names.reverse()) {
      if (from === undefined) await rm(to, { recursive: true, force: true });
      else await rename(to, from).then(() => this.#moved(to, from)).catch(() => {}); // it was removed since
    }
  }

  async #step<T>(what: string, verb: () => Promise<T>, half?: () => Promise<unknown>): Promise<T> {
    const n = ++this.#done;
    if (this.#chosen(what)) {
      await half?.();
      throw new SnapshotError("UNAVAILABLE", `EIO: ${what}`);
    }
    if (n < this.#at || this.#fault === "once" && n > this.#at) return await verb();
    if (n === this.#at) {
      this.failed = what;
      await half?.();
    }
    const code = this.#fault === "once" ? CODES[n % CODES.length]! : "UNAVAILABLE";
    throw new SnapshotError(code, `Operation ${n} fails: ${what}`);
  }

  async open(path: string, mode: "read" | "create" | "update"): Promise<DiskFile> {
    const file = await this.#step(`${mode} ${path}`, () => this.#disk.open(path, mode));
    this.#open.add(file);
    if (mode === "create") {
      this.#names.push({ directory: dirname(path), to: path });
      this.#sizes.set(path, 0);
    }
    return {
      read: (buffer, at) => this.#step(`read ${path}`, () => file.read(buffer, at)),
      write: (bytes, at) =>
        this.#step(
          `write ${path}`,
          () => file.write(bytes, at),
          () => file.write(bytes.subarray(0, bytes.length >> 1), at),
        ),
      sync: () =>
        this.#step(`sync ${path}`, async () => {
          await file.sync();
          this.#sizes.delete(path);
        }),
      size: () => this.#step(`size ${path}`, () => file.size()),
      close: () =>
        this.#step(`close ${path}`, () => {
          this.#open.delete(file);
          return file.close();
        }, async () => {
          this.#open.delete(file);
          await file.close(); // as on Linux: it is closed even if that failed
        }),
    };
  }

  stat(path: string): Promise<DiskStat | undefined> {
    return this.#step(`stat ${path}`, () => this.#disk.stat(path));
  }

  list(path: string): Promise<DiskEntry[]> {
    return this.#step(`list ${path}`, () => this.#disk.list(path));
  }

  async makeDirectory(path: string): Promise<void> {
    const isNew = await this.#disk.stat(path) === undefined;
    await this.#step(`make ${path}`, () => this.#disk.makeDirectory(path));
    if (isNew) this.#names.push({ directory: dirname(path), to: path });
  }

  rename(from: string, to: string): Promise<void> {
    return this.#step(`rename ${from}`, async () => {
      await this.#disk.rename(from, to);
      this.#moved(from, to);
      this.#names.push({ directory: dirname(to), from, to });
    });
  }

  link(from: string, to: string): Promise<boolean> {
    return this.#step(`link ${from}`, async () => {
      const linked = await this.#disk.link(from, to);
      if (linked) this.#names.push({ directory: dirname(to), to });
      return linked;
    });
  }

  remove(path: string): Promise<void> {
    return this.#step(`remove ${path}`, () => this.#disk.remove(path), async () => {
      // Half of what is in it is gone.
      const names = await readdir(path).catch(() => []);
      for (const name of names.slice(0, (names.length + 1) >> 1)) await this.#disk.remove(`${path}/${name}`);
    });
  }

  syncDirectory(path: string): Promise<void> {
    return this.#step(`sync ${path}`, async () => {
      await this.#disk.syncDirectory(path);
      this.#names = this.#names.filter(({ directory }) => directory !== path);
    });
  }

  async lock(path: string): Promise<() => Promise<void>> {
    const unlock = await this.#disk.lock(path);
    this.#unlocks.push(unlock);
    return async () => {
      this.#unlocks.splice(this.#unlocks.indexOf(unlock), 1);
      await unlock();
    };
  }

  /** What is known of paths below `from` holds for those below `to` now. */
  #moved(from: string, to: string): void {
    const move = (path: string) => path === from || path.startsWith(`${from}/`) ? to + path.slice(from.length) : path;
    this.#sizes = new Map([...this.#sizes].map(([path, size]) => [move(path), size]));
    for (const name of this.#names) {
      name.directory = move(name.directory);
      name.to = move(name.to);
      if (name.from !== undefined) name.from = move(name.from);
    }
  }
}
