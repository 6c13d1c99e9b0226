import { open, rm } from "node:fs/promises";
import process from "node:process";

/** What a benchmark found. */
export interface Finding {
  readonly bench: string;
  readonly case: string;
  readonly runtime: string;
  readonly value: number;
  readonly unit: string;
  /** What this project has set itself, and whether it is reached. */
  readonly goal?: string;
  readonly met?: boolean;
}

/** What this is running on. */
export function runtimeName(): string {
  const { versions } = process as { versions: Record<string, string | undefined> };
  if (versions.deno !== undefined) return `deno ${versions.deno}`;
  return versions.bun !== undefined ? `bun ${versions.bun}` : `node ${versions.node}`;
}

/** Says what was found: a line of JSON, which `run.ts` makes a table of. */
export function report(
  bench: string,
  name: string,
  value: number,
  unit: string,
  goal?: { atLeast?: number; atMost?: number },
): void {
  const finding: Finding = {
    bench,
    case: name,
    runtime: runtimeName(),
    value: Number(value.toPrecision(4)),
    unit,
    ...(goal !== undefined && {
      goal: goal.atLeast !== undefined ? `>= ${goal.atLeast}` : `<= ${goal.atMost}`,
      met: goal.atLeast !== undefined ? value >= goal.atLeast : value <= goal.atMost!,
    }),
  };
  console.log(JSON.stringify(finding));
}

/** The median: of what is measured on a shared machine the one figure that means something. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** How long something takes, in seconds. */
export async function seconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

/**
 * Measures several things in rounds, one after the other in each, so that all share what else the machine does. What is
 * compared are the medians of the quotients within a round.
 */
export class Rounds {
  readonly #after: () => Promise<unknown>;
  readonly #wall = new Map<string, number[]>();
  readonly #cpu = new Map<string, number[]>();

  /** @param after cleans up behind each of them */
  constructor(after: () => Promise<unknown> = () => Promise.resolve()) {
    this.#after = after;
  }

  /**
   * Measures all, so many times, after a round that does not count; every other round goes backwards. A work that gives
   * a number has measured itself, in seconds.
   */
  async run(rounds: number, works: Readonly<Record<string, () => Promise<unknown>>>): Promise<void> {
    for (let round = 0; round <= rounds; round++) {
      const order = Object.entries(works);
      for (const [name, work] of round % 2 === 0 ? order : order.reverse()) {
        const before = process.cpuUsage();
        let said: unknown;
        const waited = await seconds(async () => said = await work());
        const took = typeof said === "number" ? said : waited;
        const { user, system } = process.cpuUsage(before);
        await this.#after();
        if (round === 0) continue;
        (this.#wall.get(name) ?? this.#wall.set(name, []).get(name)!).push(took);
        (this.#cpu.get(name) ?? this.#cpu.set(name, []).get(name)!).push((user + system) / 1e6);
      }
    }
  }

  /** How long it took, in seconds. */
  median(name: string): number {
    return median(this.#wall.get(name)!);
  }

  /** The processor time of this process that it took, in seconds. */
  cpu(name: string): number {
    return median(this.#cpu.get(name)!);
  }

  /** How long one took in relation to another, within a round. */
  ratio(one: string, other: string): number {
    return median(this.#wall.get(one)!.map((took, round) => took / this.#wall.get(other)![round]!));
  }

  /** Says how far the rounds of one thing lay apart, at the worst: (slowest - quickest) / median. */
  reportNoise(bench: string): void {
    const spread = [...this.#wall.values()].map((took) => (Math.max(...took) - Math.min(...took)) / median(took));
    report(bench, "noise: spread of the rounds / median", Math.max(...spread), "ratio");
  }
}

/**
 * Writes a file and removes it again, so that what is measured next finds as many free pages as it needs. A virtual
 * machine takes pages that are free for a second or two from its guest, and giving them back costs four times what
 * writing does: without this, whoever comes right after a removal would win.
 */
export async function warmPages(path: string, size: number): Promise<void> {
  const block = new Uint8Array(4 * 1024 * 1024);
  const file = await open(path, "w");
  for (let at = 0; at < size; at += block.length) await file.write(block, 0, block.length, at);
  await file.close();
  await rm(path);
}

/** Several at a time, so many in all. */
export async function inParallel(at_once: number, count: number, work: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: at_once }, async () => {
    while (next < count) await work(next++);
  }));
}

/** Random bytes. */
export function randomBytes(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, Math.min(at + 65_536, length)));
  return bytes;
}

/** So many bytes, made of a block over and over. */
export function repeated(block: Uint8Array, length: number): ReadableStream<Uint8Array> {
  return ReadableStream.from((function* () {
    for (let at = 0; at < length; at += block.length) yield block.subarray(0, Math.min(block.length, length - at));
  })());
}
