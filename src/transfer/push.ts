/**
 * Sending a snapshot to another node.
 *
 * @module
 */

import { cancelled, messageOf, SnapshotError, throwIfCancelled } from "../errors.ts";
import { archive, type SnapshotReader } from "../snapshot/mod.ts";
import { Operation, progress, raceAbort, type Throttle, throttled } from "../stream/mod.ts";
import type { Source } from "./pull.ts";
import { fetchOf, sourceOptions } from "./source.ts";
import { BYTES_TYPE, responseError } from "./wire.ts";

/** Options of {@linkcode push}. */
export interface PushOptions {
  /** Gives it up. */
  readonly signal?: AbortSignal | undefined;
  /** Holds what is sent to a rate. */
  readonly throttle?: Throttle;
}

/**
 * Sends a snapshot as an archive, to be installed: `PUT /snapshots/{index}`.
 *
 * @param reader the snapshot; to be kept open meanwhile
 * @param target where to
 * @param options the signal, and the rate
 * @returns work that gives nothing, and has succeeded when the other side has verified all of it, made it durable, and
 *   installed it; fails with what the other side said: `STALE`, `BUSY`, `CORRUPT`, `NO_SPACE`, `FORBIDDEN` …
 */
export function push(reader: SnapshotReader, target: Source, options: PushOptions = {}): Operation<void> {
  return new Operation(async (tracker) => {
    const { signal, throttle } = options;
    throwIfCancelled(signal);
    const source = sourceOptions(target);
    const { url, headers } = source;
    const send = fetchOf(source);
    const address = `${String(url).replace(/\/+$/, "")}/snapshots/${reader.meta.lastIncludedIndex}`;
    tracker.phase("send", reader.manifest.size);
    let passed = 0;
    let content = archive(reader).pipeThrough(progress(({ bytes }) => {
      tracker.add(bytes - passed);
      passed = bytes;
    }));
    if (throttle !== undefined) content = content.pipeThrough(throttled(throttle));
    const body = cancellable(content);
    const all = new Headers(headers);
    all.set("Content-Type", BYTES_TYPE);
    try {
      const request = { method: "PUT", headers: all, body: body.stream, duplex: "half", ...(signal && { signal }) };
      const answer = send(new Request(address, request as RequestInit));
      const response = await raceAbort(answer, signal); // also if who sends does not know of signals
      if (!response.ok) throw await responseError(response, address);
      await response.body?.cancel();
    } catch (error) {
      if (signal?.aborted) throw cancelled(signal);
      if (body.failure !== undefined) throw body.failure.error; // the reader's, whatever fetch made of it
      if (error instanceof SnapshotError) throw error;
      throw new SnapshotError("UNAVAILABLE", `${address} cannot be reached, or broke off: ${messageOf(error)}`, {
        source: address,
        cause: error,
      });
    } finally {
      await body.cancel(); // not every runtime does, when the request has failed (nodejs/node#61460)
    }
  });
}

/** A stream that can be cancelled though somebody else has it, and that keeps what its source failed with. */
function cancellable(source: ReadableStream<Uint8Array>) {
  const reader = source.getReader();
  let cancelled = false;
  const body: {
    readonly stream: ReadableStream<Uint8Array>;
    failure: { readonly error: unknown } | undefined;
    cancel(): Promise<void>;
  } = {
    stream: new ReadableStream<Uint8Array>({
      async pull(controller) {
        let result: ReadableStreamReadResult<Uint8Array>;
        try {
          result = await reader.read();
        } catch (error) {
          body.failure = { error };
          throw error;
        }
        if (cancelled) return;
        if (result.done) controller.close();
        else controller.enqueue(result.value);
      },
      cancel(reason) {
        cancelled = true;
        return reader.cancel(reason);
      },
    }, { highWaterMark: 0 }),
    failure: undefined,
    cancel: () => reader.cancel().catch(() => {}),
  };
  return body;
}
