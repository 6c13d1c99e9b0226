/**
 * A save of a state in a database.
 *
 * @module
 */

import { type DescribedState, saveChain } from "../format/mod.ts";
import type { SaveParts } from "../save_tasks.ts";
import { overlaid, Overlay } from "./overlay.ts";
import type { SavedChanges } from "./saved_changes.ts";
import type { StoredDatabase } from "./stored_database.ts";
import { StoredView } from "./stored_view.ts";

/** The state that is saved. */
export interface Saved<K> {
  readonly database: StoredDatabase<K>;
  /** The changes that are not in the database yet, the newest first. */
  readonly unwritten: readonly Overlay[];
  readonly saved: SavedChanges;
  readonly states: DescribedState[];
  /** The name of the file. */
  readonly name: string;
  /** Called when the save has ended. */
  ended(): void;
}

/** Takes a view of the database and of what is not in it yet. Returns the rest of the save. */
export function saveStored<K>({ database, unwritten, saved, states, name, ended }: Saved<K>): SaveParts {
  const { engine, slot, known } = database;
  const newest = new Overlay();
  for (const layer of [...unwritten].reverse()) newest.addAll(layer);
  const taken = engine.view();
  const view = { ...overlaid(taken, [newest]), close: () => taken.close() };
  const basis = saved.begin();
  const { changed, entries } = basis;
  const viewed = { head: database.head(states), view, slot, known: new Set(known.keys()), changed, entries };
  return {
    write: async (writer, signal) => {
      const view = new StoredView(viewed);
      const chain = await saveChain(writer, name, view, basis.chain, saved.options ?? {}, signal);
      basis.wrote(chain, view.written > 0 ? view.written : entries);
    },
    committed: () => basis.committed(),
    cleanUp: async () => {
      basis.ended();
      ended();
      await view.close();
    },
  };
}
