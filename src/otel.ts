/**
 * Metrics and traces by OpenTelemetry, for whoever has its SDK set up: {@linkcode replicaTelemetry} for a replica,
 * {@linkcode observed} for a pull, a push, or any other operation. Without an SDK nothing is recorded, at no cost worth
 * naming.
 *
 * | metric | kind, unit | of what |
 * |---|---|---|
 * | `snapstream.operation.duration` | histogram, s | of saves, pulls …; `error.type` if one failed |
 * | `snapstream.save.pause` | histogram, s | the part of a save during which nothing is applied |
 * | `snapstream.operation.io` | counter, By | bytes moved, and (`snapstream.io.kind`) reused |
 * | `snapstream.log.purged` | counter, {entry} | entries purged from the log |
 * | `snapstream.replica.applied` | gauge, {index} | the last entry that was applied |
 * | `snapstream.replica.lag` | gauge, {entry} | entries of the log that are not applied yet |
 * | `snapstream.replica.unusable` | gauge, {snapshot} | snapshots that the replica cannot use |
 * | `snapstream.log.size` | gauge, By | bytes of the log |
 * | `snapstream.log.entries` | gauge, {entry} | entries of the log |
 * | `snapstream.snapshot.index` | gauge, {index} | the newest snapshot that counts |
 * | `snapstream.snapshot.size` | gauge, By | its size |
 * | `snapstream.snapshot.age` | gauge, s | the time since it was taken |
 *
 * An exporter may add the units to the names (`…_seconds`); that of OpenTelemetry for JavaScript does not.
 *
 * Spans are called `snapstream.save`, `snapstream.install`, `snapstream.purge`, `snapstream.pull` … The example
 * `tests/examples/metrics.ts` serves them to Prometheus, and has a dashboard for Grafana beside it.
 *
 * ```ts
 * import { KeyValueMachine, MemoryLog, MemoryStorage, pull, Replica, snapshotHandler } from "@snapstream/snapstream";
 * import { utf8Codec } from "@snapstream/snapstream";
 * import { observed, replicaTelemetry } from "@snapstream/snapstream/otel";
 *
 * const { onEvent, observe } = replicaTelemetry({ attributes: { "snapstream.replica": "cities" } });
 * const [machine, storage] = [new KeyValueMachine(utf8Codec()), new MemoryStorage()];
 * const replica = await Replica.open({ machine, log: new MemoryLog(), storage, onEvent });
 * const end = observe(replica);
 * await replica.propose(machine.put("hello", "world"));
 * await replica.snapshot();
 *
 * const handler = snapshotHandler(storage);
 * const source = { url: "http://cities.example", fetch: handler };
 * await observed("pull", pull(new MemoryStorage(), [source])); // a span, with what came and what was reused
 * end();
 * await Promise.all([handler.close(), replica.close()]);
 * ```
 *
 * @module
 */

export { observed, type ObservedOptions } from "./otel/observed.ts";
export { type ReplicaTelemetry, replicaTelemetry, type TelemetryOptions } from "./otel/replica_telemetry.ts";
