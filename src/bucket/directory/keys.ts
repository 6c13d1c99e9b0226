/**
 * The paths of a directory bucket's objects: every key has one, on every file system.
 *
 * ```text
 * key               path
 * a/b.c             a~/b%2ec
 * A/../b            %41~/%2e%2e~/b
 * a/                a~/%
 * xxx… (300 times)  xxx…(200)=/xxx…(100)
 * ```
 *
 * All but `a-z`, `0-9`, `-` and `_` is escaped, byte by byte, so that no name is `..`, nor the same as another where
 * case, or the form of an accent, does not count. A part of the key before a slash is a directory that ends with `~`,
 * so that `a` and `a/b` can both exist; a part that is too long for a name is split by a directory that ends with `=`.
 * All keys in a directory begin as it does, and no key beside it does: entries sorted by the beginning of their keys
 * give keys in order.
 *
 * @module
 */

import { compareBytes, concat } from "../../stream/mod.ts";
import type { DiskEntry } from "../../fs/mod.ts";

/** A name is cut as soon as it has so many characters: file systems take 255 bytes. */
const CUT = 200;
/** The file name of a key that ends with a slash. */
const EMPTY = "%";
const SLASH = 0x2f;

/** The path of a key's object, below the root. */
export function pathOf(key: Uint8Array): string {
  let path = "";
  let name = "";
  for (const byte of key) {
    if (byte === SLASH) {
      path += `${name}~/`;
      name = "";
      continue;
    }
    const character = String.fromCharCode(byte);
    name += /[a-z0-9_-]/.test(character) ? character : `%${byte.toString(16).padStart(2, "0")}`;
    if (name.length < CUT) continue;
    path += `${name}=/`;
    name = "";
  }
  return path + (name === "" ? EMPTY : name);
}

/** An entry of a directory, and the beginning of its keys; if it is an object, the whole key. */
export interface NamedEntry {
  readonly name: string;
  readonly isObject: boolean;
  readonly key: Uint8Array;
}

/**
 * The entries of a directory, in the order of their keys; names that no key has are left out.
 *
 * @param entries the entries, as the disk lists them
 * @param base the beginning of all keys in it
 */
export function namedEntries(entries: readonly DiskEntry[], base: Uint8Array): NamedEntry[] {
  const named: NamedEntry[] = [];
  for (const { name, kind } of entries) {
    const match = /^((?:[a-z0-9_-]|%[0-9a-f]{2})*)([~=%]?)$/.exec(name);
    if (match === null) continue;
    const [, escaped, mark] = match as unknown as [string, string, string];
    const isObject = mark === "" || name === EMPTY;
    if (kind !== (isObject ? "file" : "directory") || (mark === EMPTY && name !== EMPTY)) continue;
    named.push({
      name,
      isObject,
      key: concat([base, unescaped(escaped), ...(mark === "~" ? [Uint8Array.of(SLASH)] : [])]),
    });
  }
  return named.sort((a, b) => compareBytes(a.key, b.key));
}

function unescaped(text: string): Uint8Array {
  const bytes: number[] = [];
  for (let at = 0; at < text.length; at++) {
    if (text[at] !== "%") {
      bytes.push(text.charCodeAt(at));
    } else {
      bytes.push(parseInt(text.slice(at + 1, at + 3), 16));
      at += 2;
    }
  }
  return Uint8Array.from(bytes);
}

/** Reports whether bytes begin with others. */
export function beginsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  return bytes.length >= start.length && compareBytes(bytes.subarray(0, start.length), start) === 0;
}
