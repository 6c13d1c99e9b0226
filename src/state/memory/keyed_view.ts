/**
 * What is between the states of a {@linkcode KeyedState} and a file: walking over its key groups when they are saved,
 * and filling new ones when they are loaded.
 *
 * @module
 */

import { changesBetween, type OneState } from "./any_state.ts";
import type { Block } from "../codecs/mod.ts";
import type { Head, StateEncoder, StateView, StateVisitor } from "../format/mod.ts";
import type { DeclaredStates, UndeclaredStates } from "../declared.ts";
import { type AnyView, Group, type Groups, type GroupsView } from "./groups.ts";
import type { KeySpace } from "../key_space.ts";
import { Pace } from "../pace.ts";

/** A map of a state that may have been changed. */
interface ChangedMap<K> {
  readonly state: OneState<K>;
  /** As it was; nothing if it was not there. */
  readonly from: AnyView | undefined;
  /** As it is. */
  readonly to: AnyView;
}

/** A view of all states, as it is saved. */
export class KeyedView<K> implements StateView {
  readonly head: StateView["head"];
  readonly #states: readonly OneState<K>[];
  readonly #view: GroupsView;
  readonly #committed: GroupsView | undefined;
  readonly #count: number;

  /**
   * @param head what the file says
   * @param states the states
   * @param view what is saved
   * @param committed what the last committed snapshot was of
   */
  constructor(
    head: StateView["head"],
    states: readonly OneState<K>[],
    view: GroupsView,
    committed: GroupsView | undefined,
  ) {
    this.head = head;
    this.#states = states;
    this.#view = view;
    this.#committed = committed;
    this.#count = head.range.last - head.range.first + 1;
  }

  isEmpty(): Promise<boolean> {
    for (let i = 0; i < this.#count; i++) if (this.#view.group(i).some(hasEntries)) return Promise.resolve(false);
    return Promise.resolve(true);
  }

  size(): number {
    return this.#states.reduce((sum, { size }) => sum + size, 0);
  }

  async changed(): Promise<number | undefined> {
    if (this.#committed === undefined) return undefined;
    const pace = new Pace();
    let changed = 0;
    for (let i = 0; i < this.#count; i++) {
      for (const { from, to } of this.#changedMaps(i)) changed += changesBetween(from, to);
      if (pace.step()) await pace.turn();
    }
    return changed;
  }

  async write(encoder: StateEncoder, changesOnly: boolean): Promise<void> {
    for (let i = 0; i < this.#count; i++) {
      if (changesOnly) await this.#writeChanges(encoder, i);
      else await this.#writeAll(encoder, i);
      this.#view.releaseGroup(i);
    }
  }

  async #writeAll(encoder: StateEncoder, i: number): Promise<void> {
    const views = this.#view.group(i);
    if (!views.some(hasEntries)) return;
    encoder.beginGroup(this.head.range.first + i);
    for (const state of this.#states) {
      const view = views[state.place];
      if (view !== undefined) await state.encodeAll(encoder, view);
    }
    await encoder.endGroup();
  }

  async #writeChanges(encoder: StateEncoder, i: number): Promise<void> {
    const changed = this.#changedMaps(i).filter(({ from, to }) => changesBetween(from, to) > 0);
    if (changed.length === 0) return;
    encoder.beginGroup(this.head.range.first + i);
    for (const { state, from, to } of changed) await state.encodeChanges(encoder, from, to);
    await encoder.endGroup();
  }

  /** The maps of a group that may have been changed. */
  #changedMaps(i: number): ChangedMap<K>[] {
    if (!this.#committed!.isWritten(i)) return [];
    const [before, now] = [this.#committed!.group(i), this.#view.group(i)];
    return this.#states.flatMap((state) => {
      const to = now[state.place];
      return to === undefined ? [] : [{ state, from: before[state.place], to }];
    });
  }
}

function hasEntries(view: AnyView | undefined): boolean {
  return view !== undefined && view.size > 0;
}

/** The context of a {@linkcode KeyedLoader}: one for all files that are loaded together. */
export interface KeyedLoading<K> {
  /** The keys that there can be. */
  readonly space: KeySpace<K>;
  /** The states that are declared. */
  readonly states: DeclaredStates<OneState<K>>;
  /** Is told of the others. */
  readonly undeclared: UndeclaredStates;
  /** The key groups that are filled. */
  readonly groups: Groups;
}

