// A worker that moves bytes to and from R2: the clock of workerd stands still while it computes, so that whoever asks measures.

import { ObjectStorage, R2BindingBucket } from "../../src/object.ts";
import type { R2BucketLike } from "../../src/bucket/r2.ts";
import { Counted, drain, saveStream, stamped } from "./object_kit.ts";

export default {
  async fetch(request: Request, env: { readonly BUCKET: R2BucketLike }): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const [size, seed] = [Number(searchParams.get("size")), Number(searchParams.get("seed"))];
    const bucket = new Counted(new R2BindingBucket(env.BUCKET));
    if (pathname === "/plain-up") await bucket.put(`plain-${seed}`, stamped(size, seed));
    else if (pathname === "/plain-down") await drain((await bucket.get(`plain-${seed}`))!.body);
    else {
      const storage = await ObjectStorage.open(bucket, { prefix: `${seed}/` });
      if (pathname === "/up") await saveStream(storage, 1n, stamped(size, -seed));
      else {
        const reader = await storage.open();
        await drain(reader.file("state"));
        await reader.close();
      }
      await storage.close();
    }
    return Response.json({ calls: bucket.calls });
  },
};
