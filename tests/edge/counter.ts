// A replica in a Durable Object that can be told to crash.

import { type ExecutorEvent, type ExecutorOptions, type SnapshotHandler, snapshotHandler } from "../../mod.ts";
import { DurableReplica } from "../../src/durable_object.ts";
import { ObjectStorage, R2BindingBucket, type R2BucketLike } from "../../src/object.ts";
import { CountingMachine } from "./counting_machine.ts";
import type { ObjectState } from "./inside.ts";

/** What happens to calls that write to R2. */
class Plan {
  /** After so many the object is lost: before that one is made, or after it was answered. */
  left = Infinity;
  after = false;
  /** How many there were. */
  writes = 0;
  /** Each takes so long, in milliseconds. */
  delay = 0;
}

/** A bucket whose writes go by a plan. */
function planned(bucket: R2BucketLike, plan: Plan, crash: () => void): R2BucketLike {
  const write = async <T>(work: () => Promise<T>): Promise<T> => {
    plan.writes++;
    if (plan.delay > 0) await new Promise((resolve) => setTimeout(resolve, plan.delay));
    const now = --plan.left < 0;
    if (now && !plan.after) crash();
    const result = await work();
    if (now) crash();
    return result;
  };
  return {
    head: (key) => bucket.head(key),
    get: (key, options) => bucket.get(key, options),
    list: (options) => bucket.list(options),
    put: (key, value, options) => write(() => bucket.put(key, value, options)),
    delete: (keys) => write(() => bucket.delete(keys)),
    createMultipartUpload: (key) => bucket.createMultipartUpload(key),
  };
}

/** Saves every 40 entries, and never by time. */
export class Counter {
  readonly #state: ObjectState;
  readonly #machine = new CountingMachine();
  readonly #life: string = crypto.randomUUID();
  readonly #plan = new Plan();
  readonly #events: string[] = [];
  #opened!: DurableReplica<CountingMachine>;
  #handler!: SnapshotHandler;

  constructor(state: ObjectState, env: { readonly BUCKET: R2BucketLike }) {
    this.#state = state;
    void state.blockConcurrencyWhile(async () => {
      const bucket = planned(env.BUCKET, this.#plan, () => state.abort("as planned"));
      const storage = await ObjectStorage.open(new R2BindingBucket(bucket), {
        prefix: `${this.constructor.name}/${state.id}/`,
      });
      this.#opened = await DurableReplica.open(state.storage, {
        machine: this.#machine,
        storage,
        purge: { gap: 1 },
        ...this.options,
        onEvent: (event) => this.#note(event),
      });
      this.#handler = snapshotHandler(storage, { allowWrites: true, target: this.#opened.replica });
    });
  }

  get options(): Pick<ExecutorOptions, "triggers" | "retry" | "stallTimeout"> {
    return { triggers: { interval: 0, entries: 40 } };
  }

  /** `/{class}/{name}/{what}` */
  async fetch(request: Request): Promise<Response> {
    const { replica } = this.#opened;
    const { pathname, searchParams, origin } = new URL(request.url);
    const [, , , what, ...rest] = pathname.split("/");
    switch (what) {
      case "add":
        return Response.json(
          String((await replica.propose(new TextEncoder().encode(searchParams.get("word")!))).index),
        );
      case "counts":
        return Response.json(this.#machine.counts);
      case "status":
        return Response.json(await this.#status());
      case "snapshot": {
        this.#plan.left = Number(searchParams.get("crashAt") ?? Infinity);
        this.#plan.after = searchParams.get("when") === "after";
        this.#plan.writes = 0;
        await replica.snapshot().result;
        this.#plan.left = Infinity;
        return Response.json(this.#plan.writes);
      }
      case "bucket":
        this.#plan.delay = Number(searchParams.get("delay") ?? 0);
        return new Response();
      case "alarm":
        await this.#state.storage.setAlarm(Date.now() + Number(searchParams.get("in")));
        return new Response();
      case "install":
        await replica.install([searchParams.get("from")!]).result;
        return Response.json(await this.#status());
      case "crash":
        this.#state.abort("as asked");
        return new Response();
      case "snapshots": {
        const path = `/${[what, ...rest].join("/")}`;
        return await this.#handler(new Request(new URL(path, origin), request));
      }
      case "socket": {
        const { 0: client, 1: server } = new WebSocketPair();
        this.#state.acceptWebSocket(server);
        return new Response(null, { status: 101, webSocket: client } as ResponseInit);
      }
      default:
        return new Response(null, { status: 404 });
    }
  }

  alarm(): Promise<void> {
    this.#events.push("alarm");
    return this.#opened.alarm();
  }

  /** Adds a word, and says in which life. */
  async webSocketMessage(socket: WebSocket, word: string): Promise<void> {
    const { index } = await this.#opened.replica.propose(new TextEncoder().encode(word));
    socket.send(JSON.stringify({ index: String(index), life: this.#life, counts: this.#machine.counts }));
  }

  #note(event: ExecutorEvent): void {
    if (event.type === "saveFailed") this.#events.push(`saveFailed: ${event.error}`);
    else if (event.type === "saved") this.#events.push("saved");
  }

  async #status(): Promise<Record<string, unknown>> {
    const { state, appliedIndex, snapshot, firstIndex, lastIndex, metrics } = this.#opened.replica.status();
    return {
      life: this.#life,
      state,
      appliedIndex: String(appliedIndex),
      snapshotIndex: String(snapshot?.meta.lastIncludedIndex ?? 0n),
      firstIndex: String(firstIndex),
      lastIndex: String(lastIndex),
      saves: metrics.saves,
      events: this.#events,
      alarm: await this.#state.storage.getAlarm(),
    };
  }
}

/** Saves every second or so, by the alarm. */
export class Ticker extends Counter {
  override get options(): ExecutorOptions {
    return { triggers: { interval: 1000, entries: 0 }, stallTimeout: 1500, retry: { initial: 100 } };
  }
}

/** Saves when it is told to, or after an hour. */
export class Sleeper extends Counter {
  override get options(): ExecutorOptions {
    return { triggers: { interval: 3_600_000, entries: 0 } };
  }
}

declare const WebSocketPair: new () => { readonly 0: WebSocket; readonly 1: WebSocket };
