/**
 * Where the objects of a directory bucket are: paths that any key can have, on any file system.
 *
 * ```text
 * key               path
 * a/b.c             a~/b%2ec
 * A/../b            %41~/%2e%2e~/b
 * a/                a~/%
 * xxx… (300 times)  xxx…(200)=/xxx…(100)
 * ```
 *
 * What is not `a-z`, `0-9`, `-` or `_` is escaped, byte by byte, so that no name is `..`, nor the same as another where
 * case, or the form of an accent, does not count. A part of the key before a slash is a directory that ends with `~`, so
 * that `a` and `a/b` can both be; a part that gets too long for a name goes on in a directory that ends with `=`. All keys
 * in a directory begin as it does, and no key beside it does: whoever walks in the order of the names' bytes has the keys
 * in the order of theirs.
 *
 * @module
 */

import { compareBytes, concat } from "../../stream/mod.ts";
import type { DiskEntry } from "../../fs/mod.ts";

/** A name is cut as soon as it has so many characters: file systems take 255. */
const CUT = 200;
/** The name of what has nothing after the last slash. */
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

/** Something in a directory, and what the keys of it begin with: all of the key, if it is an object. */
export interface NamedEntry {
  readonly name: string;
  readonly isObject: boolean;
  readonly key: Uint8Array;
}

/**
 * What there is in a directory, in the order of the keys; what is not called as a key's is left out.
 *
 * @param entries what the disk says
 * @param base what all keys in it begin with
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

/** Whether bytes begin with others. */
export function beginsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  return bytes.length >= start.length && compareBytes(bytes.subarray(0, start.length), start) === 0;
}
