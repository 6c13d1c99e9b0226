// Numbers that look random and are the same each time.

/** A generator: xorshift32, well stirred. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = Math.imul(seed + 1, 0x9e3779b9) | 1;
    for (let i = 0; i < 8; i++) this.next();
  }

  /** From 0 to 1. */
  next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return (x >>> 0) / 2 ** 32;
  }

  /** A whole number below. */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  /** Whether something that happens so often happens. */
  chance(share: number): boolean {
    return this.next() < share;
  }

  /** One of some. */
  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }
}

/**
 * So many runs of a law that is of our code alone: all on Deno; on other engines, which could only break it for one of
 * the first values, a tenth.
 */
export function runs(all: number): number {
  return "Deno" in globalThis ? all : Math.ceil(all / 10);
}
