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
 * @module
 */

export { observed, type ObservedOptions } from "./otel/observed.ts";
export { type ReplicaTelemetry, replicaTelemetry, type TelemetryOptions } from "./otel/replica_telemetry.ts";
