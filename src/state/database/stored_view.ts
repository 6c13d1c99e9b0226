/**
 * What is between a state in a database and a file: walking over a view when it is saved, and filling a slot when it is
 * loaded.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { bytesOfText, concat, equal } from "../../stream/mod.ts";
import { type Block, bytesCodec } from "../codecs/mod.ts";
import type { Head, StateEncoder, StateView, StateVisitor } from "../format/mod.ts";
import type { ChangedKeys } from "./changed_keys.ts";
import { type DeclaredStates, undeclared, type UndeclaredStates } from "../declared.ts";
import { type Change, type Engine, type EngineView, WRITE_BATCH } from "./engine.ts";
import type { KeySpace } from "../key_space.ts";
import { endOf, groupKey, nameBytes, prefixOf, type Slot, splitKey } from "./stored_keys.ts";
import type { AnyStored } from "./stored_states.ts";

/** Changed entries that are looked up at once: few, since nothing says how long they are. */
const LOOKED_UP = 64;

/** The content that a {@linkcode StoredView} shows. */
export interface Viewed {
  /** The header of the file. */
  readonly head: StateView["head"];
  /** The view of the database. */
  readonly view: EngineView;
  /** Where the state is in it. */
  readonly slot: Slot;
  /** The names of all states that the database knows of, also of those that are not declared. */
  readonly known: ReadonlySet<string>;
  /** The keys that changed since the last committed snapshot. */
  readonly changed: ChangedKeys | undefined;
  /** The number of entries of that snapshot. */
  readonly entries: number;
}

/** A view of a state in a database, as it is saved. */
export class StoredView implements StateView {
  readonly head: StateView["head"];
  /** The number of entries that were written. */
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
          if (state < 0) throw this.#foreign(new TextDecoder().decode(entry.name));
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

  #foreign(name: string): SnapshotError {
    if (this.#viewed.known.has(name)) return undeclared(name, "The database");
    const what = `entries of ${JSON.stringify(name)}, which is no state of it: give the state a database of its own`;
    return new SnapshotError("MALFORMED", `The database has ${what}`, { actual: name });
  }
}

/** The context of a {@linkcode StoredLoader}: one for all files that are loaded together. */
export interface StoredLoading<K> {
  /** The database. */
  readonly engine: Engine;
  /** The keys that there can be. */
  readonly space: KeySpace<K>;
  /** The states that are declared. */
  readonly states: DeclaredStates<AnyStored<K>>;
  /** Is told of the others. */
  readonly undeclared: UndeclaredStates;
  /** The slot that is filled. */
  readonly slot: Slot;
}

/** Fills a slot of a database with what a file has. */
export class StoredLoader<K> implements StateVisitor {
  readonly #loading: StoredLoading<K>;
  readonly #head: Head;
  readonly #isOnly: boolean;
  readonly #states: readonly (AnyStored<K> | undefined)[];
  readonly #converters: readonly (ReturnType<AnyStored<K>["converter"]>)[];
  /** The number of entries that were put. */
  entries = 0;
  /** Runs of changes; a prefix stands for deleting all that begins so, before what follows. */
  #steps: (Change[] | Uint8Array)[] = [];
  #changes: Change[] | undefined;
  #keyGroup = 0;
  /** Nothing: it is not declared. */
  #state: AnyStored<K> | undefined;
  #convert: ReturnType<AnyStored<K>["converter"]>;
  #prefix: Uint8Array = new Uint8Array(0);
  #flushing: Promise<void> = Promise.resolve();
  #stopped = false;

  /**
   * @param loading what is to be filled
   * @param head what the file says
   * @param isOnly whether there is no other file that changes what it has
   * @throws {SnapshotError} `UNSUPPORTED` if a state of the file cannot be read
   */
  constructor(loading: StoredLoading<K>, head: Head, isOnly: boolean) {
    this.#loading = loading;
    this.#head = head;
    this.#isOnly = isOnly;
    this.#states = loading.states.of(head);
    this.#converters = this.#states.map((state, i) => state?.converter(head.states[i]!));
  }

