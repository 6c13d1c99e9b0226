/**
 * The things that the cases for buckets are made of.
 *
 * @module
 */

import type { Bucket, BucketObject, ListPage } from "../bucket/mod.ts";
import { check, same } from "./check.ts";

/** Keys that a layer on the way may take for something else. */
export const ODD_KEYS: readonly string[] = [
  "a",
  "A",
  "a b",
  " a ",
  "a+b",
  "a%2Bb",
  "a%",
  "a&b=c?d#e",
  "a;b,c:d@e",
  "a'b\"c<d>e",
  "a\\b",
  "a*b|c^d`e~f!g(h)i[j]k{l}m$n",
  "a.b",
  "a..b",
  "a.",
  ".a",
  "a/b",
  "a/b/",
  "a-b",
  "a0",
  "con",
  "ä",
  "a\u0308",
  "日本/雪だるま☃",
  "😀",
  "\uff5e",
  `long/${"x".repeat(1019)}`,
  `long/${"x".repeat(600)}/${"ü".repeat(150)}`,
];

/** Keys that a bucket may refuse or mistake, but that must never lead to another object. */
export const RISKY_KEYS: readonly string[] = [
  "/",
  "/a",
  "a//b",
  ".",
  "..",
  "a/../secret",
  "../secret",
  "a/./b",
  "%2e%2e/secret",
  "a\tb",
  "a\nb",
  "a\rb",
  "\u0001",
  "a\u0000b",
];

/** Bytes that differ from place to place, and from seed to seed. */
export function bytes(length: number, seed = 1): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  let x = seed * 0x9e3779b1;
  for (let i = 0; i < words.length; i++) words[i] = x = Math.imul(x, 1_664_525) + 1_013_904_223;
  return new Uint8Array(words.buffer, 0, length);
}

/** Yields pieces of these lengths, over and over. */
export function* cut(all: Uint8Array, lengths: readonly number[]): Generator<Uint8Array, void, undefined> {
  for (let at = 0, i = 0; at < all.length; i++) yield all.slice(at, at += lengths[i % lengths.length]!);
}

export function streamed(parts: Iterable<Uint8Array>): ReadableStream<Uint8Array> {
  return ReadableStream.from(parts);
}

export async function read(found: { readonly body: ReadableStream<Uint8Array> } | undefined): Promise<Uint8Array> {
  check(found !== undefined, "it is there");
  const pieces: Uint8Array[] = [];
  for await (const piece of found.body) pieces.push(piece);
  const all = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

export function equalBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  same(actual.length, expected.length, `${what}, length`);
  for (let i = 0; i < actual.length; i++) {
    if (actual[i] !== expected[i]) throw new Error(`${what}: byte ${i} is wrong`);
  }
}

/** Reads an object, and checks that it is the expected one. */
export async function expectObject(
  bucket: Bucket,
  key: string,
  expected: Uint8Array,
  put?: BucketObject,
): Promise<void> {
  const found = await bucket.get(key);
  check(found !== undefined, `${JSON.stringify(key)} is there`);
  same(found.key, key, "key");
  same(found.size, expected.length, `size of ${JSON.stringify(key)}`);
  if (put !== undefined) {
    same(put.key, key, "key of what was put");
    same(put.size, expected.length, `size of ${JSON.stringify(key)}, when it was put`);
    same(found.etag, put.etag, "ETag");
  }
  equalBytes(await read(found), expected, JSON.stringify(key));
}

/** Returns all pages of a list. */
export async function listAll(
  bucket: Bucket,
  options: { readonly prefix?: string; readonly cursor?: string; readonly limit?: number },
  pages: ListPage[] = [],
): Promise<BucketObject[]> {
  const objects: BucketObject[] = [];
  let page = await bucket.list(options);
  for (;;) {
    pages.push(page);
    objects.push(...page.objects);
    if (page.cursor === undefined) return objects;
    check(pages.length < 2000, "the list ends");
    page = await bucket.list({ ...options, cursor: page.cursor });
  }
}

export function keysOf(objects: readonly BucketObject[]): string {
  return objects.map(({ key }) => key).join("\n");
}

/** Keys in the order of their bytes, which is that of their code points. */
export function inOrder(keys: readonly string[]): string {
  const points = (key: string) => Array.from(key, (character) => character.codePointAt(0)!);
  return keys.toSorted((a, b) => {
    const [x, y] = [points(a), points(b)];
    const differs = x.findIndex((point, i) => point !== y[i]);
    return differs < 0 ? x.length - y.length : x[differs]! - (y[differs] ?? -1);
  }).join("\n");
}
