/**
 * What is between a state in a database and a file: walking over a view when it is saved, and filling a slot when it is
 * loaded.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import { concat, equal } from "../stream/mod.ts";
import type { Block } from "./block.ts";
import type { StateView } from "./chain.ts";
import { bytesOfText, type ChangedKeys } from "./changed_keys.ts";
import { bytesCodec } from "./codec.ts";
import { type Change, type Engine, type EngineView, WRITE_BATCH } from "./engine.ts";
import type { KeySpace } from "./key_space.ts";
import { declaredStates } from "./restore.ts";
import type { StateVisitor } from "./state_decoder.ts";
import type { StateEncoder } from "./state_encoder.ts";
import type { Head } from "./state_head.ts";
import { endOf, groupKey, nameBytes, prefixOf, type Slot, splitKey } from "./stored_keys.ts";
import type { AnyStored } from "./stored_states.ts";

/** Changed entries that are looked up at once: few, since nothing says how long they are. */
const LOOKED_UP = 64;

/** What a {@linkcode StoredView} is of. */
export interface Viewed {
  /** What the file says. */
  readonly head: StateView["head"];
  /** The view of the database. */
  readonly view: EngineView;
  /** Where the state is in it. */
  readonly slot: Slot;
  /** What changed since the last committed snapshot. */
  readonly changed: ChangedKeys | undefined;
  /** How many entries that snapshot had. */
  readonly entries: number;
}

/** A view of a state in a database, as it is saved. */
export class StoredView implements StateView {
  readonly head: StateView["head"];
  /** How many entries were written. */
  written = 0;
  readonly #viewed: Viewed;

  /** @param viewed what is saved */
  constructor(viewed: Viewed) {
    this.head = viewed.head;
    this.#viewed = viewed;
  }

  async isEmpty(): Promise<boolean> {
    for await (const pairs of this.#all()) if (pairs.length > 0) return false;
    return true;
  }

  size(): number {
    return this.#viewed.entries;
  }

  changed(): Promise<number | undefined> {
    return Promise.resolve(this.#viewed.changed?.size);
  }

  async write(encoder: StateEncoder, changesOnly: boolean): Promise<void> {
    if (changesOnly) await this.#writeChanges(encoder, this.#viewed.changed!);
    else await this.#writeAll(encoder);
  }

  #all(): AsyncIterable<readonly (readonly [Uint8Array, Uint8Array])[]> {
    const { head: { range }, slot, view } = this.#viewed;
    return view.entries(groupKey(slot, range.first), groupKey(slot, range.last + 1));
  }

  async #writeAll(encoder: StateEncoder): Promise<void> {
    const names = this.head.states.map(({ name }) => nameBytes(name));
    const raw = bytesCodec();
    let keyGroup = -1;
    let state = -1;
    for await (const pairs of this.#all()) {
      for (const [stored, value] of pairs) {
        const entry = splitKey(stored);
        if (entry.keyGroup !== keyGroup) {
          if (state >= 0) encoder.endSection();
          if (keyGroup >= 0) await encoder.endGroup();
          encoder.beginGroup(keyGroup = entry.keyGroup);
          state = -1;
        }
        if (state < 0 || !equal(entry.name, names[state]!)) {
          if (state >= 0) encoder.endSection();
          state = names.findIndex((name) => equal(name, entry.name));
          if (state < 0) throw foreign(new TextDecoder().decode(entry.name));
          encoder.beginSection(state, true);
        }
        encoder.put(this.head.states[state]!.name, raw, entry.key, raw, value);
        this.written++;
        if (encoder.due) await encoder.turn();
      }
    }
    if (state >= 0) encoder.endSection();
    if (keyGroup >= 0) await encoder.endGroup();
  }

