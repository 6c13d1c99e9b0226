/**
 * What all states in memory have in common: where they are, and how they are saved and loaded.
 *
 * @module
 */

import { checkString } from "../../checks.ts";
import { SnapshotError } from "../../errors.ts";
import { refusedValue, shownKey, sizeOf } from "../accepted.ts";
import { type Block, checkCodec, type Codec, type CodecVersion, type KeyCodec } from "../codecs/mod.ts";
import {
  type Decode,
  decoderOf,
  decodeWith,
  type DescribedState,
  isOwn,
  type NamedCodec,
  type StateEncoder,
} from "../format/mod.ts";
import type { AnyMap, AnyView, Group } from "./groups.ts";

/** Characters from which on the length of a key in bytes is looked at. */
const LONG_KEY = 64 * 1024;

/** The part that a state needs of the {@linkcode KeyedState} that it is in. */
export interface StateOwner<K> {
  /** The codec of the keys. */
  readonly keys: KeyCodec<K>;
  /** The group of a key, to be read; nothing if it is empty. */
  group(key: K): Group | undefined;
  /** The group of a key, to be written to. */
  writable(key: K): Group;
  /** All groups, in order. */
  groups(): Iterable<Group>;
  /** Returns the number of entries of a state. */
  size(place: number): number;
}

/** Puts an entry of a file into a group. Returns the key, so that it can be seen whether it belongs there. */
export type LoadEntry<K> = (
  group: Group,
  block: Block,
  keyStart: number,
  keyEnd: number,
  valueStart: number,
  valueEnd: number,
) => K;

/** The common part of all states: their place, and how they are saved and loaded. */
export abstract class AnyState<K, MK, V> {
  /** Where it stands among the states. */
  readonly place: number;
  /** Its description in a file. */
  readonly described: DescribedState;
  protected readonly owner: StateOwner<K>;
  readonly #mapKeys: Codec<MK>;
  readonly #values: Codec<V>;

  /** Made by a {@linkcode KeyedState}. */
  constructor(
    owner: StateOwner<K>,
    place: number,
    described: Omit<DescribedState, "codec" | "version">,
    mapKeys: Codec<MK>,
    values: Codec<V>,
  ) {
    checkString(described.name, "name");
    checkCodec(values, "The codec of a state");
    this.owner = owner;
    this.place = place;
    this.described = { ...described, codec: values.name, version: values.version ?? 0 };
    this.#mapKeys = mapKeys;
    this.#values = values;
  }

  /** Its name. */
  get name(): string {
    return this.described.name;
  }

  /** The name of it in errors. */
  protected get title(): string {
    return `The state ${JSON.stringify(this.described.name)}`;
  }

  /** The number of entries. */
  get size(): number {
    return this.owner.size(this.place);
  }

  /** The entries of a group. */
  protected entriesOf(group: Group | undefined): AnyMap | undefined {
    return group?.maps[this.place];
  }

