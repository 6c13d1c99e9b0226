/**
 * Whose snapshots a storage takes in and uses: somebody else may write where they lie.
 *
 * A snapshot that is not trusted is left where it is, as one of another group is: it is neither listed nor opened,
 * counted, retired nor overwritten. It is looked at each time anew, since a verifier's keys may change.
 *
 * @module
 */

import { hasCode, messageOf, SnapshotError } from "../errors.ts";
import type { SnapshotManifest, SnapshotVerifier } from "../snapshot/mod.ts";

/** A snapshot that lies in a storage. */
export interface Lying {
  /** Where it lies; no other ever lies there. */
  readonly key: string;
  /** Reads its manifest. */
  manifest(): SnapshotManifest | Promise<SnapshotManifest>;
}

/** The trust of a storage in its snapshots. */
export class StorageTrust {
  /** Says whose snapshots are trusted, if somebody has to. */
  readonly verifier: SnapshotVerifier | undefined;
  readonly #floor: bigint;
  readonly #warn: (error: SnapshotError) => void;
  /** By key, what was found; nothing for those that are trusted. */
  readonly #found = new Map<string, SnapshotError | undefined>();

  /**
   * @param verifier says whose are trusted; all if absent
   * @param floor the lowest index that is taken in or used
   * @param warn is told once of each that is not trusted
   */
  constructor(verifier: SnapshotVerifier | undefined, floor: bigint, warn: (error: SnapshotError) => void) {
    this.verifier = verifier;
    this.#floor = floor;
    this.#warn = warn;
  }

  /**
   * Checks a snapshot that is to be taken in, or restored.
   *
   * @throws {SnapshotError} `FORBIDDEN` if it is not trusted, or below the floor; `CORRUPT` if its signature is wrong
   */
  async check(manifest: SnapshotManifest): Promise<void> {
    if (manifest.index < this.#floor) {
      const message = `Snapshot ${manifest.index} is below ${this.#floor}, the lowest that is taken: it is an old one`;
      throw new SnapshotError("FORBIDDEN", message, { index: manifest.index, expected: this.#floor });
    }
    await this.verifier?.verify(manifest);
  }

  /** True if not every snapshot is trusted. */
  get isLimited(): boolean {
    return this.verifier !== undefined || this.#floor !== 0n;
  }

  /** Notes a snapshot that was checked, and lies there now. */
  add(key: string): void {
    this.#found.set(key, undefined);
  }

  /** Looks at all snapshots that lie there. */
  async look(all: readonly Lying[]): Promise<void> {
    if (!this.isLimited) return;
    const before = [...this.#found.keys()];
    const found: [string, SnapshotError | undefined][] = await Promise.all(all.map(async ({ key, manifest }) => {
      try {
        await this.check(await manifest());
        return [key, undefined];
      } catch (error) {
        return [key, this.#left(key, error)];
      }
    }));
    const here = new Set(all.map(({ key }) => key));
    for (const key of before) if (!here.has(key)) this.#found.delete(key);
    for (const [key, error] of found) this.#found.set(key, error);
  }

  /** Returns the reason why a snapshot is not used, if it was looked at and is not trusted, or nobody can say. */
  refusal(key: string): SnapshotError | undefined {
    return this.#found.get(key);
  }

  /** Reports whether a snapshot is known not to be trusted; not so if it, or the verifier, could not be asked. */
  refuses(key: string): boolean {
    return hasCode(this.#found.get(key), "FORBIDDEN", "CORRUPT");
  }

  /** Reports whether a snapshot is trusted: what was not looked at is not, if it has to be. */
  has(key: string): boolean {
    if (!this.isLimited) return true;
    return this.#found.has(key) && this.#found.get(key) === undefined;
  }

  #left(key: string, error: unknown): SnapshotError {
    const known = this.#found.get(key);
    const { code, fields } = error instanceof SnapshotError ? error : { code: "UNAVAILABLE" as const, fields: {} };
    const message = `${messageOf(error)}. The snapshot is left where it is, and not used`;
    const left = new SnapshotError(code, message, { ...fields, cause: error });
    if (known?.message !== left.message) this.#warn(left);
    return left;
  }
}
