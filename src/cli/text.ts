/**
 * Sizes, ages and tables for people. `--json` has the exact numbers.
 *
 * @module
 */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** A number of bytes, to three digits. */
export function sizeText(bytes: number): string {
  let [value, unit] = [bytes, 0];
  // 1023.95 would be shown as 1024.0
  while (value >= (unit === 0 ? 1024 : 1023.95) && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${UNITS[unit]}`;
}

const SPANS: readonly (readonly [seconds: number, name: string])[] = [
  [365 * 86_400, "y"],
  [86_400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
];

/** The time since a moment, in its largest unit; a clock that is behind is said, and not hidden. */
export function ageText(at: number | undefined, now: number = Date.now()): string {
  if (at === undefined) return "-";
  const seconds = Math.floor(Math.abs(now - at) / 1000);
  const [span, name] = SPANS.find(([span]) => seconds >= span) ?? SPANS.at(-1)!;
  const text = `${Math.floor(seconds / span)} ${name}`;
  return now >= at || seconds === 0 ? `${text} ago` : `in ${text}`;
}

/** A part of a whole in per cent, rounded down: only all of it is 100. */
export function shareText(part: number, whole: number): string {
  return whole === 0 ? "100 %" : `${Math.floor(part / whole * 100)} %`;
}

/**
 * Lines with columns below each other.
 *
 * @param header the names of the columns; those that begin with `>` are aligned to the right
 * @param rows the cells, which must have no line feeds
 */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const right = header.map((name) => name.startsWith(">"));
  const lines = [header.map((name) => name.replace(/^>/, "")), ...rows];
  const widths = header.map((_, i) => lines.reduce((most, cells) => Math.max(most, cells[i]!.length), 0));
  return lines.map((cells) =>
    cells.map((cell, i) => right[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)).join("  ").trimEnd()
  );
}