  /**
   * Checks that each save can write a value of a key.
   *
   * @param shown the key, for a person
   * @returns how many bytes it takes
   * @throws {SnapshotError} `MALFORMED` if one could not
   */
  protected accept<T>(codec: Codec<T>, value: T, mapKey: MK, shown: () => string = () => shownKey(mapKey)): number {
    try {
      // The hash of a key was checked, and says nothing of its length.
      if (typeof mapKey === "string" && mapKey.length > LONG_KEY) sizeOf(this.#mapKeys, mapKey);
      return sizeOf(codec, value);
    } catch (error) {
      throw refusedValue(this.described.name, codec, `the value of ${shown()}`, error);
    }
  }

  /** Writes a section with all entries that a view has. */
  async encodeAll(encoder: StateEncoder, view: AnyView): Promise<void> {
    if (view.size === 0) return;
    encoder.beginSection(this.place, true);
    await this.#encodePuts(encoder, view);
    encoder.endSection();
  }

  /** Writes a section with what changed between two views; the earlier one may be of nothing. */
  async encodeChanges(encoder: StateEncoder, from: AnyView | undefined, to: AnyView): Promise<void> {
    // All of it, if that is less than what changed: or if there was nothing before that the two have in common.
    const changes = from === undefined || changesBetween(from, to) > to.size ? undefined : to.changesSince(from);
    encoder.beginSection(this.place, changes === undefined);
    if (changes === undefined) await this.#encodePuts(encoder, to);
    for (const { deleted, put } of changes ?? []) {
      for (const key of deleted) {
        encoder.delete(this.described.name, this.#mapKeys, key as MK);
        if (encoder.due) await encoder.turn();
      }
      await this.#encodePuts(encoder, put);
    }
    encoder.endSection();
  }

  async #encodePuts(encoder: StateEncoder, entries: Iterable<[MK, V]>): Promise<void> {
    for (const [key, value] of entries) {
      encoder.put(this.described.name, this.#mapKeys, key, this.#values, value);
      if (encoder.due) await encoder.turn();
    }
  }

  /**
   * What takes in the entries that a file has of this state.
   *
   * @param described what that file says of it
   * @throws {SnapshotError} `UNSUPPORTED` if it is another kind of state there, or its codecs cannot read it
   */
  loader(described: DescribedState): { readonly put: LoadEntry<K>; readonly delete: LoadEntry<K> } {
    const { name, kind, userKeys } = this.described;
    if (described.kind !== kind || described.userKeys !== userKeys) {
      const [saved, wanted] = [described, this.described].map(({ kind, userKeys }) => `${kind} ${userKeys}`.trim());
      throw new SnapshotError("UNSUPPORTED", `The state ${JSON.stringify(name)} was saved as ${saved}, not ${wanted}`, {
        expected: wanted!,
        actual: saved!,
      });
    }
    const key = decodeWith(this.#mapKeys);
    const value = this.decoder(described);
    return {
      put: (group, block, keyStart, keyEnd, valueStart, valueEnd) =>
        this.putLoaded(group, key(block, keyStart, keyEnd), value(block, valueStart, valueEnd)),
      delete: (group, block, keyStart, keyEnd) => this.deleteLoaded(group, key(block, keyStart, keyEnd)),
    };
  }

  /** Returns the decoder of its values in a file. */
  protected decoder({ codec: name, version }: DescribedState): Decode<V> {
    const decode = decoderOf(this.#values, { name, version }, this.title);
    return this.checked(this.#values, { name, version }, decode, (value) => (sizeOf(this.#values, value), value));
  }

  /** Checks each value that a migration makes, since it has to be saved as well; gives what the check returns. */
  protected checked(codec: NamedCodec, from: CodecVersion, decode: Decode<V>, check: (value: V) => V): Decode<V> {
    if (isOwn(codec, from)) return decode;
    return (block, start, end) => {
      const value = decode(block, start, end);
      try {
        return check(value);
      } catch (error) {
        const what = `what its migration made of ${from.name}, version ${from.version},`;
        throw refusedValue(this.described.name, codec, what, error);
      }
    };
  }

  /** Puts an entry into a group that nobody sees yet, and returns its key. */
  protected putLoaded(group: Group, mapKey: MK, value: V): K {
    group.map(this.place).set(mapKey, value);
    return mapKey as unknown as K; // but for a map, they are the same
  }

  /** Takes an entry out of such a group, and returns its key. */
  protected deleteLoaded(group: Group, mapKey: MK): K {
    group.map(this.place).delete(mapKey);
    return mapKey as unknown as K;
  }
}

// deno-lint-ignore no-explicit-any -- states of different types
export type OneState<K> = AnyState<K, any, any>;

/** Returns the number of changes from one view of a map to another; the earlier one may be of nothing. */
export function changesBetween(from: AnyView | undefined, to: AnyView): number {
  if (from === undefined) return to.size;
  const changes = to.changesSince(from);
  return changes === undefined
    ? Math.max(to.size, 1)
    : changes.reduce((sum, it) => sum + it.deleted.size + it.put.size, 0);
}
