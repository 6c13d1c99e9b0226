/**
 * Keys as subjects: a word for each part between slashes, so that a filter finds the keys below a prefix.
 *
 * @module
 */

/** The word for an empty part: words must not be empty. */
const EMPTY = "=";

/** The subject of a key, below a base. */
export function subjectOf(base: string, key: string): string {
  return `${base}.${key.split("/").map(wordOf).join(".")}`;
}

/** The subjects of all keys that begin with the whole parts of a prefix. */
export function filterOf(base: string, prefix: string): string {
  return [base, ...prefix.split("/").slice(0, -1).map(wordOf), ">"].join(".");
}

/** The key of a subject. */
export function keyOf(base: string, subject: string): string {
  return subject.slice(base.length + 1).split(".").map(partOf).join("/");
}

function wordOf(part: string): string {
  if (part === "") return EMPTY;
  const binary = Array.from(new TextEncoder().encode(part), (byte) => String.fromCharCode(byte)).join("");
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function partOf(word: string): string {
  if (word === EMPTY) return "";
  const binary = atob(word.replaceAll("-", "+").replaceAll("_", "/"));
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(binary, (char) => char.charCodeAt(0)));
}
