// A read replica in a page: its dedicated worker follows the stock of a shop. All of it is in OPFS, so that the page
// has it offline too, and goes on where it was when there is a network again. It has several sources: those that do not
// answer are tried again, and should the leader be lost, it follows whoever was promoted.

import { type Follower, jsonCodec, KeyValueMachine, type LogEntry, Replica } from "../../../mod.ts";
import { OpfsLog, OpfsStorage } from "../../../src/opfs.ts";

/** The stock; it counts the entries that it applies. */
class Stock extends KeyValueMachine<number> {
  applied = 0;

  override apply(entry: LogEntry): void {
    super.apply(entry);
    this.applied++;
  }
}

/** What the page may ask of it. */
export class StockReplica {
  readonly #stock = new Stock(jsonCodec<number>());
  #log: OpfsLog | undefined;
  #follower: Follower | undefined;
  #disconnected = Promise.withResolvers<void>();

  /** Opens what is here, and follows the sources from there on. Returns the last entry that is here. */
  async open(...sources: string[]): Promise<string> {
    const wait = new AbortController().signal; // another tab, or a worker that just ended, may have it open
    const storage = await OpfsStorage.open("stock/snapshots", { wait });
    this.#log = await OpfsLog.open("stock/log", { wait });
    const replica = await Replica.open({ machine: this.#stock, storage, log: this.#log });
    const { appliedIndex } = replica.status();
    this.#follower = replica.follow(sources, {
      onEvent: ({ type }) => {
        if (type === "connected") this.#disconnected = Promise.withResolvers();
        else if (type === "disconnected") this.#disconnected.resolve();
      },
    });
    return String(appliedIndex);
  }

  /** How much of an item there is, as far as it is known here. */
  get(key: string): number | undefined {
    return this.#stock.get(key);
  }

  /** Waits for an entry. */
  async caughtUp(index: string): Promise<void> {
    await this.#follower!.caughtUp(BigInt(index));
  }

  /** Waits until no source answers. */
  async disconnected(): Promise<void> {
    await this.#disconnected.promise;
  }

  /** What is in the log, and how many entries were applied since it was opened. */
  async status(): Promise<{ indices: string; applied: number }> {
    const entries = await Array.fromAsync(this.#log!.entries(this.#log!.firstIndex));
    return { indices: entries.map(({ index }) => index).join(), applied: this.#stock.applied };
  }
}

const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<[id: number, verb: "get", ...args: [string]]>) => void;
  postMessage(message: unknown): void;
};
const stock = new StockReplica();
scope.onmessage = async ({ data: [id, verb, ...args] }) => {
  try {
    scope.postMessage([id, await stock[verb](...args)]);
  } catch (error) {
    scope.postMessage([id, undefined, String(error)]);
  }
};
