/**
 * Telemetry of a replica.
 *
 * @module
 */

import type { BatchObservableResult, Observable } from "@opentelemetry/api";
import { able } from "../checks.ts";
import type { ExecutorEvent, Replica, SaveResult } from "../executor/mod.ts";
import type { SnapshotInfo, SnapshotMeta } from "../snapshot/mod.ts";
import type { StateMachine } from "../state/mod.ts";
import { type Begun, checkTelemetry, Instruments, type TelemetryOptions } from "./instruments.ts";

export type { TelemetryOptions } from "./instruments.ts";

/** Records what a replica does. */
export interface ReplicaTelemetry {
  /** To be the replica's `onEvent`, or to be called by it. */
  readonly onEvent: (event: ExecutorEvent) => void;
  /**
   * Reports the replica's indices, sizes and counts whenever metrics are collected.
   *
   * @param replica the replica, open
   * @returns a function that ends it, to be called before the replica is closed
   */
  observe(replica: Pick<Replica<StateMachine>, "status">): () => void;
}

/**
 * Records the saves, installs and purges of a replica as spans and metrics, and its state as gauges.
 *
 * @param options attributes, and who takes what is recorded
 *
 * @example
 * ```ts
 * import { KeyValueMachine, MemoryLog, MemoryStorage, Replica, utf8Codec } from "@snapstream/snapstream";
 * import { replicaTelemetry } from "@snapstream/snapstream/otel";
 *
 * const telemetry = replicaTelemetry({ attributes: { "snapstream.replica": "cities" } });
 * const replica = await Replica.open({
 *   machine: new KeyValueMachine(utf8Codec()),
 *   log: new MemoryLog(),
 *   storage: new MemoryStorage(),
 *   onEvent: telemetry.onEvent,
 * });
 * const end = telemetry.observe(replica);
 * // …
 * end();
 * await replica.close();
 * console.assert(replica.status().state === "closed");
 * ```
 */
export function replicaTelemetry(options: TelemetryOptions = {}): ReplicaTelemetry {
  const instruments = new Instruments(checkTelemetry(options));
  const recorder = new Recorder(instruments);
  return {
    onEvent: (event) => recorder.take(event),
    observe(replica) {
      able("a Replica", "status")(replica, "replica");
      return observe(instruments, replica);
    },
  };
}

/** Makes operations of events. */
class Recorder {
  readonly #instruments: Instruments;
  #running: { readonly name: "save" | "install"; readonly begun: Begun } | undefined;
  /** When a save or an install succeeded, which a purge follows. */
  #since: number | undefined;

  constructor(instruments: Instruments) {
    this.#instruments = instruments;
  }

  take(event: ExecutorEvent): void {
    switch (event.type) {
      case "state":
        if (event.state === "saving") this.#begin("save");
        else if (event.state === "receiving") this.#begin("install");
        else if (event.state !== "loading") this.#idle();
        return;
      case "saved":
        return this.#saved(event.result);
      case "installed":
        return this.#succeeded("install", attributesOf(event.snapshot));
      case "saveFailed":
      case "installFailed":
        this.#running?.begun.failed(event.error);
        this.#running = undefined;
        return;
      case "purged": {
        const { index } = event;
        return this.#purge((begun) => begun.succeeded({ "snapstream.purge.index": String(index) }));
      }
      case "purgeFailed":
        return this.#purge((begun) => begun.failed(event.error));
    }
  }

