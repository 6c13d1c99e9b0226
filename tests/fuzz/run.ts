// Runs cases, and says what came of them.

import { SnapshotError } from "../../mod.ts";
import { Random } from "../support/random.ts";
import { Meter } from "./allocation.ts";
import { type Attempt, MOST_BYTES, type Target } from "./target.ts";

/** A case that takes longer hangs, in milliseconds. */
export const HANGS = 5000;

/** A case that broke a law. */
export interface Finding {
  readonly command: string;
  readonly message: string;
}

/** What came of a target. */
export interface Report {
  readonly target: string;
  cases: number;
  /** Inputs that were taken, for which all laws hold. */
  accepted: number;
  /** Refusals, by code. */
  readonly errors: Record<string, number>;
  readonly findings: Finding[];
  seconds: number;
  /** The most bytes that a case asked for in arrays. */
  mostBytes: number;
}

/** Options of {@linkcode fuzz}. */
export interface FuzzOptions {
  readonly seed: number;
  /** The cases, by number. */
  readonly from: number;
  readonly count: number;
  /** Told of each case before it begins. */
  readonly onCase?: (number: number) => void;
}

/** What makes a case what it is: the same for the same seed, target and number. */
export function randomOf(seed: number, target: string, number: number): Random {
  let hash = 0x811c9dc5;
  for (const unit of `${seed}:${target}:${number}`) hash = Math.imul(hash ^ unit.charCodeAt(0), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return new Random((hash ^ (hash >>> 16)) >>> 1);
}

/** What repeats a case. */
export function commandOf(seed: number, target: string, number: number): string {
  return `deno task fuzz --seed ${seed} --target ${target} --case ${number}`;
}

/** Runs cases of a target, one after the other; stops at the tenth finding. */
export async function fuzz(target: Target, { seed, from, count, onCase }: FuzzOptions): Promise<Report> {
  const report: Report = {
    target: target.name,
    cases: 0,
    accepted: 0,
    errors: {},
    findings: [],
    seconds: 0,
    mostBytes: 0,
  };
  const attempt = await target.prepare();
  const meter = new Meter();
  meter.install();
  const begin = performance.now();
  try {
    for (let number = from; number < from + count && report.findings.length < 10; number++) {
      onCase?.(number);
      const message = await runCase(target, attempt, randomOf(seed, target.name, number), meter, report);
      if (message !== undefined) report.findings.push({ command: commandOf(seed, target.name, number), message });
      report.cases++;
    }
  } finally {
    meter.uninstall();
  }
  report.seconds = (performance.now() - begin) / 1000;
  return report;
}

/** Runs a case. Gives what is wrong, if anything is. */
async function runCase(
  { codes, mostBytes = MOST_BYTES }: Target,
  attempt: Attempt,
  random: Random,
  meter: Meter,
  report: Report,
): Promise<string | undefined> {
  const begin = performance.now();
  let wrong: string | undefined;
  meter.bytes = 0;
  try {
    const work = attempt(random);
    if (work !== undefined) await inTime(work);
    report.accepted++;
  } catch (error) {
    if (error instanceof SnapshotError) {
      report.errors[error.code] = (report.errors[error.code] ?? 0) + 1;
      if (!codes.includes(error.code)) wrong = `It is refused with ${error.code}: ${error.stack}`;
    } else {
      wrong = error instanceof Error ? `${error.stack}${causeOf(error)}` : String(error);
    }
  }
  const took = performance.now() - begin;
  if (took > HANGS) wrong ??= `It took ${Math.round(took)} ms`;
  report.mostBytes = Math.max(report.mostBytes, meter.bytes);
  if (meter.bytes > mostBytes) wrong ??= `It asked for ${meter.bytes} bytes, where ${mostBytes} are enough`;
  return wrong;
}

function causeOf({ cause }: Error): string {
  return cause instanceof Error ? `\ncaused by ${cause.stack}${causeOf(cause)}` : "";
}

/** Waits for a case, but not for ever. */
async function inTime(work: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const hanging = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`It hangs: nothing came of it in ${HANGS} ms`)), HANGS);
  });
  try {
    await Promise.race([work, hanging]);
  } finally {
    clearTimeout(timer);
  }
}
