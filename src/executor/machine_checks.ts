/**
 * The checks of what a state machine is and says: it may be foreign code, and the log goes for what it says it has.
 *
 * @module
 */

import { able, checkBoolean, checkIndex, checkOptions, type Checks, checkString, required } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import { type Applied, checkConfiguration, type DurablyApplied } from "../state/mod.ts";
import type { SavedUpTo, SaveTask, StateMachine } from "../state/mod.ts";

/** Checks for the methods of a machine; without some of them it would have too little, or too much, after a restart. */
export function checkMachine(value: unknown, what: string): void {
  able("a StateMachine", "apply", "save", "load")(value, what);
  const machine = value as StateMachine;
  if (machine.durable === undefined) return;
  for (const method of ["reconfigure", "check", "flush"] as const) {
    if (machine[method] !== undefined) continue;
    throw new SnapshotError("MALFORMED", `The machine has \`durable\`, and no \`${method}\`: it must have both`, {
      expected: method,
    });
  }
}

/** Checks what a machine says it has: a wrong index would have entries applied twice, or purged too early. */
export function checkDurable(durable: DurablyApplied): void {
  checkOptions<DurablyApplied>(durable, {
    index: required(checkIndex),
    term: required(checkIndex),
    configuration: checkConfiguration,
    group: checkString,
    synced: checkIndex,
    loaded: checkBoolean,
  }, "What the machine's durable gives");
  const { index, synced = 0n } = durable;
  if (synced > index) {
    throw new SnapshotError(
      "MALFORMED",
      `The machine says that it has entries up to ${index}, and up to ${synced} on its disk, which is more`,
      { index, expected: index, actual: synced },
    );
  }
}

/** Checks what a machine says it has against what was applied to it: the log may not go for what it does not have. */
export function checkApplied({ index, term }: DurablyApplied, applied: Applied): void {
  if (index < applied.index || index === applied.index && term === applied.term) return;
  throw new SnapshotError(
    "MALFORMED",
    `The machine says that it has entry ${index} of term ${term}, and entry ${applied.index} of term ${applied.term} ` +
      `is the last that was applied to it: the log is not purged for that`,
    { index, expected: applied.index, actual: index },
  );
}

/** Checks the task of the synchronous part of a save: a machine may be foreign code. */
export function checkTask(task: SaveTask | undefined): SaveTask | undefined {
  if (task !== undefined) able("a SaveTask", "write", "release")(task, "What the machine's save gives");
  return task;
}

/** The last entry that a saved state has, checked: a later one would let the log go with what the state lacks. */
export function savedBy(task: SaveTask | undefined, applied: Applied): Applied {
  const upTo = task?.upTo;
  if (upTo === undefined) return applied;
  const checks: Checks<SavedUpTo> = {
    index: required(checkIndex),
    term: required(checkIndex),
    configuration: checkConfiguration,
  };
  const { index, term, configuration = applied.configuration } = checkOptions(upTo, checks, "The task's upTo");
  const isPossible = index === applied.index ? term === applied.term : index < applied.index && term <= applied.term;
  if (isPossible && index > 0n) return { index, term, configuration };
  throw new SnapshotError(
    "MALFORMED",
    `The machine says that it saves its state up to entry ${index} of term ${term}, and entry ${applied.index} of term ` +
      `${applied.term} is the last that was applied to it`,
    { index, expected: applied.index, actual: index },
  );
}
