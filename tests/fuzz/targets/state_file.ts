// Files of keyed state as a tree, and read by the letter of their format (src/state/format/head.ts) to hold the library
// against.

import { hashString, type KeyGroupOffsets } from "../../../src/extend.ts";
import { keyGroupOf } from "../../../mod.ts";
import { concat, u32 } from "../../../src/stream/mod.ts";
import { varint } from "../protobuf.ts";

/** How many key groups the samples have. */
export const GROUPS = 8;

/** An entry; deleted if it has no value. */
export interface Entry {
  key: Uint8Array;
  value: Uint8Array | undefined;
}

/** What a file says of one state in one group. */
export interface Section {
  state: number;
  mode: number;
  entries: Entry[];
  count: number;
}

/** A key group. */
export interface Group {
  number: number;
  sections: Section[];
}

/** A file. */
export interface StateFile {
  /** The message of the head. */
  head: Uint8Array;
  groups: Group[];
}

/** A file as bytes, and where its groups begin. */
export interface EncodedFile {
  bytes: Uint8Array;
  keyGroups: KeyGroupOffsets;
}

const encodeSection = ({ state, mode, entries, count }: Section) =>
  concat([
    varint(BigInt(state)),
    Uint8Array.of(mode),
    ...entries.flatMap(({ key, value }) =>
      value === undefined
        ? [varint(BigInt(2 + 2 * key.length)), key]
        : [varint(BigInt(1 + 2 * key.length)), key, varint(BigInt(value.length)), value]
    ),
    Uint8Array.of(0),
    varint(BigInt(count)),
  ]);

/** A group as bytes. */
export function encodeGroup({ number, sections }: Group): Uint8Array {
  return concat([varint(BigInt(number)), ...sections.map(encodeSection), Uint8Array.of(0)]);
}

/** A head as bytes. */
export function frameHead(head: Uint8Array): Uint8Array {
  return concat([new TextEncoder().encode("SSKS"), Uint8Array.of(1), u32(head.length), head]);
}

/** Puts head and groups together, each group where its number belongs. */
export function assemble(framed: Uint8Array, groups: readonly { number: number; bytes: Uint8Array }[]): EncodedFile {
  const offsets = new Float64Array(GROUPS).fill(NaN);
  let at = framed.length;
  for (const { number, bytes } of groups) {
    if (number < GROUPS && Number.isNaN(offsets[number])) offsets[number] = at;
    at += bytes.length;
  }
  let next = at;
  for (let i = GROUPS - 1; i >= 0; i--) offsets[i] = next = Number.isNaN(offsets[i]) ? next : offsets[i]!;
  const bytes = concat([framed, ...groups.map(({ bytes }) => bytes)]);
  return { bytes, keyGroups: { first: 0, last: GROUPS - 1, offsets } };
}

/** Thrown for a file that is not by the letter. */
export class NotByTheLetter extends Error {}

/** Reads the groups of a file. */
export function readGroups(
  { bytes, keyGroups: { offsets } }: EncodedFile,
  first = 0,
  last: number = GROUPS - 1,
): Group[] {
  const groups: Group[] = [];
  for (let number = first; number <= last; number++) {
    const [start, end] = [offsets[number]!, offsets[number + 1] ?? bytes.length];
    if (start < end) groups.push(readGroup(bytes.subarray(start, end), number));
  }
  return groups;
}

function readGroup(bytes: Uint8Array, wanted: number): Group {
  let at = 0;
  const byte = () => {
    if (at >= bytes.length) throw new NotByTheLetter("it ends too early");
    return bytes[at++]!;
  };
  const number = () => {
    let value = 0;
    for (let factor = 1;; factor *= 128) {
      const next = byte();
      value += (next & 0x7f) * factor;
      if (next < 0x80) return value;
    }
  };
  const take = (length: number) => {
    if (at + length > bytes.length) throw new NotByTheLetter("it ends too early");
    return bytes.subarray(at, at += length);
  };
  const group: Group = { number: number(), sections: [] };
  if (group.number !== wanted) throw new NotByTheLetter("it is another group");
  for (let state = number(); state !== 0; state = number()) {
    const section: Section = { state, mode: byte(), entries: [], count: 0 };
    if (section.mode > 1) throw new NotByTheLetter("it has an unknown mode");
    for (let prefix = number(); prefix !== 0; prefix = number()) {
      const key = take(Math.floor((prefix - 1) / 2));
      section.entries.push({ key, value: prefix % 2 === 0 ? undefined : take(number()) });
    }
    section.count = number();
    if (section.count !== section.entries.length) throw new NotByTheLetter("it lost an entry");
    group.sections.push(section);
  }
  if (at !== bytes.length) throw new NotByTheLetter("something follows it");
  return group;
}

/** What a state is, for the reading of its keys. */
export interface Kind {
  readonly name: string;
  readonly isMap: boolean;
}

/** The entries that files of a chain make up: values by group, state and key. `states` are those of each file, by place. */
export function entriesOf(
  files: readonly { groups: readonly Group[]; states: readonly Kind[] }[],
): Map<string, string> {
  const all = new Map<string, string>();
  for (const { groups, states } of files) {
    for (const { number, sections } of groups) {
      for (const { state, mode, entries } of sections) {
        const kind = states[state - 1];
        if (kind === undefined) throw new NotByTheLetter("it has a state that its head has not");
        const prefix = `${number}/${kind.name}/`;
        if (mode === 1) { for (const key of all.keys()) if (key.startsWith(prefix)) all.delete(key); }
        for (const { key, value } of entries) {
          if (groupOf(key, kind.isMap) !== number) throw new NotByTheLetter("a key is in another's group");
          if (value === undefined) all.delete(prefix + key.join());
          else all.set(prefix + key.join(), value.join());
        }
      }
    }
  }
  return all;
}

function groupOf(key: Uint8Array, isMap: boolean): number {
  const length = !isMap
    ? key.length
    : key.length < 4
    ? Infinity
    : new DataView(key.buffer, key.byteOffset).getUint32(0);
  const start = isMap ? 4 : 0;
  if (start + length > key.length) throw new NotByTheLetter("a key of a map is cut short");
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(key.subarray(start, start + length));
  return keyGroupOf(hashString(text), GROUPS);
}
