/**
 * Intents: puts and deletes write them down first, so that the leftovers of a crash can be found and removed.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import type { BucketStream } from "./bucket_stream.ts";

/** A put that is silent for so many milliseconds is taken for crashed. */
const CRASHED = 3_600_000;
/** The interval at which a running put renews its intent, in milliseconds. */
const RENEW = 300_000;

/** An intent, as it is written. */
interface Written {
  /** The key that is put or deleted. */
  readonly key: string;
  /** The id of the chunks that are removed once it is done. */
  readonly replaces?: string;
}

/** The intent of one put or delete, which may have chunks of its own. */
export class Intent {
  /** The id of its chunks. */
  readonly id: string = crypto.randomUUID();
  readonly #stream: BucketStream;
  readonly #key: string;
  #sequence: number | undefined;
  #replaces: string | undefined;
  #renewed = 0;

  /**
   * @param stream where to write it
   * @param key the key that is put or deleted
   */
  constructor(stream: BucketStream, key: string) {
    this.#stream = stream;
    this.#key = key;
  }

  get #subject(): string {
    return `${this.#stream.subjects.intents}.${this.id}`;
  }

  /** The subject of a chunk. */
  chunk(n: number): string {
    return `${this.#stream.subjects.chunks}.${this.id}.${n}`;
  }

  /** Writes it down, before the first chunk is written. */
  async begin(signal: AbortSignal | undefined): Promise<void> {
    await this.#write(signal);
  }

  /** Renews it, if that was not done for a while. */
  async renew(signal: AbortSignal | undefined): Promise<void> {
    if (performance.now() - this.#renewed > RENEW) await this.#write(signal);
  }

  /** Writes down which chunks it will remove; does nothing if there are none, and it has none of its own. */
  async replace(chunks: string | undefined, signal: AbortSignal | undefined): Promise<void> {
    if (chunks === undefined && this.#sequence === undefined) return;
    this.#replaces = chunks;
    await this.orUndo(this.#write(signal));
  }

  /** Waits for a step of the put or delete, and undoes it if the step fails. */
  async orUndo<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      await this.undo();
      throw error;
    }
  }

  /** Ends it after success: removes the replaced chunks. If that fails, a sweep removes them. */
  async done(replaced: string | undefined): Promise<void> {
    try {
      if (replaced !== undefined) await this.#stream.drop(`${this.#stream.subjects.chunks}.${replaced}.>`);
      if (this.#sequence !== undefined) await this.#stream.drop(this.#subject);
    } catch {
      // A sweep finds the chunks.
    }
  }

  /** Ends it after a failure: removes its own chunks. */
  async undo(): Promise<void> {
    if (this.#sequence === undefined) return;
    await this.done(this.id);
  }

  /** Writes it, on the condition that no sweep took it for crashed. */
  async #write(signal: AbortSignal | undefined): Promise<void> {
    const written: Written = {
      key: this.#key,
      ...(this.#replaces !== undefined && { replaces: this.#replaces }),
    };
    const data = new TextEncoder().encode(JSON.stringify(written));
    const sequence = await this.#stream.write(this.#subject, data, { last: this.#sequence ?? 0, signal });
    if (sequence === undefined) {
      throw new SnapshotError(
        "UNAVAILABLE",
        `The put of ${this.#key} stood still for so long that it was taken for crashed, and removed: retry it`,
        { file: this.#key },
      );
    }
    this.#sequence = sequence;
    this.#renewed = performance.now();
  }
}

/**
 * Removes the chunks and intents of crashed puts and deletes.
 *
 * @param stream the bucket's
 * @param chunksOf gives the id of the chunks that an object has now
 * @param crashed the silence after which it is taken for crashed, in milliseconds
 */
export async function sweep(
  stream: BucketStream,
  chunksOf: (key: string) => Promise<string | undefined>,
  crashed: number = CRASHED,
): Promise<void> {
  const { intents, chunks } = stream.subjects;
  for await (const { sequence, time, message } of stream.all(`${intents}.>`, false, undefined)) {
    if (await now(stream) - time < crashed) continue;
    // From here on its writer cannot renew it, and fails.
    const taken = await stream.write(message.subject, message.data, { last: Number(sequence) });
    if (taken === undefined) continue;
    const { key, replaces } = writtenOf(message.data);
    const current = await chunksOf(key);
    for (const id of [message.subject.slice(intents.length + 1), replaces]) {
      if (id !== undefined && id !== current) await stream.drop(`${chunks}.${id}.>`);
    }
    await stream.drop(message.subject, taken);
  }
}

/** Decodes an intent. */
function writtenOf(data: Uint8Array): Written {
  try {
    const { key, replaces } = JSON.parse(new TextDecoder().decode(data)) as Partial<Written>;
    if (typeof key === "string" && (replaces === undefined || /^[0-9a-f-]{36}$/.test(replaces))) {
      return { key, ...(replaces !== undefined && { replaces }) };
    }
  } catch {
    // It throws below.
  }
  throw new SnapshotError("MALFORMED", "Something else than a bucket writes to the stream of a bucket", {});
}

/** The time of the server, in milliseconds since 1970. */
async function now(stream: BucketStream): Promise<number> {
  const subject = `${stream.subjects.intents}.${crypto.randomUUID()}`;
  await stream.write(subject, new TextEncoder().encode(JSON.stringify({ key: "clock" })));
  const found = await stream.read(subject, undefined);
  await stream.drop(subject);
  return found?.time.getTime() ?? 0;
}
