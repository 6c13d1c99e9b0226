/**
 * What incremental saves of a state in a database build upon.
 *
 * @module
 */

import { textOfBytes } from "../../stream/mod.ts";
import type { Chain, IncrementalOptions } from "../format/mod.ts";
import { ChangedKeys } from "./changed_keys.ts";
import type { StateChange } from "./overlay.ts";

/** A committed snapshot. */
interface Committed {
  readonly chain: Chain;
  /** The approximate number of its entries. */
  readonly entries: number;
}

/** What one save builds upon, and its outcome. */
export interface SaveBasis {
  /** The committed snapshot, if it can be built upon. */
  readonly chain: Chain | undefined;
  /** The approximate number of its entries. */
  readonly entries: number;
  /** The keys that changed since then; nothing if every save is a full one. */
  readonly changed: ChangedKeys | undefined;
  /** Notes what was written. */
  wrote(chain: Chain, entries: number): void;
  /** What was written is a snapshot now. */
  committed(): void;
  /** The save has ended: the next one has to write the changes again if they were not committed. */
  ended(): void;
}

/** The committed snapshot that the next save can be built upon, and the keys that have changed since. */
export class SavedChanges {
  /** How incremental saves are made; nothing if every save is a full one. */
  readonly options: IncrementalOptions | undefined;
  #committed: Committed | undefined;
  #changed: ChangedKeys | undefined;
  /** Another one after each load: a save that was begun before does not count any more. */
  #state = {};

  /** @param options how incremental saves are made, if they are */
  constructor(options: IncrementalOptions | undefined) {
    this.options = options;
  }

  /** Notes what has changed; returns the keys that it was added to. */
  note(changes: readonly StateChange[]): ChangedKeys | undefined {
    const changed = this.#changed;
    if (changed !== undefined) {
      for (const { keyGroup, state, entryKey } of changes) changed.add(keyGroup, state, textOfBytes(entryKey));
    }
    return changed;
  }

  /**
   * Notes what has been written: a save that was begun during the write may or may not have seen it, so the next one
   * has to write it as well.
   *
   * @param noted what {@linkcode note} gave before the write
   */
  noteWritten(changes: readonly StateChange[], noted: ChangedKeys | undefined): void {
    if (this.#changed !== noted) this.note(changes);
  }

  /** Begins a save of all that was noted. */
  begin(): SaveBasis {
    const [committed, changed, state] = [this.#committed, this.#changed, this.#state];
    if (this.options !== undefined) this.#changed = new ChangedKeys();
    let saved: Committed | undefined;
    const isCurrent = () => this.#committed === committed && this.#state === state;
    return {
      chain: committed?.chain,
      entries: committed?.entries ?? 0,
      changed,
      wrote: (chain, entries) => saved = { chain, entries },
      committed: () => {
        if (this.options !== undefined && isCurrent()) this.#committed = saved;
      },
      ended: () => {
        if (this.#committed !== saved && isCurrent() && changed !== undefined) this.#changed?.addAll(changed);
      },
    };
  }

  /**
   * All was replaced by what a snapshot has.
   *
   * @param chain the files of that snapshot, if the next save can be built upon them
   * @param entries the number of its entries
   */
  replaced(chain: Chain | undefined, entries: number): void {
    this.#state = {};
    this.#committed = this.options && chain && { chain, entries };
    this.#changed = this.#committed && new ChangedKeys();
  }
}
