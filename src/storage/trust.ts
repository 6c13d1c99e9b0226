/**
 * Whose snapshots a storage takes in and uses: somebody else may write where they lie.
 *
 * A snapshot that is not trusted is left where it is, as one of another group is: it is neither listed nor opened,
 * counted, retired nor overwritten. It is looked at each time anew, since a verifier's keys may change.
 *
 * @module
 */

import { able, checkIndex } from "../checks.ts";
import { hasCode, messageOf, SnapshotError } from "../errors.ts";
import { type SnapshotManifest, type SnapshotVerifier, verifiedBy } from "../snapshot/mod.ts";

/**
 * Remembers the lowest index that is taken in or used, where nobody can lower it who can write to the storage.
 *
 * @category Storage
 */
export interface SnapshotFloor {
  /** The lowest index now; 0 at first. */
  get(): bigint | Promise<bigint>;
  /** Raises it; resolves when that is durable. A lower index changes nothing. */
  raise(index: bigint): Promise<void>;
}

/** Checks a floor. */
export function checkFloor(value: unknown, what: string): void {
  if (typeof value === "object") able("a SnapshotFloor", "get", "raise")(value, what);
  else checkIndex(value, what);
}

/** A snapshot that lies in a storage. */
export interface Lying {
  /** Where it lies; no other ever lies there. */
  readonly key: string;
  /** False if it is of another group: it says nothing of how far this one is. */
  readonly isOwn: boolean;
  /** Reads its manifest. */
  manifest(): SnapshotManifest | Promise<SnapshotManifest>;
}

/** The trust of a storage in its snapshots. */
export class StorageTrust {
  /** Says whose snapshots are trusted, if somebody has to. */
  readonly verifier: SnapshotVerifier | undefined;
  readonly #floor: bigint | SnapshotFloor;
  readonly #warn: (error: SnapshotError) => void;
  /** By key, what was found; nothing for those that are trusted. */
  readonly #found = new Map<string, SnapshotError | undefined>();

  /**
   * @param verifier says whose are trusted; all if absent
   * @param floor the lowest index that is taken in or used
   * @param warn is told once of each that is not trusted
   */
  constructor(
    verifier: SnapshotVerifier | undefined,
    floor: bigint | SnapshotFloor,
    warn: (error: SnapshotError) => void,
  ) {
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
    const floor = typeof this.#floor === "bigint" ? this.#floor : await this.#floor.get();
    if (manifest.index < floor) {
      const message = `Snapshot ${manifest.index} is below ${floor}, the lowest that is taken: it is an old one`;
      throw new SnapshotError("FORBIDDEN", message, { index: manifest.index, expected: floor });
    }
    await verifiedBy(this.verifier, manifest);
  }

  /** True if not every snapshot is trusted. */
  get isLimited(): boolean {
    return this.verifier !== undefined || this.#floor !== 0n;
  }

  /** Notes a snapshot that was checked, and lies there now. */
  add(key: string): void {
    this.#found.set(key, undefined);
  }

  /**
   * Looks at the snapshots that lie there.
   *
   * @param all those that can be listed
   * @param isWhole whether there are no others
   */
  async look(all: readonly Lying[], isWhole: boolean): Promise<void> {
    if (!this.isLimited) return;
    const before = [...this.#found.keys()];
    const own: bigint[] = [];
    const found: [string, SnapshotError | undefined][] = await Promise.all(all.map(async ({ key, isOwn, manifest }) => {
      try {
        const seen = await manifest();
        await this.check(seen);
        if (isOwn) own.push(seen.index);
        return [key, undefined];
      } catch (error) {
        return [key, this.#left(key, error)];
      }
    }));
    const here = new Set(all.map(({ key }) => key));
    for (const key of before) if (!here.has(key)) this.#found.delete(key);
    for (const [key, error] of found) this.#found.set(key, error);
    await this.kept(own, isWhole && !found.some(([, error]) => isDoubt(error)));
  }

  /** True if the floor rises. */
  get rises(): boolean {
    return typeof this.#floor === "object";
  }

  /**
   * Is told which trusted snapshots are kept: what was retired is an old one from now on. The oldest that is kept is
   * not, since the newest may go bad. Does not fail.
   *
   * @param indices their indices
   * @param areAll whether these are all. One that cannot be read now may be the oldest good one: below a floor that
   *   rose past it, it would be lost for good
   */
  async kept(indices: readonly bigint[], areAll: boolean): Promise<void> {
    if (typeof this.#floor === "bigint" || indices.length === 0 || !areAll) return;
    const index = indices.reduce((lowest, index) => index < lowest ? index : lowest);
    await this.#floor.raise(index).catch((error) => {
      const message = `The floor could not be raised to ${index}: ${messageOf(error)}`;
      this.#warn(new SnapshotError("UNAVAILABLE", message, { index, cause: error }));
    });
  }

  /** Returns the reason why a snapshot is not used, if it was looked at and is not trusted, or nobody can say. */
  refusal(key: string): SnapshotError | undefined {
    return this.#found.get(key);
  }

  /** Reports whether a snapshot is known not to be trusted; not so if it, or the verifier, could not be asked. */
  refuses(key: string): boolean {
    const error = this.#found.get(key);
    return error !== undefined && !isDoubt(error);
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

/** Reports whether a reason not to use a snapshot may be gone the next time. */
function isDoubt(error: SnapshotError | undefined): boolean {
  return error !== undefined && !hasCode(error, "FORBIDDEN", "CORRUPT");
}
