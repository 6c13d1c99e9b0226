/**
 * Replacing the state in a database by what snapshots have.
 *
 * @module
 */

import { raceAbort } from "../../async/mod.ts";
import type { SnapshotReader } from "../../snapshot/mod.ts";
import type { DeclaredStates } from "../declared.ts";
import { type Chain, type Expected, restore } from "../format/mod.ts";
import type { KeySpace } from "../key_space.ts";
import type { DurablyApplied } from "../machine.ts";
import { appliedBy } from "./applied_record.ts";
import { appliedChange, type StoredDatabase } from "./stored_database.ts";
import { groupChange } from "./stored_keys.ts";
import type { AnyStored } from "./stored_states.ts";
import { StoredLoader } from "./stored_view.ts";

/** The state that is replaced. */
export interface LoadTarget<K> {
  readonly database: StoredDatabase<K>;
  readonly space: KeySpace<K>;
  /** The states that are declared. */
  readonly states: DeclaredStates<AnyStored<K>>;
  /** What the files must be. */
  readonly expected: Expected;
  /** Cancels the load. */
  readonly stop: AbortSignal;
  /** Is told in the turn of the event loop in which the database changes over. */
  replaced(loaded: Loaded): void;
}

/** What was loaded. */
export interface Loaded {
  /** Up to which entry of a log the state goes, if the snapshots say so. */
  readonly applied: DurablyApplied | undefined;
  /** The files that a save can build upon, if one can. */
  readonly chain: Chain | undefined;
  /** The number of entries. */
  readonly entries: number;
}

/**
 * Fills the slot beside the state, and changes over by one write, which also says which entries the state has now, and
 * of which group it is. If it fails, everything is as it was.
 *
 * @param target what is replaced; nothing else may write to it meanwhile
 * @param readers the snapshots
 * @param group the group whose state it is then
 */
export async function loadStored<K>(
  target: LoadTarget<K>,
  readers: readonly SnapshotReader[],
  group: string | undefined,
): Promise<void> {
  const { database, space, states, expected, stop } = target;
  const { engine, slot: old } = database;
  const slot = old === 0 ? 1 : 0;
  await database.clear(slot); // what a load that failed, or a crash, left there
  const undeclared = states.undeclared();
  const loading = { engine, space, states, undeclared, slot } as const;
  const applied = appliedBy(readers);
  const loaders: StoredLoader<K>[] = [];
  let chain: Chain | undefined;
  try {
    const restored = restore(readers, expected, (head, isOnly) => {
      const loader = new StoredLoader(loading, head, isOnly);
      loaders.push(loader);
      return loader;
    });
    chain = await raceAbort(restored, stop); // what is read may be stalled
    undeclared.check();
    stop.throwIfAborted();
    const declared = [...states.values()].map(({ described }) => described);
    await database.describe(slot, declared, [appliedChange(applied), groupChange(group)], applied !== undefined);
  } catch (error) {
    for (const loader of loaders) await loader.stop();
    await database.clear(slot).catch(() => {}); // or else by the next load
    throw stop.aborted ? stop.reason : error;
  }
  database.slot = slot; // from here on that is the state
  database.group = group;
  for (const name of database.known.keys()) if (states.get(name) === undefined) database.known.delete(name);
  const entries = loaders.reduce((sum, loader) => sum + loader.entries, 0);
  // Upon files that have what was dropped nothing is built: it would come back with them.
  target.replaced({ applied, chain: undeclared.dropped ? undefined : chain, entries });
  await database.clear(old).catch(() => {}); // of no use any more; or else by the next load
}