/** Fills key groups with what a file has. */
export class KeyedLoader<K> implements StateVisitor {
  readonly #loading: KeyedLoading<K>;
  readonly #head: Head;
  readonly #isOnly: boolean;
  readonly #states: readonly (OneState<K> | undefined)[];
  readonly #loaders: readonly (ReturnType<OneState<K>["loader"]> | undefined)[];
  #keyGroup = 0;
  #group: Group | undefined;
  /** Nothing: it is not declared. */
  #loader: ReturnType<OneState<K>["loader"]> | undefined;

  /**
   * @param loading what is to be filled
   * @param head what the file says
   * @param isOnly whether there is no other file that changes what it has
   * @throws {SnapshotError} `UNSUPPORTED` if a state of the file cannot be read
   */
  constructor(loading: KeyedLoading<K>, head: Head, isOnly: boolean) {
    this.#loading = loading;
    this.#head = head;
    this.#isOnly = isOnly;
    this.#states = loading.states.of(head);
    this.#loaders = this.#states.map((state, i) => state?.loader(head.states[i]!));
  }

  section(keyGroup: number, state: number, replaces: boolean): void {
    const { groups, space, undeclared } = this.#loading;
    this.#loader = this.#loaders[state];
    if (this.#loader === undefined) return undeclared.section(keyGroup, this.#head.states[state]!.name, replaces);
    this.#keyGroup = keyGroup;
    this.#group = groups.writable(keyGroup - space.range.first);
    const { place } = this.#states[state]!;
    if (!replaces) return;
    this.#group.maps[place]?.clear();
    this.#group.indexes[place]?.clear();
  }

  put(block: Block, keyStart: number, keyEnd: number, valueStart: number, valueEnd: number): void {
    const { space, undeclared } = this.#loading;
    if (this.#loader === undefined) return undeclared.put(block, keyStart, keyEnd, this.#isOnly);
    space.checkPlace(
      this.#keyGroup,
      this.#loader.put(this.#group!, block, keyStart, keyEnd, valueStart, valueEnd),
    );
  }

  delete(block: Block, keyStart: number, keyEnd: number): void {
    const { space, undeclared } = this.#loading;
    if (this.#loader === undefined) return undeclared.delete(block, keyStart, keyEnd);
    space.checkPlace(
      this.#keyGroup,
      this.#loader.delete(this.#group!, block, keyStart, keyEnd, 0, 0),
    );
  }
}

/** Decodes what a file has as {@linkcode KeyedLoader} does, and keeps nothing of it. */
export class KeyedChecker<K> implements StateVisitor {
  readonly #checking: Omit<KeyedLoading<K>, "groups">;
  readonly #head: Head;
  readonly #isOnly: boolean;
  readonly #loaders: readonly (ReturnType<OneState<K>["loader"]> | undefined)[];
  #keyGroup = 0;
  /** Takes what was decoded since the last flush. */
  #group = new Group();
  /** Nothing: it is not declared. */
  #loader: ReturnType<OneState<K>["loader"]> | undefined;

  /**
   * @param checking what it would be loaded into
   * @param head what the file says
   * @param isOnly whether there is no other file that changes what it has
   * @throws {SnapshotError} `UNSUPPORTED` if a state of the file cannot be read
   */
  constructor(checking: Omit<KeyedLoading<K>, "groups">, head: Head, isOnly: boolean) {
    this.#checking = checking;
    this.#head = head;
    this.#isOnly = isOnly;
    this.#loaders = checking.states.of(head).map((state, i) => state?.loader(head.states[i]!));
  }

  section(keyGroup: number, state: number, replaces: boolean): void {
    this.#loader = this.#loaders[state];
    this.#keyGroup = keyGroup;
    if (this.#loader !== undefined) return;
    this.#checking.undeclared.section(keyGroup, this.#head.states[state]!.name, replaces);
  }

  put(block: Block, keyStart: number, keyEnd: number, valueStart: number, valueEnd: number): void {
    const { space, undeclared } = this.#checking;
    if (this.#loader === undefined) return undeclared.put(block, keyStart, keyEnd, this.#isOnly);
    space.checkPlace(this.#keyGroup, this.#loader.put(this.#group, block, keyStart, keyEnd, valueStart, valueEnd));
  }

  delete(block: Block, keyStart: number, keyEnd: number): void {
    const { space, undeclared } = this.#checking;
    if (this.#loader === undefined) return undeclared.delete(block, keyStart, keyEnd);
    space.checkPlace(this.#keyGroup, this.#loader.delete(this.#group, block, keyStart, keyEnd, 0, 0));
  }

  flush(): Promise<void> {
    this.#group = new Group();
    return Promise.resolve();
  }
}