  section(keyGroup: number, state: number, replaces: boolean): void {
    const { undeclared, slot } = this.#loading;
    this.#keyGroup = keyGroup;
    this.#state = this.#states[state];
    if (this.#state === undefined) return undeclared.section(keyGroup, this.#head.states[state]!.name, replaces);
    this.#convert = this.#converters[state];
    this.#prefix = prefixOf(slot, keyGroup, this.#state.nameBytes);
    if (!replaces || this.#head.buildsUpon === undefined) return;
    this.#steps.push(this.#prefix);
    this.#changes = undefined;
  }

  put(block: Block, keyStart: number, keyEnd: number, valueStart: number, valueEnd: number): void {
    if (this.#state === undefined) return this.#loading.undeclared.put(block, keyStart, keyEnd, this.#isOnly);
    const value = this.#convert === undefined
      ? block.bytes.slice(valueStart, valueEnd)
      : this.#convert(block, valueStart, valueEnd);
    this.#add(this.#state, block, keyStart, keyEnd, value);
    this.entries++;
  }

  delete(block: Block, keyStart: number, keyEnd: number): void {
    if (this.#state === undefined) return this.#loading.undeclared.delete(block, keyStart, keyEnd);
    this.#add(this.#state, block, keyStart, keyEnd, undefined);
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
      if (this.#stopped) throw new SnapshotError("CLOSED", "The load was cancelled");
      if (step instanceof Uint8Array) await this.#loading.engine.clear(step, endOf(step));
      else await this.#loading.engine.write(step);
    }
  }

  #add(
    state: AnyStored<K>,
    block: Block,
    keyStart: number,
    keyEnd: number,
    value: Uint8Array | undefined,
  ): void {
    this.#loading.space.checkPlace(this.#keyGroup, state.keyOf(block, keyStart, keyEnd));
    if (this.#changes === undefined || this.#changes.length === WRITE_BATCH) this.#steps.push(this.#changes = []);
    this.#changes.push({ key: concat([this.#prefix, block.bytes.subarray(keyStart, keyEnd)]), value });
  }
}

/** Decodes what a file has as {@linkcode StoredLoader} does, and keeps nothing of it. */
export class StoredChecker<K> implements StateVisitor {
  readonly #checking: Pick<StoredLoading<K>, "space" | "states" | "undeclared">;
  readonly #head: Head;
  readonly #isOnly: boolean;
  readonly #states: readonly (AnyStored<K> | undefined)[];
  readonly #converters: readonly ReturnType<AnyStored<K>["converter"]>[];
  #keyGroup = 0;
  /** Nothing: it is not declared. */
  #state: AnyStored<K> | undefined;
  #convert: ReturnType<AnyStored<K>["converter"]>;

  /**
   * @param checking what it would be loaded into
   * @param head what the file says
   * @param isOnly whether there is no other file that changes what it has
   * @throws {SnapshotError} `UNSUPPORTED` if a state of the file cannot be read
   */
  constructor(checking: Pick<StoredLoading<K>, "space" | "states" | "undeclared">, head: Head, isOnly: boolean) {
    this.#checking = checking;
    this.#head = head;
    this.#isOnly = isOnly;
    this.#states = checking.states.of(head);
    this.#converters = this.#states.map((state, i) => state?.converter(head.states[i]!));
  }

  section(keyGroup: number, state: number, replaces: boolean): void {
    this.#keyGroup = keyGroup;
    this.#state = this.#states[state];
    this.#convert = this.#converters[state];
    if (this.#state !== undefined) return;
    this.#checking.undeclared.section(keyGroup, this.#head.states[state]!.name, replaces);
  }

  put(block: Block, keyStart: number, keyEnd: number, valueStart: number, valueEnd: number): void {
    const { space, undeclared } = this.#checking;
    if (this.#state === undefined) return undeclared.put(block, keyStart, keyEnd, this.#isOnly);
    space.checkPlace(this.#keyGroup, this.#state.keyOf(block, keyStart, keyEnd));
    this.#convert?.(block, valueStart, valueEnd);
  }

  delete(block: Block, keyStart: number, keyEnd: number): void {
    const { space, undeclared } = this.#checking;
    if (this.#state === undefined) return undeclared.delete(block, keyStart, keyEnd);
    space.checkPlace(this.#keyGroup, this.#state.keyOf(block, keyStart, keyEnd));
  }
}
