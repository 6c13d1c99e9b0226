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

/** Looks at the heap, all the time. */
export class HeapWatch {
  readonly #socket: WebSocket;
  readonly #answers = new Map<number, (result: Record<string, number>) => void>();
  #asked = 0;
  #peak: HeapPeak = { heap: 0, buffers: 0, all: 0 };
  #over = false;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      const { id, result } = JSON.parse(data as string);
      this.#answers.get(id)?.(result);
      this.#answers.delete(id);
    };
  }

  /** Begins to look. */
  static async start(inspector: string): Promise<HeapWatch> {
    const socket = new WebSocket(`${inspector}core:user:`);
    await new Promise<void>((resolve, reject) => {
      socket.onopen = () => resolve();
      socket.onerror = () => reject(new Error(`There is no inspector at ${inspector}`));
    });
    const watch = new HeapWatch(socket);
    void watch.#look();
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

  async #sample(): Promise<void> {
    const id = ++this.#asked;
    const usage = await new Promise<Record<string, number>>((resolve) => {
      this.#answers.set(id, resolve);
      this.#socket.send(JSON.stringify({ id, method: "Runtime.getHeapUsage" }));
    });
    const heap = usage["usedSize"]! / MiB;
    const buffers = usage["backingStorageSize"]! / MiB;
    this.#peak = {
      heap: Math.max(heap, this.#peak.heap),
      buffers: Math.max(buffers, this.#peak.buffers),
      all: Math.max(heap + buffers, this.#peak.all),
    };
  }
}
