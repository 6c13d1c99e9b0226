/**
 * The key groups of a worker in memory, copied on write by whole groups.
 *
 * @module
 */

import { CowMap, type CowView } from "./cow_map.ts";

/** A map of one state in one key group. What its keys and values are is the state's affair. */
// deno-lint-ignore no-explicit-any -- a group holds the maps of states of different types
export type AnyMap = CowMap<any, any>;
/** A view of such a map. */
// deno-lint-ignore no-explicit-any -- as above
export type AnyView = CowView<any, any>;

/** One key group: the maps of its states, by the states' places. */
export class Group {
  readonly maps: (AnyMap | undefined)[] = [];
  /** For a map state: the same entries by key, to be found and walked over. Not part of a view. */
  readonly indexes: (Map<unknown, Map<unknown, unknown>> | undefined)[] = [];
  /** The newest view of the groups when this one was written to last. */
  epoch = 0;

  /** The map of a state. */
  map(state: number): AnyMap {
    return this.maps[state] ??= new CowMap<unknown, unknown>();
  }

  /** Views of all maps. */
  freeze(): (AnyView | undefined)[] {
    return this.maps.map((map) => map?.snapshot());
  }
}

/**
 * Key groups. A view of all of them costs nothing when it is taken: of a group, it is made by the first write after
 * that, or when it is asked for; and it is let go as soon as the group was saved, so that the cost of copying falls
 * while a save goes on.
 */
export class Groups {
  readonly #groups: (Group | undefined)[];
  readonly #views = new Set<GroupsView>();
  #epoch = 0;

  /** @param count how many there are */
  constructor(count: number) {
    this.#groups = new Array(count).fill(undefined);
  }

  /** A group to be read; nothing if it is empty. */
  at(i: number): Group | undefined {
    return this.#groups[i];
  }

  /** A group to be written to. */
  writable(i: number): Group {
    const group = this.#groups[i] ??= new Group();
    if (group.epoch !== this.#epoch) {
      for (const view of this.#views) view.freeze(i, group);
      group.epoch = this.#epoch;
    }
    return group;
  }

  /** True if nothing was ever written to any. */
  get isUntouched(): boolean {
    return this.#groups.every((group) => group === undefined);
  }

  /** All groups that there are. */
  *[Symbol.iterator](): IterableIterator<Group> {
    for (const group of this.#groups) if (group !== undefined) yield group;
  }

  /** Returns the number of entries of a state. */
  size(state: number): number {
    let size = 0;
    for (const group of this) size += group.maps[state]?.size ?? 0;
    return size;
  }

  /** A view of everything as it is now. Constant time. To be released. */
  view(): GroupsView {
    this.#epoch++;
    const view = new GroupsView(this.#groups, () => this.#views.delete(view));
    this.#views.add(view);
    return view;
  }
}

const NONE: readonly (AnyView | undefined)[] = [];

/** All key groups as they were. */
export class GroupsView {
  readonly #groups: readonly (Group | undefined)[];
  readonly #onRelease: () => void;
  readonly #frozen: (readonly (AnyView | undefined)[] | undefined)[];
  /** The number of holders that keep it. */
  #holders = 1;

  /** Made by {@linkcode Groups.view}. */
  constructor(groups: readonly (Group | undefined)[], onRelease: () => void) {
    this.#groups = groups;
    this.#onRelease = onRelease;
    this.#frozen = [];
  }

  /** A group is going to be written to. */
  freeze(i: number, group: Group): void {
    this.#frozen[i] ??= group.freeze();
  }

  /** Reports whether a group was written to since. */
  isWritten(i: number): boolean {
    return this.#frozen[i] !== undefined;
  }

  /** Views of the maps of a group, by the states' places. */
  group(i: number): readonly (AnyView | undefined)[] {
    return this.#frozen[i] ??= this.#groups[i]?.freeze() ?? NONE;
  }

  /** Lets a group go. */
  releaseGroup(i: number): void {
    this.#frozen[i]?.forEach((view) => view?.release());
    this.#frozen[i] = NONE;
  }

  /** Keeps it for one more, who releases it, too. */
  share(): this {
    this.#holders++;
    return this;
  }

  /** Lets everything go, if nobody else keeps it. */
  release(): void {
    if (--this.#holders > 0) return;
    this.#onRelease();
    for (const i in this.#frozen) this.releaseGroup(Number(i));
  }
}
