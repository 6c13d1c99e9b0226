/**
 * A pipe that can be stopped.
 *
 * @module
 */

import { checkOptions, checkReadable, checkSignal, checkWritable } from "../checks.ts";
import { cancelled, throwIfCancelled } from "../errors.ts";

/**
 * Options of {@linkcode pump}.
 *
 * @category Streams
 */
export interface PumpOptions {
  /** Stops the pump, also while a read or a write is stalled. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Moves everything from a source into a sink, closes the sink, and resolves when that is done.
 *
 * It does the work of `source.pipeTo(sink, { signal })`, which on no runtime can interrupt a stalled write, nor on
 * workerd a stalled read (whatwg/streams#668, #1015). When anything fails, both ends get the same reason.
 * A sink must pass its `controller.signal` on to whatever it waits for.
 *
 * @category Streams
 * @param source where from; locked meanwhile
 * @param sink where to; locked meanwhile
 * @param options the signal
 * @throws {SnapshotError} `CANCELLED` if the signal fired, also if the sink closed nevertheless
 * @throws whatever the source or the sink failed with
 *
 * @example
 * ```ts
 * import { pump } from "@snapstream/snapstream";
 *
 * const got: number[] = [];
 * await pump(
 *   ReadableStream.from([1, 2, 3]),
 *   new WritableStream<number>({ write: (value) => void got.push(value) }),
 *   { signal: AbortSignal.timeout(1000) },
 * );
 * console.assert(got.length === 3);
 * ```
 */
export async function pump<T>(
  source: ReadableStream<T>,
  sink: WritableStream<T>,
  options: PumpOptions = {},
): Promise<void> {
  checkReadable(source, "source");
  checkWritable(sink, "sink");
  const { signal } = checkOptions(options, { signal: checkSignal });
  const reader = source.getReader();
  const writer = sink.getWriter();
  let failure: { readonly error: unknown } | undefined;
  const stop = (reason: unknown) => {
    reader.cancel(reason).catch(() => {});
    writer.abort(reason).catch(() => {}); // fires the sink's controller.signal at once
  };
  // A failure of either end is noticed at once, also while the other is stalled.
  const onFailure = (error: unknown) => {
    failure ??= { error };
    stop(error);
  };
  reader.closed.catch(onFailure);
  writer.closed.catch(onFailure);
  const onAbort = () => stop(signal!.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    throwIfCancelled(signal);
    for (;;) {
      await writer.ready;
      const { done, value } = await reader.read();
      throwIfCancelled(signal);
      if (done) break;
      writer.write(value).catch(() => {}); // a failed write rejects `ready` and `close`
    }
    await writer.close();
    throwIfCancelled(signal);
  } catch (error) {
    if (signal?.aborted) {
      stop(signal.reason);
      throw cancelled(signal);
    }
    const reason = failure === undefined ? error : failure.error; // not the error of closing a failed sink
    stop(reason);
    throw reason;
  } finally {
    signal?.removeEventListener("abort", onAbort);
    reader.releaseLock();
    writer.releaseLock();
  }
}
