// What a page or a worker does when it is told to: `call("pull", url)`. In a page, `inWorker` tells its worker.

import { jsonCodec, KeyValueMachine, pull, SnapshotError } from "../../../mod.ts";
import { opfsRoot } from "../../../src/opfs/mod.ts";
import { OpfsStorage } from "../../../src/storage/opfs/storage.ts";
import { noise } from "../../support/harness.ts";
import { contentOf, directoryAt, flipByte } from "./kit.ts";

/** What can be asked for. */
export class Verbs {
  #storage: OpfsStorage | undefined;

  /** Opens the storage; says what is in it. */
  async open(directory: string): Promise<{ indices: string; damaged: number }> {
    this.#storage = await OpfsStorage.open(directory);
    for (const { index, error } of await this.#storage.unreadable()) throw new Error(`${index} is there: ${error}`);
    return { indices: await this.list(), damaged: this.#storage.damaged.length };
  }

  /** Makes a directory that the library knows nothing of. */
  async mark(): Promise<void> {
    await (await opfsRoot()).getDirectoryHandle("mark", { create: true });
  }

  /** Whether that directory is there. */
  async marked(): Promise<boolean> {
    return (await Array.fromAsync((await opfsRoot()).keys())).includes("mark");
  }

  async close(): Promise<void> {
    await this.#storage!.close();
  }

  async list(): Promise<string> {
    return (await this.#storage!.list()).map(({ meta }) => meta.lastIncludedIndex).join();
  }

  /** Saves bytes that an index and a size make. */
  async save(index: number, size: number): Promise<void> {
    const writer = await this.#storage!.create();
    try {
      const file = writer.file("state").getWriter();
      const piece = noise(Math.min(size, 1_000_000), index);
      for (let left = size; left > 0; left -= piece.length) await file.write(piece.subarray(0, left));
      await file.close();
      await writer.commit({ lastIncludedIndex: BigInt(index), lastIncludedTerm: 1n, peers: [] });
    } finally {
      await writer.abort();
    }
  }

  /** Saves one snapshot after the other, and says so, until the end of days. */
  async saveForEver(first: number, size: number): Promise<void> {
    for (let index = first;; index++) {
      await this.save(index, size);
      say(`committed ${index}`);
    }
  }

  /** Pulls to the end; checks that progress only grows, and reaches its total. */
  async pull(url: string): Promise<{ index: string; fetched: number; reused: number; steps: number }> {
    const pulling = pull(this.#storage!, [url], { retryFor: 100 });
    let [steps, last, total] = [0, 0, 0];
    for await (const progress of pulling) {
      if (progress.bytes < last) throw new Error(`Progress went back from ${last} to ${progress.bytes}`);
      [last, total] = [progress.bytes, progress.total ?? 0];
      steps++;
    }
    const { snapshot, fetched, reused } = await pulling.result;
    if (last !== total) throw new Error(`Progress ended at ${last} of ${total}`);
    return { index: String(snapshot.meta.lastIncludedIndex), fetched, reused, steps };
  }

  /** Pulls until so many bytes are here, and goes on while this is left behind. Says how many there are. */
  async pullUntil(url: string, bytes: number): Promise<number> {
    for await (const progress of pull(this.#storage!, [url])) if (progress.bytes >= bytes) return progress.bytes;
    throw new Error(`It ended before it had ${bytes} bytes`);
  }

  async verify(): Promise<{ ok: boolean; bytes: number }> {
    const reader = await this.#storage!.open();
    try {
      const { ok, bytes } = await reader.verify().result;
      return { ok, bytes };
    } finally {
      await reader.close();
    }
  }

  /** Loads the newest snapshot into a machine; says how many entries that are, and one of them. */
  async restore(key: string): Promise<{ index: string; size: number; value: number | undefined }> {
    const machine = new KeyValueMachine(jsonCodec<number>());
    const reader = await this.#storage!.open();
    try {
      await machine.load(reader);
      return { index: String(reader.meta.lastIncludedIndex), size: machine.size, value: machine.get(key) };
    } finally {
      await reader.close();
    }
  }

  /** Collects garbage all the time, so that what is seen of memory is what is held. */
  collectOften(): void {
    setInterval((globalThis as unknown as { gc(): void }).gc, 50);
  }

  async flip(directory: string, index: number, position: number): Promise<void> {
    await flipByte(directory, index, position);
  }

  async content(directory: string): Promise<string[][]> {
    return await contentOf(directory);
  }

  /** Waits until nobody has the storage open. */
  async free(directory: string): Promise<void> {
    await (navigator as unknown as Locking).locks.request(`snapstream ${directory}`, () => {});
  }

  /** How many places and contents there are. */
  async count(directory: string): Promise<{ places: number; data: number }> {
    const [places, data] = await Promise.all(["places", "data"].map(async (name) => {
      return (await Array.fromAsync((await directoryAt(`${directory}/${name}`)).keys())).length;
    }));
    return { places: places!, data: data! };
  }
}

const verbs = new Verbs();

/** What came of it; what went wrong, by its code. */
export type Outcome = { readonly value: unknown } | { readonly code: string; readonly message: string };

async function call(name: keyof Verbs, ...args: unknown[]): Promise<Outcome> {
  try {
    return { value: await (verbs[name] as (...args: unknown[]) => unknown).apply(verbs, args) };
  } catch (error) {
    return { code: error instanceof SnapshotError ? error.code : "", message: String(error) };
  }
}

/** Tells whoever listens to the page's console; a worker's goes there too. */
function say(line: string): void {
  console.log(line);
}

interface Locking {
  readonly locks: { request(name: string, callback: () => void): Promise<void> };
}

interface Scope {
  document?: unknown;
  app: { call: typeof call; inWorker: typeof call };
  onmessage: (event: MessageEvent) => void;
  postMessage(message: unknown): void;
}

const scope = globalThis as unknown as Scope;
if (scope.document === undefined) {
  scope.onmessage = async ({ data: [id, name, ...args] }) => scope.postMessage([id, await call(name, ...args)]);
} else {
  let worker: Worker | undefined;
  let calls = 0;
  const waiting = new Map<number, (outcome: Outcome) => void>();
  scope.app = {
    call,
    inWorker(name, ...args) {
      if (worker === undefined) {
        worker = new Worker("/module/app", { type: "module" });
        worker.onmessage = ({ data: [id, outcome] }) => waiting.get(id)!(outcome);
      }
      return new Promise((resolve) => {
        waiting.set(++calls, resolve);
        worker!.postMessage([calls, name, ...args]);
      });
    },
  };
}
