// How much memory the isolate of the worker has, as its inspector says: what the platform sets its limit to.

const MiB = 1024 * 1024;

/** What was seen at the most, in MiB. */
export interface HeapPeak {
  /** Of V8's heap. */
  readonly heap: number;
  /** Of buffers outside of it. */
  readonly buffers: number;
  /** Of both together. */
  readonly all: number;
}

/** How often an inspector may go away within one sample: it does so when the machine is busy, and comes back. */
const TRIES = 10;

/** Looks at the heap, all the time. */
export class HeapWatch {
  readonly #inspector: string;
  #socket: WebSocket;
  #peak: HeapPeak = { heap: 0, buffers: 0, all: 0 };
  /** One sample at a time asks. */
  #sampled: Promise<void> = Promise.resolve();
  #over = false;

  private constructor(inspector: string, socket: WebSocket) {
    this.#inspector = inspector;
    this.#socket = socket;
  }

  /** Begins to look. */
  static async start(inspector: string): Promise<HeapWatch> {
    const watch = new HeapWatch(inspector, await connect(inspector));
    void watch.#look().catch(() => {}); // whoever takes a peak hears of it
    return watch;
  }

  /** What was seen since this was asked last, and is to be seen now. */
  async take(): Promise<HeapPeak> {
    await this.#sample();
    const peak = this.#peak;
    this.#peak = { heap: 0, buffers: 0, all: 0 };
    return peak;
  }

  /** Looks no more. */
  stop(): void {
    this.#over = true;
    this.#socket.close();
  }

  async #look(): Promise<void> {
    while (!this.#over) {
      await this.#sample();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  #sample(): Promise<void> {
    const sampled = this.#sampled.then(async () => {
      const usage = await this.#usage();
      const heap = usage["usedSize"]! / MiB;
      const buffers = usage["backingStorageSize"]! / MiB;
      this.#peak = {
        heap: Math.max(heap, this.#peak.heap),
        buffers: Math.max(buffers, this.#peak.buffers),
        all: Math.max(heap + buffers, this.#peak.all),
      };
    });
    this.#sampled = sampled.catch(() => {});
    return sampled;
  }

  async #usage(): Promise<Record<string, number>> {
    for (let i = 0; i < TRIES && !this.#over; i++) {
      const usage = await usageOf(this.#socket);
      if (usage !== undefined) return usage;
      if (!this.#over) this.#socket = await connect(this.#inspector);
    }
    throw new Error(`The inspector at ${this.#inspector} says nothing`);
  }
}

async function connect(inspector: string): Promise<WebSocket> {
  const socket = new WebSocket(`${inspector}core:user:`);
  await new Promise<void>((resolve, reject) => {
    socket.onopen = () => resolve();
    socket.onerror = () => reject(new Error(`There is no inspector at ${inspector}`));
  });
  return socket;
}

/** What the heap has; nothing if the connection ends before it says so. */
async function usageOf(socket: WebSocket): Promise<Record<string, number> | undefined> {
  const { promise, resolve } = Promise.withResolvers<Record<string, number> | undefined>();
  socket.onmessage = ({ data }) => {
    const { id, result } = JSON.parse(data as string);
    if (id === 1) resolve(result);
  };
  socket.onclose = socket.onerror = () => resolve(undefined);
  if (socket.readyState !== WebSocket.OPEN) return undefined;
  socket.send(JSON.stringify({ id: 1, method: "Runtime.getHeapUsage" }));
  return await promise;
}
