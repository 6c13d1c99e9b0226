// The objects of `counter.ts`, from outside.

import { ask, request, until, type Worker } from "../support/miniflare.ts";

/** What an object of `counter.ts` says of itself. */
export interface Status {
  readonly life: string;
  readonly state: string;
  readonly appliedIndex: string;
  readonly snapshotIndex: string;
  readonly firstIndex: string;
  readonly lastIndex: string;
  readonly saves: number;
  readonly events: readonly string[];
  readonly alarm: number | null;
}

/** An object of `counter.ts`, by its path. */
export class Remote {
  readonly #worker: Worker;
  readonly #path: string;

  constructor(worker: Worker, path: string) {
    this.#worker = worker;
    this.#path = path;
  }

  get url(): string {
    return `${this.#worker.url}/${this.#path}`;
  }

  async add(word: string): Promise<bigint> {
    return BigInt(JSON.parse(await ask(`${this.url}/add?word=${word}`)));
  }

  async counts(): Promise<Record<string, number>> {
    return JSON.parse(await ask(`${this.url}/counts`));
  }

  async status(): Promise<Status> {
    return JSON.parse(await ask(`${this.url}/status`));
  }

  /** Returns how many writes to R2 that took. */
  async snapshot(query = ""): Promise<number> {
    return JSON.parse(await ask(`${this.url}/snapshot?${query}`));
  }

  /** Loses the object: nothing in memory is left. */
  async crash(): Promise<void> {
    await request(`${this.url}/crash`).catch(() => {});
  }

  /** Waits until it has a snapshot of so much, and nothing more to do. */
  async saved(index: string): Promise<Status> {
    return await until(`snapshot ${index}`, async () => {
      const status = await this.status();
      return status.snapshotIndex === index && status.state === "idle" ? status : undefined;
    });
  }

  /** Each write of its to the bucket takes so long from now on, in milliseconds, until it is lost. */
  async slow(delay: number): Promise<void> {
    await ask(`${this.url}/bucket?delay=${delay}`);
  }

  /** Sets its alarm, in milliseconds from now, as something in it does that waits. */
  async alarm(wait: number): Promise<void> {
    await ask(`${this.url}/alarm?in=${wait}`);
  }

  /** Installs a snapshot from a server. */
  async install(from: string): Promise<Status> {
    return JSON.parse(await ask(`${this.url}/install?from=${encodeURIComponent(from)}`));
  }
}
