/**
 * Names of files that differ, and may be the same on a file system.
 *
 * @module
 */

import { dirname, join } from "@std/path";
import { hasCode, SnapshotError } from "../../errors.ts";
import { similarNames } from "../../snapshot/mod.ts";
import { trashDirectory } from "../layout.ts";
import type { DirectoryRoot } from "./root.ts";

/** The number of kinds of similar names that are remembered. */
const MAX_KINDS = 1000;

/** The names that a file system takes for the same. */
export class MergedNames {
  readonly #root: DirectoryRoot;
  /** By kind of difference: whether this file system takes names that differ only so for the same. */
  readonly #merges = new Map<string, boolean>();

  /** @param root a directory on that file system */
  constructor(root: DirectoryRoot) {
    this.#root = root;
  }

  /**
   * Fails if this file system takes two names for the same: it makes the one and looks for the other. One pair of names
   * that differ in case, or in Unicode composition, stands for all such pairs.
   *
   * @throws {SnapshotError} `UNSUPPORTED`
   */
  async check(names: readonly string[]): Promise<void> {
    for (const [one, other] of similarNames(names)) {
      const kind = one.normalize("NFC") === other.normalize("NFC")
        ? "composed"
        : asciiLower(one) === asciiLower(other)
        ? "case"
        : `${one}\0${other}`;
      const merges = this.#merges.get(kind) ?? await this.#isMerged(one, other);
      if (this.#merges.size < MAX_KINDS) this.#merges.set(kind, merges);
      if (merges) throw this.#merged(other, JSON.stringify(one));
    }
  }

  async #isMerged(one: string, other: string): Promise<boolean> {
    const { disk } = this.#root;
    await this.#root.checkOwned();
    const probe = this.#root.at(trashDirectory()); // swept at the next opening if this process is killed
    try {
      await disk.makeDirectory(dirname(join(probe, one)));
      await (await disk.open(join(probe, one), "create")).close();
      return await disk.stat(join(probe, other)) !== undefined;
    } finally {
      await disk.remove(probe).catch(() => {});
    }
  }

  /**
   * Makes a new file. If the disk reports it as existing but does not list its name, it is another file's.
   *
   * @param path its path
   * @param name its name in the snapshot
   */
  async checkMade<T>(path: string, name: string, making: Promise<T>): Promise<T> {
    try {
      return await making;
    } catch (error) {
      if (!hasCode(error, "BUSY")) throw error;
      const last = name.slice(name.lastIndexOf("/") + 1);
      const listed = await this.#root.disk.list(dirname(path)).catch(() => undefined);
      if (listed === undefined || listed.some((entry) => entry.name === last)) throw error;
      throw this.#merged(name, "another file", error);
    }
  }

  #merged(name: string, other: string, cause?: unknown): SnapshotError {
    return new SnapshotError(
      "UNSUPPORTED",
      `${JSON.stringify(name)} and ${other} of the snapshot have the same name on the file system of ` +
        `${this.#root.path}, which does not tell them apart: use another one, or other names`,
      { file: name, cause },
    );
  }
}

function asciiLower(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}
