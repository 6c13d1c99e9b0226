// The worker that is tested: whatever has to run inside of workerd.

import { ObjectStorage, R2BindingBucket, type R2BucketLike } from "../../src/object.ts";
import { bucketConformance } from "../../src/testing/bucket.ts";
import { storageConformance, type StorageUnderTest } from "../../src/testing.ts";
import room, { type RoomEnv } from "../examples/room.ts";
import type { Namespace } from "../examples/room_platform.ts";
import { runCase } from "./inside.ts";

export { Counter, Sleeper, Ticker } from "./counter.ts";
export { Large } from "./large.ts";
export { LogUnderTest } from "./log_object.ts";
export { Room } from "../examples/room.ts";
export { StockMirror } from "../examples/stock/mirror.ts";

interface Env extends RoomEnv {
  readonly EMPTY: R2BucketLike;
  readonly LOG: Namespace;
  readonly COUNTER: Namespace;
  readonly TICKER: Namespace;
  readonly SLEEPER: Namespace;
  readonly LARGE: Namespace;
  readonly STOCK: Namespace;
}

/** `/{what}/{name}/…` goes to the object of that name; the rest is done here. */
export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const [, what, name = ""] = new URL(request.url).pathname.split("/");
    const namespace = namespaceOf(what, env);
    if (namespace !== undefined) return await namespace.get(namespace.idFromName(name)).fetch(request);
    switch (what) {
      case "storage":
        return await runCase(storageConformance(() => storageUnderTest(env.BUCKET)), Number(name));
      case "objects": {
        const { objects } = await env.BUCKET.list({ prefix: decodeURIComponent(name) });
        return Response.json(objects.map(({ key }) => key));
      }
      case "bucket":
        return await runCase(bucketConformance(() => Promise.resolve(bucketUnderTest(env.EMPTY))), Number(name));
      default:
        return await room.fetch(request, env);
    }
  },
};

function namespaceOf(what: string | undefined, env: Env): Namespace | undefined {
  switch (what) {
    case "log":
      return env.LOG;
    case "counter":
      return env.COUNTER;
    case "ticker":
      return env.TICKER;
    case "sleeper":
      return env.SLEEPER;
    case "large":
      return env.LARGE;
    case "stock":
      return env.STOCK;
  }
}

let storages = 0;

async function storageUnderTest(binding: R2BucketLike): Promise<StorageUnderTest> {
  const storage = await ObjectStorage.open(new R2BindingBucket(binding), { prefix: `storage-${storages++}/` });
  return { storage, cleanUp: () => Promise.resolve() };
}

function bucketUnderTest(binding: R2BucketLike): { bucket: R2BindingBucket; cleanUp(): Promise<void> } {
  return {
    bucket: new R2BindingBucket(binding),
    async cleanUp() {
      for (;;) {
        const { objects, truncated } = await binding.list();
        await binding.delete(objects.map(({ key }) => key));
        if (!truncated) return;
      }
    },
  };
}
