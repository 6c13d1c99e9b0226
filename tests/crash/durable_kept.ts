// A database in memory that outlives its process, and remembers every write: it can go back to any of them.

import { compareBytes } from "../../src/stream/mod.ts";
import type { Engine, EngineView, Pair } from "../../src/extend.ts";
import type { MortalDatabase } from "./durable_world.ts";

type Content = ReadonlyMap<string, Pair>;

/** How many entries it reads at once, and deletes at once of a range. */
const PAGE = 3;

/** Keeps all versions of what it holds. */
export class KeptDatabase implements MortalDatabase {
  readonly #versions: Content[] = [new Map()];
  /** Whether it is on a disk that can be synced. */
  readonly isOnDisk: boolean;
  /** The versions that no power failure takes back. */
  #synced = 1;

  constructor(isOnDisk = false) {
    this.isOnDisk = isOnDisk;
  }

  get #now(): Content {
    return this.#versions.at(-1)!;
  }

  open(): Promise<Engine> {
    const engine: Engine = {
      ...this.#view(() => this.#now),
      write: async (changes) => {
        const next = new Map(this.#now);
        for (const { key, value } of changes) {
          if (value === undefined) next.delete(key.join());
          else next.set(key.join(), [key.slice(), value.slice()]);
        }
        this.#versions.push(next);
      },
      clear: async (from, to) => {
        for (;;) { // it is no transaction: a crash leaves a part of it
          const found = between(this.#now, from, to).slice(0, PAGE);
          if (found.length === 0) return;
          await engine.write(found.map(([key]) => ({ key, value: undefined })));
        }
      },
      ...(this.isOnDisk && {
        sync: () => {
          this.#synced = this.#versions.length;
          return Promise.resolve();
        },
      }),
      view: () => {
        const content = this.#now;
        return this.#view(() => content);
      },
      codeOf: () => "UNAVAILABLE",
    };
    return Promise.resolve(engine);
  }

  kill(): Promise<void> {
    return Promise.resolve();
  }

  rollBack(writes: number): void {
    this.#versions.splice(Math.max(this.#synced, this.#versions.length - writes));
  }

  #view(content: () => Content): EngineView {
    return {
      getMany: (keys) => Promise.resolve(keys.map((key) => content().get(key.join())?.[1])),
      async *entries(from, to) {
        const pairs = between(content(), from, to);
        for (let at = 0; at < pairs.length; at += PAGE) {
          await Promise.resolve();
          yield pairs.slice(at, at + PAGE);
        }
      },
      close: () => Promise.resolve(),
    };
  }
}

function between(content: Content, from: Uint8Array, to: Uint8Array): Pair[] {
  return [...content.values()].filter(([key]) => compareBytes(key, from) >= 0 && compareBytes(key, to) < 0)
    .sort(([a], [b]) => compareBytes(a, b));
}
