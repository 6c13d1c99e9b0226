// A read replica at the edge: a Durable Object that follows the stock of a shop, which is led elsewhere. It has all of it
// in its own storage, answers from there, and catches up within a request: a stream that stayed open would keep it from
// being evicted. Woken up anew it goes on where it was; should the leader be lost, it can be promoted.
//
// wrangler.jsonc: "durable_objects": { "bindings": [{ "name": "STOCK", "class_name": "StockMirror" }] },
//                 "migrations": [{ "tag": "v1", "new_sqlite_classes": ["StockMirror"] }],
//                 "r2_buckets": [{ "binding": "BUCKET", "bucket_name": "stock" }]

import { type Follower, jsonCodec, KeyValueMachine, type SnapshotHandler, snapshotHandler } from "../../../mod.ts";
import { DurableReplica } from "../../../src/durable_object.ts";
import { ObjectStorage, R2BindingBucket, type R2BucketLike } from "../../../src/object.ts";
import type { DurableObjectState } from "../room_platform.ts";

export interface MirrorEnv {
  readonly BUCKET: R2BucketLike;
}

export class StockMirror {
  readonly #stock = new KeyValueMachine(jsonCodec<number>(), { incremental: true });
  #replica!: DurableReplica<KeyValueMachine<number>>;
  #handler!: SnapshotHandler;
  #follower: Follower | undefined;
  /** One request after the other catches up. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(state: DurableObjectState, env: MirrorEnv) {
    void state.blockConcurrencyWhile(async () => {
      const storage = await ObjectStorage.open(new R2BindingBucket(env.BUCKET), { prefix: `stock/${state.id}/` });
      this.#replica = await DurableReplica.open(state.storage, { machine: this.#stock, storage });
      this.#handler = snapshotHandler(storage, { target: this.#replica.replica, allowWrites: true, cors: "*" });
    });
  }

  /** `GET /stock/{name}/get?key=K[&leader=URL[&after=INDEX]]`, `POST /promote`, `/set`, and what the handler knows. */
  async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const [, , , what, ...rest] = url.pathname.split("/");
    const { replica } = this.#replica;
    switch (what) {
      case "get": {
        const after = url.searchParams.get("after");
        const leader = url.searchParams.get("leader");
        if (leader !== null) await this.#catchUp(leader, after === null ? undefined : BigInt(after));
        return Response.json(this.#stock.get(url.searchParams.get("key")!) ?? null);
      }
      case "promote":
        return Response.json(String((await this.#follower!.promote()).term));
      case "set": {
        const { index } = await replica.propose(
          this.#stock.put(url.searchParams.get("key")!, Number(url.searchParams.get("value"))),
        );
        return Response.json(String(index));
      }
      default:
        url.pathname = `/${[what, ...rest].join("/")}`;
        return await this.#handler(new Request(url, request));
    }
  }

  #catchUp(leader: string, index: bigint | undefined): Promise<void> {
    const caughtUp = this.#turn.then(async () => {
      const follower = this.#follower = this.#replica.replica.follow([leader], { name: "edge", timeout: 5000 });
      try {
        await follower.caughtUp(index);
      } finally {
        await follower.close();
      }
    });
    this.#turn = caughtUp.catch(() => {});
    return caughtUp;
  }

  /** The platform's timer: the replica saves, when that is due. */
  alarm(): Promise<void> {
    return this.#replica.alarm();
  }
}
