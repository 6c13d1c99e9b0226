// A bucket that fails as real ones do: it answers late, not at all, before or after it did what was asked, twice, with
// lists of a while ago, with bodies that end early or are another object's.

import { SnapshotError } from "../../mod.ts";
import { raceAbort } from "../../src/async/mod.ts";
import type {
  Bucket,
  BucketBody,
  BucketObject,
  GetOptions,
  ListOptions,
  ListPage,
  PutOptions,
} from "../../src/bucket/mod.ts";
import { Random } from "./random.ts";
import { bytesOf, turns } from "./harness.ts";

/**
 * What goes wrong with a call:
 *
 * | fault | calls | |
 * |---|---|---|
 * | `late` | all | the answer comes after everything else that is going on |
 * | `before` | all | `UNAVAILABLE`, nothing was done |
 * | `after` | all | `UNAVAILABLE`, and it was done |
 * | `hang` | all | no answer, until the signal fires |
 * | `twice` | put, delete | done twice, as by a proxy that asked again; the second answer is given |
 * | `stale` | list | without what was put of late, with what was deleted |
 * | `cut` | get | the body ends early, and says nothing |
 * | `broken` | get | the body ends early, and says so |
 * | `flipped` | get | a bit of the body is wrong |
 * | `other` | get | the body is another object's, cut or filled up to the right length |
 */
export type BucketFault =
  | "late"
  | "before"
  | "after"
  | "hang"
  | "twice"
  | "stale"
  | "cut"
  | "broken"
  | "flipped"
  | "other";

/** A call of a bucket. */
export interface BucketCall {
  readonly verb: "get" | "put" | "delete" | "list";
  /** The key, the keys with a space between, or the prefix. */
  readonly key: string;
  /** The how manyth it is of all, from 0. */
  readonly number: number;
}

/** How many puts and deletes a stale list lags behind. */
const LAG = 20;

/** A bucket that fails. */
export class FaultyBucket implements Bucket {
  /** All calls so far. */
  readonly calls: (BucketCall & { readonly fault?: BucketFault })[] = [];
  /** What is behind it, and does not fail. */
  readonly bucket: Bucket;
  readonly #choose: (call: BucketCall) => BucketFault | undefined;
  /** What there was before the last puts and deletes, oldest first. */
  readonly #before: { readonly key: string; readonly object: BucketObject | undefined }[] = [];

  /**
   * @param bucket what is behind it
   * @param choose what goes wrong with a call, if anything; see {@linkcode bySeed}. What makes no sense for it is ignored
   */
  constructor(bucket: Bucket, choose: (call: BucketCall) => BucketFault | undefined) {
    this.bucket = bucket;
    this.#choose = choose;
  }