  async #writeChanges(encoder: StateEncoder, changed: ChangedKeys): Promise<void> {
    const { first, last } = this.head.range;
    for (let keyGroup = first; keyGroup <= last; keyGroup++) {
      const states = changed.of(keyGroup);
      if (states.size === 0) continue;
      encoder.beginGroup(keyGroup);
      for (const [name, keys] of states) {
        const state = this.head.states.findIndex((it) => it.name === name);
        encoder.beginSection(state, false);
        await this.#writeKeys(encoder, name, prefixOf(this.#viewed.slot, keyGroup, nameBytes(name)), [...keys]);
        encoder.endSection();
      }
      await encoder.endGroup();
    }
  }

  /** Writes what some keys have in the view: a value, or nothing. */
  async #writeKeys(encoder: StateEncoder, name: string, prefix: Uint8Array, texts: readonly string[]): Promise<void> {
    const raw = bytesCodec();
    for (let at = 0; at < texts.length; at += LOOKED_UP) {
      const keys = texts.slice(at, at + LOOKED_UP).map(bytesOfText);
      const values = await this.#viewed.view.getMany(keys.map((key) => concat([prefix, key])));
      for (const [i, key] of keys.entries()) {
        const value = values[i];
        if (value === undefined) encoder.delete(name, raw, key);
        else encoder.put(name, raw, key, raw, value);
        if (encoder.due) await encoder.turn();
      }
    }
  }
}

function foreign(name: string): SnapshotError {
  return new SnapshotError(
    "MALFORMED",
    `The database has entries of ${
      JSON.stringify(name)
    }, which is no state of it: give the state a database of its own`,
    { actual: name },
  );
}

/** Fills a slot of a database with what a file has. */
export class StoredLoader<K> implements StateVisitor {
  readonly #engine: Engine;
  readonly #space: KeySpace<K>;
  readonly #head: Head;
  readonly #slot: Slot;
  readonly #states: readonly AnyStored<K>[];
  readonly #converters: readonly ReturnType<AnyStored<K>["converter"]>[];
  /** How many entries were put. */
  entries = 0;
  /** Runs of changes; a prefix stands for deleting all that begins so, before what follows. */
  #steps: (Change[] | Uint8Array)[] = [];
  #changes: Change[] | undefined;
  #keyGroup = 0;
  #state = 0;
  #prefix: Uint8Array = new Uint8Array(0);
  #flushing: Promise<void> = Promise.resolve();
  #stopped = false;

  /**
   * @param engine the database
   * @param space which keys there can be
   * @param head what the file says
   * @param states the states that are declared
   * @param slot what to fill
   * @throws {SnapshotError} `UNSUPPORTED` if a state of the file is not declared, or cannot be read
   */
  constructor(
    engine: Engine,
    space: KeySpace<K>,
    head: Head,
    states: ReadonlyMap<string, AnyStored<K>>,
    slot: Slot,
  ) {
    this.#engine = engine;
    this.#space = space;
    this.#head = head;
    this.#slot = slot;
    this.#states = declaredStates(head, states);
    this.#converters = this.#states.map((state, i) => state.converter(head.states[i]!));
  }

  section(keyGroup: number, state: number, replaces: boolean): void {
    this.#keyGroup = keyGroup;
    this.#state = state;
    this.#prefix = prefixOf(this.#slot, keyGroup, this.#states[state]!.nameBytes);
    if (!replaces || this.#head.buildsUpon === undefined) return;
    this.#steps.push(this.#prefix);
    this.#changes = undefined;
  }

  put(block: Block, keyStart: number, keyEnd: number, valueStart: number, valueEnd: number): void {
    const convert = this.#converters[this.#state];
    const value = convert === undefined
      ? block.bytes.slice(valueStart, valueEnd)
      : convert(block, valueStart, valueEnd);
    this.#add(block, keyStart, keyEnd, value);
    this.entries++;
  }

  delete(block: Block, keyStart: number, keyEnd: number): void {
    this.#add(block, keyStart, keyEnd, undefined);
  }

  flush(): Promise<void> {
    return this.#flushing = this.#flush();
  }

  /** From when it resolves on nothing is written any more, whatever is still read. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#flushing.catch(() => {});
  }

  async #flush(): Promise<void> {
    const steps = this.#steps;
    this.#steps = [];
    this.#changes = undefined;
    for (const step of steps) {
      if (this.#stopped) throw new SnapshotError("CLOSED", "The load was given up");
      if (step instanceof Uint8Array) await this.#engine.clear(step, endOf(step));
      else await this.#engine.write(step);
    }
  }

  #add(block: Block, keyStart: number, keyEnd: number, value: Uint8Array | undefined): void {
    const key = this.#states[this.#state]!.keyOf(block, keyStart, keyEnd);
    this.#space.checkPlace(this.#keyGroup, key);
    if (this.#changes === undefined || this.#changes.length === WRITE_BATCH) this.#steps.push(this.#changes = []);
    this.#changes.push({ key: concat([this.#prefix, block.bytes.subarray(keyStart, keyEnd)]), value });
  }
}
