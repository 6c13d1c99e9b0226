// A machine whose state is in a database, and what it must have after which commands: nothing that is applied twice, left out
// or in another order looks the same.

import {
  type DurablyApplied,
  jsonCodec,
  KeyedState,
  type KeyedStateOptions,
  type StateMachine,
  StoredState,
  stringKeys,
  utf8Codec,
} from "../../mod.ts";
import type { Engine } from "../../src/extend.ts";

/** A machine that counts words, and remembers them by length in the order in which they came. */
export interface Words {
  readonly state: StoredState<string>;
  readonly machine: StateMachine;
  /** What it has. */
  content(): Promise<string>;
}

/** Opens the machine that is in a database. */
export async function openWords(
  engine: Engine,
  options: Partial<KeyedStateOptions<string>> = {},
): Promise<Words> {
  const state = await StoredState.open(engine, { ...options, keys: stringKeys() });
  const states = statesOf(state);
  const machine = state.machine(async ({ data }) => await say(states, new TextDecoder().decode(data)));
  return { state, machine, content: () => contentOf(states) };
}

/** A word as a command. */
export function command(word: string): Uint8Array {
  return new TextEncoder().encode(word);
}

/** What the machine must have after commands. */
export async function contentAfter(words: Iterable<string>): Promise<string> {
  const states = statesOf(new KeyedState({ keys: stringKeys() }));
  for (const word of words) await say(states, word);
  return await contentOf(states);
}

/** The state after commands, in memory: to be saved as a snapshot of another node. */
export async function stateAfter(words: Iterable<string>): Promise<KeyedState<string>> {
  const state = new KeyedState({ keys: stringKeys() });
  const states = statesOf(state);
  for (const word of words) await say(states, word);
  return state;
}

function statesOf(state: StoredState<string> | KeyedState<string>) {
  return {
    counts: state.value("counts", jsonCodec<number>()),
    said: state.list("said", utf8Codec()),
    ends: state.map("ends", stringKeys(), utf8Codec()),
  };
}

/** Reads what it has just changed, as `apply` may. */
async function say({ counts, said, ends }: ReturnType<typeof statesOf>, word: string): Promise<void> {
  const count = await counts.get(word) ?? 0;
  await counts.set(word, count + 1);
  if (await counts.get(word) !== count + 1) throw new Error("It does not read what it has written");
  const length = `${word.length}`;
  if (count % 5 === 4) await said.delete(length);
  await said.add(length, `${word} ${count}`);
  const last = (await said.get(length)).at(-1)!;
  await ends.delete(length, word.slice(0, 1));
  await ends.set(length, word.slice(-1), last);
}

async function contentOf({ counts, said, ends }: ReturnType<typeof statesOf>): Promise<string> {
  const found: string[] = [];
  const lengths = new Set<string>();
  for await (const [word, count] of counts.entries()) {
    found.push(`${word}=${count}`);
    lengths.add(`${word.length}`);
  }
  for await (const [length, items] of said.entries()) found.push(`${length}: ${items.join()}`);
  for (const length of lengths) {
    for await (const [end, last] of ends.entries(length)) found.push(`${length} ${end}: ${last}`);
  }
  return found.sort().join("; ");
}

/** What a state says by `durable`, in short. */
export function described(durable: DurablyApplied | undefined): string {
  if (durable === undefined) return "not known";
  const { index, term, configuration, loaded = false } = durable;
  return `${index}/${term}${configuration ? ` of ${configuration.peers.join()}` : ""}${loaded ? ", loaded" : ""}`;
}
