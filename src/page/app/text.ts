/**
 * Numbers for people.
 *
 * @module
 */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** A number of bytes. */
export function size(bytes: number): string {
  let [value, unit] = [bytes, 0];
  while (value >= 1023.95 && unit < UNITS.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${UNITS[unit]}`;
}

/** A number with its thousands apart. */
export function count(value: number | bigint | string): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

const SPANS: readonly (readonly [number, string])[] = [[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

/** The time since a moment. */
export function age(at: number | undefined, now: number): string {
  if (at === undefined) return "–";
  const seconds = Math.max(Math.floor((now - at) / 1000), 0);
  const [span, name] = SPANS.find(([span]) => seconds >= span) ?? SPANS.at(-1)!;
  return `${Math.floor(seconds / span)} ${name} ago`;
}

/** Characters that have no shape of their own, or change the direction of the text after them. */
// deno-lint-ignore no-control-regex
const UNSEEN = /[\0-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** A name as it is, and not as it wants to be seen. */
export function visible(name: string): string {
  return name.replace(UNSEEN, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** A number of milliseconds. */
export function duration(ms: number): string {
  return ms < 10 ? `${ms.toFixed(1)} ms` : ms < 10_000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
