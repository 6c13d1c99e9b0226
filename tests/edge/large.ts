// A replica with a large state, in a Durable Object.

import { KeyValueMachine, utf8Codec } from "../../mod.ts";
import { DurableReplica } from "../../src/durable_object.ts";
import { ObjectStorage, R2BindingBucket, type R2BucketLike } from "../../src/object.ts";
import type { ObjectState } from "./inside.ts";

export class Large {
  readonly #machine = new KeyValueMachine(utf8Codec());
  #opened!: DurableReplica<KeyValueMachine<string>>;

  constructor(state: ObjectState, env: { readonly BUCKET: R2BucketLike }) {
    void state.blockConcurrencyWhile(async () => {
      const storage = await ObjectStorage.open(new R2BindingBucket(env.BUCKET), {
        prefix: `large/${state.id}/`,
        packSize: 4 * 1024 * 1024,
      });
      this.#opened = await DurableReplica.open(state.storage, {
        machine: this.#machine,
        storage,
        triggers: { interval: 0, entries: 0 },
        purge: { gap: 1 },
      });
    });
  }

  /** `/large/{name}/{what}` */
  async fetch(request: Request): Promise<Response> {
    const { replica } = this.#opened;
    const { pathname, searchParams } = new URL(request.url);
    switch (pathname.split("/")[3]) {
      case "fill": {
        const [from, to, size] = ["from", "to", "size"].map((name) => Number(searchParams.get(name))) as [
          number,
          number,
          number,
        ];
        const proposed: Promise<unknown>[] = [];
        for (let i = from; i < to; i++) proposed.push(replica.propose(this.#machine.put(`key ${i}`, valueOf(i, size))));
        await Promise.all(proposed);
        break;
      }
      case "snapshot":
        await replica.snapshot().result;
        break;
      default:
    }
    const { appliedIndex, snapshot } = replica.status();
    return Response.json({
      size: this.#machine.size,
      appliedIndex: String(appliedIndex),
      snapshotIndex: String(snapshot?.meta.lastIncludedIndex ?? 0n),
      bytes: snapshot?.size ?? 0,
    });
  }

  alarm(): Promise<void> {
    return this.#opened.alarm();
  }
}

/** Text that no compression makes much shorter, and that is cheap to make. */
function valueOf(i: number, size: number): string {
  let text = "";
  for (let x = (i + 1) * 0x9e3779b1; text.length < size;) {
    x = Math.imul(x ^ (x >>> 15), 0x2c1b3c6d) + 0x297a2d39;
    text += (x >>> 0).toString(36);
  }
  return text.slice(0, size);
}
