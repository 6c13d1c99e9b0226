/**
 * The instruments of all telemetry, and how the end of an operation is recorded.
 *
 * @module
 */

import {
  type Attributes,
  type Counter,
  type Histogram,
  type Meter,
  metrics,
  type Span,
  SpanStatusCode,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import { able, checkOptions, type Checks, withMembers } from "../checks.ts";
import { messageOf, SnapshotError } from "../errors.ts";

/** The name of the instrumentation. */
const SCOPE = "@snapstream/snapstream";
/** Snapshots take milliseconds, or hours. */
const SECONDS = [0.001, 0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 1200, 3600];

/** The receiver of what is recorded. */
export interface TelemetryOptions {
  /**
   * Attributes of all that is recorded: the name of the replica, for one.
   *
   * @default {{}}
   */
  readonly attributes?: Readonly<Record<string, string | number | boolean>>;
  /** Makes the spans: a `TracerProvider` of the SDK; by default the one that was registered. */
  readonly tracerProvider?: { getTracer(name: string): unknown };
  /** Makes the metrics: a `MeterProvider` of the SDK; by default the one that was registered. */
  readonly meterProvider?: { getMeter(name: string): unknown };
}

/** The checks of these options. */
export function telemetryChecks(): Checks<TelemetryOptions> {
  return {
    attributes: withMembers({}),
    tracerProvider: able("a TracerProvider", "getTracer"),
    meterProvider: able("a MeterProvider", "getMeter"),
  };
}

/** The instruments that record operations. */
export class Instruments {
  /** Makes the observable ones. */
  readonly meter: Meter;
  /** Attributes of all that is recorded. */
  readonly attributes: Attributes;
  readonly #tracer: Tracer;
  readonly #duration: Histogram;
  readonly #pause: Histogram;
  readonly #io: Counter;

  /** @param options who takes what is recorded */
  constructor(options: TelemetryOptions) {
    const { attributes = {}, tracerProvider = trace, meterProvider = metrics } = options;
    const meter = meterProvider.getMeter(SCOPE) as Meter;
    this.attributes = attributes;
    this.meter = meter;
    this.#tracer = tracerProvider.getTracer(SCOPE) as Tracer;
    const advice = { explicitBucketBoundaries: SECONDS };
    this.#duration = meter.createHistogram("snapstream.operation.duration", {
      description: "How long saves, installs, purges, pulls and pushes take",
      unit: "s",
      advice,
    });
    this.#pause = meter.createHistogram("snapstream.save.pause", {
      description: "How long nothing is applied because of a save",
      unit: "s",
      advice,
    });
    this.#io = meter.createCounter("snapstream.operation.io", {
      description: "Bytes that were moved, and bytes that did not have to be, since they were there already",
      unit: "By",
    });
  }

  /** Begins an operation. */
  begin(operation: string, attributes: Attributes = {}, startTime: number = Date.now()): Begun {
    const own = { ...this.attributes, ...attributes };
    const since = performance.now() - Math.max(Date.now() - startTime, 0); // the wall clock may be set meanwhile
    return new Begun(this.#tracer.startSpan(`snapstream.${operation}`, { attributes: own, startTime }), (error) => {
      const failure = error === undefined ? {} : { "error.type": errorType(error) };
      this.#duration.record((performance.now() - since) / 1000, {
        ...this.attributes,
        "snapstream.operation": operation,
        ...failure,
      });
    });
  }

  /** Counts bytes. */
  moved(operation: string, moved: number, reused: number): void {
    for (const [kind, bytes] of [["moved", moved], ["reused", reused]] as const) {
      if (bytes <= 0) continue;
      this.#io.add(bytes, { ...this.attributes, "snapstream.operation": operation, "snapstream.io.kind": kind });
    }
  }

  /** Records the time for which nothing was applied, in milliseconds. */
  paused(duration: number): void {
    this.#pause.record(duration / 1000, this.attributes);
  }
}

/** An operation that has begun. */
export class Begun {
  readonly #span: Span;
  readonly #record: (error: unknown) => void;

  /**
   * @param span its span
   * @param record is told how it ended
   */
  constructor(span: Span, record: (error: unknown) => void) {
    this.#span = span;
    this.#record = record;
  }

  /** It has succeeded. */
  succeeded(attributes: Attributes = {}): void {
    this.#span.setAttributes(attributes);
    this.#record(undefined);
    this.#span.end();
  }

  /** It has failed. */
  failed(error: unknown): void {
    this.#span.recordException(error instanceof Error ? error : messageOf(error));
    this.#span.setAttribute("error.type", errorType(error));
    this.#span.setStatus({ code: SpanStatusCode.ERROR, message: messageOf(error) });
    this.#record(error);
    this.#span.end();
  }

  /** It has ended without anything that is worth being counted. */
  dropped(): void {
    this.#span.end();
  }
}

/** Few and stable, as the semantic conventions want it: the code of a `SnapshotError`, or the name of another error. */
function errorType(error: unknown): string {
  return error instanceof SnapshotError ? error.code : error instanceof Error ? error.name : "_OTHER";
}

/** Checks the options. */
export function checkTelemetry(options: TelemetryOptions): TelemetryOptions {
  return checkOptions(options, telemetryChecks());
}