  async get(key: string, options: GetOptions = {}): Promise<BucketBody | undefined> {
    const [found, fault] = await this.#call("get", key, options.signal, () => this.bucket.get(key, options));
    if (found === undefined || !["cut", "broken", "flipped", "other"].includes(fault ?? "")) return found;
    const bytes = (await bytesOf(found.body)).slice();
    return { ...found, body: await this.#spoiled(bytes, key, fault!) };
  }

  async put(
    key: string,
    body: Uint8Array | ReadableStream<Uint8Array>,
    options: PutOptions = {},
  ): Promise<BucketObject | undefined> {
    const object = await this.#look(key);
    const isArray = body instanceof Uint8Array;
    const work = async () => {
      const put = await this.bucket.put(key, body, options);
      if (put !== undefined) this.#before.push({ key, object });
      return put;
    };
    return (await this.#call("put", key, options.signal, work, isArray))[0];
  }

  async delete(keys: readonly string[], options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const before = await Promise.all(keys.map(async (key) => ({ key, object: await this.#look(key) })));
    await this.#call("delete", keys.join(" "), options.signal, async () => {
      await this.bucket.delete(keys, options);
      this.#before.push(...before);
    }, true);
  }

  async list(options: ListOptions = {}): Promise<ListPage> {
    const [page, fault] = await this.#call(
      "list",
      options.prefix ?? "",
      options.signal,
      () => this.bucket.list(options),
    );
    return fault === "stale" ? this.#asBefore(page, options) : page;
  }

  /** Does what was asked, or not, or twice. */
  async #call<T>(
    verb: BucketCall["verb"],
    key: string,
    signal: AbortSignal | undefined,
    work: () => Promise<T>,
    repeatable = false,
  ): Promise<[T, BucketFault | undefined]> {
    const call = { verb, key, number: this.calls.length };
    const fault = this.#choose(call);
    this.calls.push(fault === undefined ? call : { ...call, fault });
    switch (fault) {
      case "late":
        await turns(10);
        break;
      case "before":
        throw failed(call, "before");
      case "hang":
        await raceAbort(new Promise<never>(() => {}), signal);
        break;
      case "after": {
        const done = await work();
        await (done as Partial<BucketBody> | undefined)?.body?.cancel();
        throw failed(call, "after");
      }
      case "twice":
        if (repeatable) await work();
        break;
    }
    return [await work(), fault];
  }

  async #look(key: string): Promise<BucketObject | undefined> {
    const found = await this.bucket.get(key);
    await found?.body.cancel();
    return found && { key, size: found.size, etag: found.etag };
  }

  async #spoiled(bytes: Uint8Array, key: string, fault: BucketFault): Promise<ReadableStream<Uint8Array>> {
    const half = bytes.subarray(0, bytes.length >> 1);
    if (fault === "flipped" && bytes.length > 0) bytes[bytes.length >> 1]! ^= 1;
    if (fault === "other") bytes.set((await this.#another(key)).subarray(0, bytes.length));
    return ReadableStream.from((function* () {
      const whole = fault === "cut" || fault === "broken" ? half : bytes;
      for (let at = 0; at < whole.length; at += 100_000) yield whole.slice(at, at + 100_000);
      if (fault === "broken") throw new SnapshotError("UNAVAILABLE", `The connection broke while ${key} was read`);
    })());
  }

  /** The bytes of some other object, or none. */
  async #another(key: string): Promise<Uint8Array> {
    const { objects } = await this.bucket.list({ limit: 10 });
    const other = objects.find((object) => object.key !== key);
    const found = other && await this.bucket.get(other.key);
    return found === undefined ? new Uint8Array() : await bytesOf(found.body);
  }

  /** What a page would have been some puts and deletes ago. */
  #asBefore({ objects, cursor }: ListPage, { prefix = "", cursor: from }: ListOptions): ListPage {
    const byKey = new Map(objects.map((object) => [object.key, object]));
    const last = cursor === undefined ? undefined : objects.at(-1)?.key;
    for (const { key, object } of this.#before.slice(-LAG).reverse()) {
      if (!key.startsWith(prefix)) continue;
      if (from !== undefined && (objects[0] === undefined || key < objects[0].key)) continue;
      if (last !== undefined && key > last) continue;
      if (object === undefined) byKey.delete(key);
      else byKey.set(key, object);
    }
    const before = [...byKey.values()].sort((a, b) => a.key < b.key ? -1 : 1);
    return cursor === undefined ? { objects: before } : { objects: before, cursor };
  }
}

/** Faults that come by a seed: the same calls fail each time. */
export function bySeed(
  seed: number,
  rate: number,
  faults: readonly BucketFault[],
): (call: BucketCall) => BucketFault | undefined {
  const random = new Random(seed);
  return () => {
    const happens = random.chance(rate);
    const fault = random.pick(faults); // in any case, so that a rate moves nothing
    return happens ? fault : undefined;
  };
}

function failed({ verb, key }: BucketCall, when: "before" | "after"): SnapshotError {
  return new SnapshotError("UNAVAILABLE", `503 SlowDown: ${verb} ${key} failed ${when} it was done`, {
    status: 503,
    retryAfter: 1,
  });
}
