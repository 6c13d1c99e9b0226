// All that a crash may leave on a disk. After a power failure what was synced is there; of what was not, any part may be:
// any blocks of a file, with or without its new size; any names of a directory, whatever came before or after them.
//
// A journal is gone through once: at each of its entries, what is durable by then is the base, and what is not is chosen
// from. With few of those all choices are made, with many those that tend to hurt and some at random.

import { applied, type Effect, type Image } from "./image.ts";
import type { JournalEntry } from "./simulated_disk.ts";
import type { Random } from "../support/random.ts";

/** What a crash left. */
export interface CrashState<M> {
  /** Before which entry of the journal it crashed. */
  readonly at: number;
  /** Which of the changes that were not durable are there, as bits in the order of the journal, for a replay. */
  readonly chosen: string;
  /** What was promised until then. */
  readonly marks: readonly M[];
  /** The disk. */
  readonly image: Image;
}

/** How many of the states there are is looked at. */
export interface Bounds {
  /** With so many changes that may be lost, or fewer, all subsets. */
  readonly all: number;
  /** With more, beside those that tend to hurt, so many at random. */
  readonly random: number;
}

/** A state whose disk is made when it is asked for: of fifty states one is looked at. */
class ChosenState<M> implements CrashState<M> {
  readonly at: number;
  readonly #choice: readonly boolean[];
  readonly #marks: readonly M[];
  readonly #promised: number;
  readonly #base: Image;
  readonly #effects: readonly Effect[];

  /** @param marks what is promised; more may be added to it later */
  constructor(at: number, choice: readonly boolean[], marks: readonly M[], base: Image, effects: readonly Effect[]) {
    this.at = at;
    this.#choice = choice;
    this.#marks = marks;
    this.#promised = marks.length;
    this.#base = base;
    this.#effects = effects;
  }

  get chosen(): string {
    return this.#choice.map((is) => is ? "1" : "0").join("");
  }

  get marks(): readonly M[] {
    return this.#marks.slice(0, this.#promised);
  }

  get image(): Image {
    return applied(this.#base, this.#effects);
  }
}

/** Numbers of changes: all below one, and some above it. */
class Numbers {
  #below = 0;
  readonly #above = new Set<number>();

  add(number: number): void {
    this.#above.add(number);
    while (this.#above.delete(this.#below)) this.#below++;
  }

  /** Names these and some more. */
  with(more: readonly number[]): string {
    const above = new Set(this.#above).union(new Set(more));
    let below = this.#below;
    while (above.delete(below)) below++;
    return `${below} ${[...above].sort((a, b) => a - b).join()}`;
  }
}

/** A change that may be lost: its number among all, and whether a failed sync gave it up. */
interface Pending {
  readonly number: number;
  readonly effect: Effect;
  lost: boolean;
}

/**
 * The different states in which a crash may leave a disk.
 *
 * @param base what was durable at the beginning
 * @param journal what happened then
 * @param random for what is chosen at random
 * @param bounds see {@linkcode Bounds}
 * @param from the first entry of the journal before which it may crash
 */
export function* crashStates<M>(
  base: Image,
  journal: readonly JournalEntry<M>[],
  random: Random,
  bounds: Bounds,
  from: number = 0,
): Generator<CrashState<M>, void, undefined> {
  const marks: M[] = [];
  const durableNumbers = new Numbers();
  let durable = base;
  let pending: Pending[] = [];
  let count = 0;
  const seen = new Set<string>();
  for (let at = 0; at <= journal.length; at++) {
    for (const choice of at < from ? [] : choices(pending.length, random, bounds)) {
      close(choice, pending);
      const chosen = pending.filter((_, i) => choice[i]);
      // Two ways to the same disk with the same promises are one state.
      const key = `${marks.length} ${durableNumbers.with(chosen.map(({ number }) => number))}`;
      if (seen.has(key)) continue;
      seen.add(key);
      yield new ChosenState(at, choice, marks, durable, chosen.map(({ effect }) => effect));
    }
    const entry = journal[at];
    if (entry?.kind === "mark") marks.push(entry.mark);
    else if (entry?.kind === "effect") {
      // A file or directory that no durable name leads to harms nobody: only its name may be lost, and what is in it.
      if (entry.effect.kind === "new") durable = applied(durable, [entry.effect]);
      else pending.push({ number: count++, effect: entry.effect, lost: false });
    } else if (entry?.kind === "lost") {
      for (const it of pending) if (it.effect.node === entry.node) it.lost = true;
    } else if (entry !== undefined) {
      // A rename between two directories is durable as a whole with either of them: a journal has it as one change.
      const isOf = ({ effect }: Pending) =>
        effect.node === entry.node || effect.kind === "names" && effect.from?.node === entry.node;
      const moves = pending.filter(isOf);
      const now = pending.filter((it) => !it.lost && (isOf(it) || moves.some((move) => isMovedBy(move, it))));
      durable = applied(durable, now.map(({ effect }) => effect));
      for (const { number } of now) durableNumbers.add(number);
      // What is durable now is not undone by what was lost before it.
      const isOver = (it: Pending) => now.includes(it) || it.lost && now.some((other) => covers(other, it));
      pending = pending.filter((it) => !isOver(it));
    }
  }
}

/** A name that was moved on has been there: what a rename takes away, another put there before. */
function close(choice: boolean[], pending: readonly Pending[]): void {
  for (let i = pending.length - 1; i >= 0; i--) {
    const { effect } = pending[i]!;
    if (!choice[i] || effect.kind !== "names") continue;
    for (let j = 0; j < i; j++) choice[j] ||= isMovedBy(pending[i]!, pending[j]!);
    const moved = [...effect.names.values()].find((node) => node !== undefined);
    for (const [name, node] of effect.names) {
      if (node !== undefined || moved === undefined) continue;
      for (let j = 0; j < i; j++) {
        const earlier = pending[j]!.effect;
        if (earlier.kind === "names" && earlier.node === effect.node && earlier.names.get(name) === moved) {
          choice[j] = true;
        }
      }
    }
  }
}

/** Whether a change put something under the name from which a later one takes it into another directory. */
function isMovedBy(later: Pending, earlier: Pending): boolean {
  const [move, put] = [later.effect, earlier.effect];
  return later.number > earlier.number && move.kind === "names" && move.from !== undefined && put.kind === "names" &&
    put.node === move.from.node && put.names.has(move.from.name);
}

/** Whether a later change writes where an earlier one did. */
function covers(later: Pending, earlier: Pending): boolean {
  const [a, b] = [later.effect, earlier.effect];
  return later.number > earlier.number && a.node === b.node && a.kind === "block" && b.kind === "block" &&
    a.at === b.at;
}

/** Which of so many changes are there. */
function* choices(count: number, random: Random, bounds: Bounds): Generator<boolean[], void, undefined> {
  const choose = (is: (i: number) => boolean) => Array.from({ length: count }, (_, i) => is(i));
  if (count <= bounds.all) {
    for (let bits = 0; bits < 2 ** count; bits++) yield choose((i) => (bits >> i & 1) === 1);
    return;
  }
  for (let k = 0; k <= count; k++) yield choose((i) => i < k); // as if they had been made in order
  for (let k = 0; k < count; k++) {
    yield choose((i) => i >= k);
    yield choose((i) => i === k);
    yield choose((i) => i !== k);
  }
  for (let k = 0; k < bounds.random; k++) {
    const share = random.next();
    yield choose(() => random.chance(share));
  }
}