  #begin(name: "save" | "install"): void {
    this.#idle();
    this.#running = { name, begun: this.#instruments.begin(name) };
  }

  /** Nothing runs any more. A save of which no event came had nothing to save, or was a push. */
  #idle(): void {
    this.#running?.begun.dropped();
    this.#running = this.#since = undefined;
  }

  #saved({ snapshot, syncDuration, bytes, reused, chunks }: SaveResult): void {
    this.#instruments.paused(syncDuration);
    this.#instruments.moved("save", bytes, reused);
    this.#succeeded("save", {
      ...(snapshot !== undefined && attributesOf(snapshot)),
      "snapstream.bytes.moved": bytes,
      "snapstream.bytes.reused": reused,
      "snapstream.chunks": chunks,
      "snapstream.save.pause": syncDuration / 1000,
    });
  }

  #succeeded(name: "save" | "install", attributes: Readonly<Record<string, string | number>>): void {
    if (this.#running?.name !== name) return;
    this.#running.begun.succeeded(attributes);
    this.#running = undefined;
    this.#since = Date.now();
  }

  #purge(end: (begun: Begun) => void): void {
    end(this.#instruments.begin("purge", {}, this.#since));
  }
}

/** Indices are text in spans: they go up to 2^63 - 1. */
function attributesOf({ meta, size }: { readonly meta: SnapshotMeta; readonly size: number }) {
  return {
    "snapstream.snapshot.index": String(meta.lastIncludedIndex),
    "snapstream.snapshot.term": String(meta.lastIncludedTerm),
    "snapstream.snapshot.size": size,
  };
}

/** A gauge: what it is of, its unit, and its value now; nothing if there is none. */
type Gauge = readonly [name: string, unit: string, description: string, value: (now: Status) => number | undefined];

type Status = ReturnType<Replica<StateMachine>["status"]>;

const GAUGES: readonly Gauge[] = [
  ["replica.applied", "{index}", "The last entry that was applied", ({ appliedIndex }) => Number(appliedIndex)],
  [
    "replica.lag",
    "{entry}",
    "Entries of the log that are not applied yet",
    ({ lastIndex, appliedIndex }) => Math.max(Number(lastIndex - appliedIndex), 0),
  ],
  ["replica.unusable", "{snapshot}", "Snapshots that cannot be used", ({ unusable }) => unusable.length],
  ["log.size", "By", "Bytes of the log", ({ logBytes }) => logBytes],
  [
    "log.entries",
    "{entry}",
    "Entries of the log",
    ({ firstIndex, lastIndex }) => Math.max(Number(lastIndex - firstIndex) + 1, 0),
  ],
  [
    "snapshot.index",
    "{index}",
    "The newest snapshot that counts",
    ofSnapshot((it) => Number(it.meta.lastIncludedIndex)),
  ],
  ["snapshot.size", "By", "The size of the newest snapshot that counts", ofSnapshot(({ size }) => size)],
  [
    "snapshot.age",
    "s",
    "The time since the newest snapshot that counts was taken",
    ofSnapshot(({ meta: { createdAt } }) => createdAt === undefined ? undefined : (Date.now() - createdAt) / 1000),
  ],
];

function ofSnapshot(value: (snapshot: SnapshotInfo) => number | undefined): (status: Status) => number | undefined {
  return ({ snapshot }) => snapshot === undefined ? undefined : value(snapshot);
}

function observe(
  { meter, attributes }: Instruments,
  replica: Pick<Replica<StateMachine>, "status">,
): () => void {
  const gauges = GAUGES.map(([name, unit, description, value]) => ({
    gauge: meter.createObservableGauge(`snapstream.${name}`, { unit, description }),
    value,
  }));
  const purged = meter.createObservableCounter("snapstream.log.purged", {
    unit: "{entry}",
    description: "Entries that were purged from the log",
  });
  const instruments: Observable[] = [purged, ...gauges.map(({ gauge }) => gauge)];
  const report = (result: BatchObservableResult) => {
    const status = replica.status();
    result.observe(purged, Number(status.metrics.purgedEntries), attributes);
    for (const { gauge, value } of gauges) {
      const now = value(status);
      if (now !== undefined) result.observe(gauge, now, attributes);
    }
  };
  meter.addBatchObservableCallback(report, instruments);
  return () => meter.removeBatchObservableCallback(report, instruments);
}
