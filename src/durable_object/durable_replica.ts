/**
 * A replica in a Durable Object.
 *
 * @module
 */

import { closeGiven, type ExecutorEvent, Replica, type ReplicaOptions } from "../executor/mod.ts";
import { checkFunction, checkOptions } from "../checks.ts";
import { DurableObjectLog } from "./log.ts";
import type { DurableSqlStorage } from "./sql_storage.ts";
import type { StateMachine } from "../state/mod.ts";
import { AlarmClock, type AlarmStorage } from "./alarm_clock.ts";

/** Options of {@linkcode DurableReplica.open}: those of a replica, whose log and clock are the object's. */
export type DurableReplicaOptions<M extends StateMachine> = Omit<ReplicaOptions<M>, "log" | "clock">;

/** The parts of `ctx.storage` that a replica needs, in a Durable Object with SQLite. */
export interface DurableStorage extends DurableSqlStorage, AlarmStorage {}

/**
 * A {@linkcode Replica} whose log is in a Durable Object's storage, and whose timer is the object's alarm. The object
 * may be hibernated or evicted at any time, and loses nothing. A save that an eviction cuts off is taken anew by the
 * next life of the object, which its alarm starts.
 *
 * The alarm, and tables called `snapstream_…`, are the replica's own.
 *
 * @typeParam M the state machine
 *
 * @example
 * ```ts
 * import { KeyValueMachine, utf8Codec } from "@snapstream/snapstream";
 * import { DurableReplica, type DurableStorage } from "@snapstream/snapstream/durable-object";
 * import { ObjectStorage, R2BindingBucket, type R2BucketLike } from "@snapstream/snapstream/object";
 *
 * interface State { // `DurableObjectState`, of which this is a part
 *   readonly id: { toString(): string };
 *   readonly storage: DurableStorage;
 *   blockConcurrencyWhile<T>(work: () => Promise<T>): Promise<T>;
 * }
 *
 * export class Room {
 *   #machine = new KeyValueMachine(utf8Codec());
 *   #room!: DurableReplica<KeyValueMachine<string>>;
 *
 *   constructor(state: State, env: { readonly BUCKET: R2BucketLike }) {
 *     void state.blockConcurrencyWhile(async () => {
 *       const storage = await ObjectStorage.open(new R2BindingBucket(env.BUCKET), { prefix: `rooms/${state.id}/` });
 *       this.#room = await DurableReplica.open(state.storage, { machine: this.#machine, storage });
 *     });
 *   }
 *
 *   async fetch(request: Request): Promise<Response> {
 *     const { index } = await this.#room.replica.propose(this.#machine.put(request.url, await request.text()));
 *     return new Response(String(index));
 *   }
 *
 *   alarm(): Promise<void> {
 *     return this.#room.alarm();
 *   }
 * }
 * ```
 */
export class DurableReplica<M extends StateMachine> implements AsyncDisposable {
  /** The replica. */
  readonly replica: Replica<M>;
  readonly #clock: AlarmClock;
  readonly #work: Work;

  private constructor(replica: Replica<M>, clock: AlarmClock, work: Work) {
    this.replica = replica;
    this.#clock = clock;
    this.#work = work;
  }

  /**
   * Opens the replica of an object, in its constructor's `blockConcurrencyWhile`.
   *
   * @param storage the object's `ctx.storage`
   * @param options the options of the replica
   * @throws as {@linkcode DurableObjectLog.open} and {@linkcode Replica.open}
   */
  static async open<M extends StateMachine>(
    storage: DurableStorage,
    options: DurableReplicaOptions<M>,
  ): Promise<DurableReplica<M>> {
    let clock: AlarmClock;
    let log: DurableObjectLog;
    try {
      checkOptions<Pick<DurableReplicaOptions<M>, "onEvent">>(options, { onEvent: checkFunction });
      clock = await AlarmClock.open(storage);
      log = await DurableObjectLog.open(storage, () => work.changed());
    } catch (error) {
      await closeGiven(options);
      throw error;
    }
    const work = new Work(clock, log);
    const onEvent = (event: ExecutorEvent) => {
      work.see(event);
      options.onEvent?.(event);
    };
    const replica = await Replica.open({ ...options, log, clock, onEvent });
    work.saved(replica.status().snapshot?.meta.lastIncludedIndex ?? 0n);
    return new DurableReplica(replica, clock, work);
  }

  /**
   * To be called by the object's `alarm()`. Resolves when the running save or install is done, so that the object is
   * not evicted meanwhile. Never rejects: a save that fails is an event, and is retried.
   */
  alarm(): Promise<void> {
    return this.#clock.ring(async (awaited) => {
      if (awaited) await this.replica.snapshot().result.catch(() => {}); // an event said so
      await this.#work.done;
    });
  }

  /** Closes the replica. */
  close(): Promise<void> {
    return this.replica.close();
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Follows what the replica does, and sets the clock's mode for it. */
class Work {
  readonly #clock: AlarmClock;
  readonly #log: DurableObjectLog;
  #snapshotIndex = 0n;
  /** Settles when no save or install is running. */
  #done: Promise<void> = Promise.resolve();
  #end: (() => void) | undefined;

  constructor(clock: AlarmClock, log: DurableObjectLog) {
    this.#clock = clock;
    this.#log = log;
  }

  get done(): Promise<void> {
    return this.#done;
  }

  /** Notes the index of the newest snapshot. */
  saved(index: bigint): void {
    this.#snapshotIndex = index;
    this.changed();
  }

  see(event: ExecutorEvent): void {
    if (event.type === "saved" || event.type === "installed") {
      const snapshot = event.type === "saved" ? event.result.snapshot : event.snapshot;
      if (snapshot !== undefined) this.saved(snapshot.meta.lastIncludedIndex);
    } else if (event.type === "unusable") {
      // Its entries are in the log only.
      if (event.snapshot.meta.lastIncludedIndex === this.#snapshotIndex) this.saved(0n);
    } else if (event.type === "state") {
      this.#state(event.state === "idle" || event.state === "closed");
    }
  }

  /** Sets the mode: the object need not be woken up if the newest snapshot has all entries. */
  changed(): void {
    const behind = this.#log.lastIndex > this.#snapshotIndex;
    this.#clock.mode = this.#end !== undefined ? "busy" : behind ? "waiting" : "resting";
  }

  #state(idle: boolean): void {
    if (idle) {
      this.#end?.();
      this.#end = undefined;
    } else if (this.#end === undefined) {
      this.#done = new Promise((resolve) => this.#end = resolve);
    }
    this.changed();
  }
}
