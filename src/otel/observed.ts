/**
 * Telemetry of one operation.
 *
 * @module
 */

import { checkOptions, checkString, isOf, unfit } from "../checks.ts";
import { onEnd, Operation } from "../async/mod.ts";
import { Instruments, telemetryChecks, type TelemetryOptions } from "./instruments.ts";

/** Options of {@linkcode observed}. */
export type ObservedOptions = TelemetryOptions;

/**
 * Records an operation: its span, its duration, and its bytes. The span has the span that is active now as its parent.
 *
 * @typeParam O the operation
 * @param name the name, in a word: `"pull"`, `"push"`, `"follow"`; the span is called `snapstream.pull` …
 * @param operation what runs
 * @param options attributes, and who takes what is recorded
 * @returns the same operation
 *
 * @example
 * ```ts
 * import { MemoryStorage, pull } from "@snapstream/snapstream";
 * import { observed } from "@snapstream/snapstream/otel";
 *
 * const pulling = observed("pull", pull(new MemoryStorage(), ["http://127.0.0.1:9"], { retryFor: 0 }));
 * await pulling.result.catch((error) => console.assert(error.code === "UNAVAILABLE"));
 * ```
 */
export function observed<O extends Operation<unknown>>(name: string, operation: O, options: ObservedOptions = {}): O {
  checkString(name, "name");
  if (!/^[a-z][a-z_]{0,31}$/.test(name)) throw unfit("name", "a word of small letters", name);
  if (!isOf(operation, Operation)) throw unfit("operation", "an Operation", operation);
  const instruments = new Instruments(checkOptions(options, telemetryChecks()));
  const begun = instruments.begin(name);
  onEnd(operation, (error) => {
    if (error !== undefined) return begun.failed(error);
    const { bytes, reused, chunks } = operation.progress;
    instruments.moved(name, bytes - reused, reused);
    begun.succeeded({
      "snapstream.bytes.moved": bytes - reused,
      "snapstream.bytes.reused": reused,
      "snapstream.chunks": chunks,
    });
  });
  return operation;
}
