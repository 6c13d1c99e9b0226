// The real disk, of which some operations fail. (What a crash leaves: tests/crash.)

import { SnapshotError } from "../../mod.ts";
import {
  defaultDisk,
  type Disk,
  type DiskEntry,
  type DiskFile,
  type DiskLock,
  type DiskStat,
} from "../../src/fs/mod.ts";

export class FaultyDisk implements Disk {
  readonly #disk = defaultDisk();
  readonly #fails: (what: string) => boolean;

  /** @param fails whether an operation fails: a verb and a path */
  constructor(fails: (what: string) => boolean) {
    this.#fails = fails;
  }

  async #step<T>(what: string, verb: () => Promise<T>, half?: () => Promise<unknown>): Promise<T> {
    if (!this.#fails(what)) return await verb();
    await half?.();
    throw new SnapshotError("UNAVAILABLE", `EIO: ${what}`);
  }

  async open(path: string, mode: "read" | "create" | "update"): Promise<DiskFile> {
    const file = await this.#step(`${mode} ${path}`, () => this.#disk.open(path, mode));
    return {
      read: (buffer, at) => this.#step(`read ${path}`, () => file.read(buffer, at)),
      write: (bytes, at) =>
        this.#step(
          `write ${path}`,
          () => file.write(bytes, at),
          () => file.write(bytes.subarray(0, bytes.length >> 1), at),
        ),
      sync: () => this.#step(`sync ${path}`, () => file.sync()),
      size: () => this.#step(`size ${path}`, () => file.size()),
      // As on Linux: it is closed even if that fails.
      close: () => this.#step(`close ${path}`, () => file.close(), () => file.close()),
    };
  }

  stat(path: string): Promise<DiskStat | undefined> {
    return this.#step(`stat ${path}`, () => this.#disk.stat(path));
  }

  list(path: string): Promise<DiskEntry[]> {
    return this.#step(`list ${path}`, () => this.#disk.list(path));
  }

  makeDirectory(path: string): Promise<void> {
    return this.#step(`make ${path}`, () => this.#disk.makeDirectory(path));
  }

  rename(from: string, to: string): Promise<void> {
    return this.#step(`rename ${from}`, () => this.#disk.rename(from, to));
  }

  link(from: string, to: string): Promise<boolean> {
    return this.#step(`link ${from}`, () => this.#disk.link(from, to));
  }

  remove(path: string): Promise<void> {
    return this.#step(`remove ${path}`, () => this.#disk.remove(path));
  }

  syncDirectory(path: string): Promise<void> {
    return this.#step(`sync ${path}`, () => this.#disk.syncDirectory(path));
  }

  lock(path: string): Promise<DiskLock> {
    return this.#disk.lock(path);
  }
}
