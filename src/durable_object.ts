/**
 * A replica in a Cloudflare Durable Object: its log in the object's SQL storage, its timer the object's alarm.
 *
 * With its snapshots in R2 the object may be evicted or killed at any time, and loses nothing that it has acknowledged.
 * What it needs of `wrangler.jsonc`: a class with SQLite (`new_sqlite_classes`) and a bucket (`r2_buckets`); no
 * `nodejs_compat`. A whole chat room, with web sockets: `tests/examples/room.ts` of the repository.
 *
 * ## A counter
 *
 * ```ts
 * import { bytesMachine, type SnapshotHandler, snapshotHandler, type StateMachine } from "@snapstream/snapstream";
 * import { DurableReplica, type DurableStorage } from "@snapstream/snapstream/durable-object";
 * import { type Bucket, ObjectStorage } from "@snapstream/snapstream/object";
 *
 * interface State { // a part of `DurableObjectState`
 *   readonly id: { toString(): string };
 *   readonly storage: DurableStorage;
 *   blockConcurrencyWhile<T>(work: () => Promise<T>): Promise<T>;
 * }
 *
 * class Counter { // `export class`, in a Worker
 *   #count = 0;
 *   #object!: DurableReplica<StateMachine>;
 *   #snapshots!: SnapshotHandler;
 *
 *   constructor(state: State, bucket: Bucket) { // `env`, in a Worker, and `new R2BindingBucket(env.BUCKET)`
 *     void state.blockConcurrencyWhile(async () => {
 *       const machine = bytesMachine({
 *         apply: () => void this.#count++,
 *         encode: () => new TextEncoder().encode(String(this.#count)),
 *         decode: (bytes) => void (this.#count = Number(new TextDecoder().decode(bytes))),
 *       });
 *       const storage = await ObjectStorage.open(bucket, { prefix: `counters/${state.id}/` });
 *       this.#object = await DurableReplica.open(state.storage, { machine, storage, triggers: { entries: 1000 } });
 *       this.#snapshots = snapshotHandler(storage, { target: this.#object.replica }); // read-only without `authorize`
 *     });
 *   }
 *
 *   async fetch(request: Request): Promise<Response> {
 *     if (new URL(request.url).pathname.startsWith("/snapshots")) return await this.#snapshots(request);
 *     await this.#object.replica.propose(new Uint8Array(1)); // durable from here on
 *     return new Response(String(this.#count));
 *   }
 *
 *   alarm(): Promise<void> { // the platform's timer: the replica saves, when that is due
 *     return this.#object.alarm();
 *   }
 * }
 * console.assert(Counter.length === 2);
 * ```
 *
 * @module
 */

export * from "./durable_object/log.ts";
export * from "./durable_object/sql_storage.ts";
export * from "./durable_object/alarm_clock.ts";
export * from "./durable_object/durable_replica.ts";
