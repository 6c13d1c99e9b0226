// Metrics and spans, by the real SDK and its exporters.

import { SpanStatusCode } from "@opentelemetry/api";
import { PrometheusSerializer } from "@opentelemetry/exporter-prometheus";
import { MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import {
  KeyValueMachine,
  MemoryLog,
  MemoryStorage,
  Operation,
  pull,
  Replica,
  SnapshotError,
  snapshotHandler,
  utf8Codec,
} from "../../mod.ts";
import { observed, replicaTelemetry } from "../../src/otel.ts";
import { readFile } from "node:fs/promises";
import { serveWithMetrics } from "../examples/metrics.ts";
import { assert, test, turns } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";

/** A reader that is asked, and by itself does nothing. */
class AskedReader extends MetricReader {
  protected override onForceFlush(): Promise<void> {
    return Promise.resolve();
  }
  protected override onShutdown(): Promise<void> {
    return Promise.resolve();
  }
}

/** An SDK, and what it has recorded. */
function sdk() {
  const exporter = new InMemorySpanExporter();
  const tracers = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  const reader = new AskedReader();
  const meters = new MeterProvider({ readers: [reader] });
  return {
    options: { tracerProvider: tracers, meterProvider: meters, attributes: { replica: "a" } },
    spans: (): readonly ReadableSpan[] => exporter.getFinishedSpans(),
    /** The metrics as Prometheus gets them. */
    async text(): Promise<string> {
      return new PrometheusSerializer().serialize((await reader.collect()).resourceMetrics);
    },
    async close() {
      await turns(1); // the exporter acknowledges a span by a timer, which nothing else waits for
      await meters.shutdown();
      await tracers.shutdown();
    },
  };
}

/** The value of a metric, as Prometheus gets it; the labels may come in any order. */
function valueOf(text: string, name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
  const line = text.split("\n").find((line) =>
    new RegExp(`^${name}[{ ]`).test(line) &&
    Object.entries(labels).every(([label, value]) => line.includes(`${label}="${value}"`))
  );
  return line === undefined ? undefined : Number(/ (\S+?)(?: \d+)?$/.exec(line)![1]);
}

test("otel: saves, purges and installs of a replica are spans and metrics; its state is gauges", async () => {
  const { options, spans, text, close } = sdk();
  const telemetry = replicaTelemetry(options);
  const machine = new KeyValueMachine(utf8Codec());
  const replica = await Replica.open({
    machine,
    log: new MemoryLog(),
    storage: new MemoryStorage(),
    purge: { gap: 1, preserve: 0 },
    onEvent: telemetry.onEvent,
  });
  const end = telemetry.observe(replica);
  for (let save = 0; save < 3; save++) {
    for (let i = 0; i < 10; i++) await replica.propose(machine.put(`key ${save} ${i}`, "value"));
    await replica.snapshot().result;
  }
  await replica.propose(machine.put("one", "more"));
  const { metrics: { purgedEntries }, logBytes } = replica.status();
  assert.isAbove(Number(purgedEntries), 0);
  const saves = spans().filter(({ name }) => name === "snapstream.save");
  assert.lengthOf(saves, 3);
  assert.deepInclude(saves[2]!.attributes, { replica: "a", "snapstream.snapshot.index": "30" });
  assert.isAbove(Number(saves[2]!.attributes["snapstream.bytes.moved"]), 0);
  assert.isAtLeast(spans().filter(({ name }) => name === "snapstream.purge").length, 1);
  const said = await text();
  const of = (name: string, labels = {}) => valueOf(said, name, { replica: "a", ...labels });
  assert.strictEqual(of("snapstream_operation_duration_count", { snapstream_operation: "save" }), 3);
  assert.strictEqual(of("snapstream_save_pause_count"), 3);
  assert.isAbove(of("snapstream_operation_io_total", { snapstream_io_kind: "moved" })!, 0);
  assert.strictEqual(of("snapstream_log_purged_total"), Number(purgedEntries));
  assert.strictEqual(of("snapstream_replica_applied"), 31);
  assert.strictEqual(of("snapstream_replica_lag"), 0);
  assert.strictEqual(of("snapstream_snapshot_index"), 30);
  assert.strictEqual(of("snapstream_log_size"), logBytes);
  assert.isBelow(of("snapstream_snapshot_age")!, 60);
  end();
  await replica.propose(machine.put("one", "more"));
  assert.strictEqual(valueOf(await text(), "snapstream_replica_applied"), 31, "the replica is not asked any more");
  await replica.close();
  await close();
});

test("otel: a save that fails is a span with the error's code, and is counted as such", async () => {
  const { options, spans, text, close } = sdk();
  const telemetry = replicaTelemetry(options);
  const machine = new KeyValueMachine(utf8Codec());
  const failing = new MemoryStorage();
  failing.create = () => Promise.reject(new SnapshotError("NO_SPACE", "The disk is full"));
  const replica = await Replica.open({ machine, log: new MemoryLog(), storage: failing, onEvent: telemetry.onEvent });
  await replica.propose(machine.put("key", "value"));
  const error = await replica.snapshot().result.catch((error) => error);
  assert.strictEqual(error.code, "NO_SPACE");
  const [span] = spans();
  assert.deepEqual([span!.name, span!.status.code], ["snapstream.save", SpanStatusCode.ERROR]);
  assert.strictEqual(span!.attributes["error.type"], "NO_SPACE");
  const labels = { snapstream_operation: "save", error_type: "NO_SPACE" };
  assert.strictEqual(valueOf(await text(), "snapstream_operation_duration_count", labels), 1);
  await replica.close();
  await close();
});

test("otel: a pull and an install are observed, with what was moved and what was reused", async () => {
  const { options, spans, text, close } = sdk();
  const leader = new MemoryStorage();
  const machine = new KeyValueMachine(utf8Codec());
  const replica = await Replica.open({ machine, log: new MemoryLog(), storage: leader });
  await replica.propose(machine.put("key", "value"));
  await replica.snapshot().result;
  const handler = snapshotHandler(leader);
  const source = { url: "http://leader.example", fetch: (request: Request) => handler(request) };
  const { fetched } = await observed("pull", pull(new MemoryStorage(), [source]), options).result;
  const telemetry = replicaTelemetry(options);
  const follower = await Replica.open({
    machine: new KeyValueMachine(utf8Codec()),
    log: new MemoryLog(),
    storage: new MemoryStorage(),
    onEvent: telemetry.onEvent,
  });
  await follower.install([source]).result;
  const failed = observed(
    "pull",
    pull(new MemoryStorage(), [{ ...source, fetch: () => Promise.reject(new Error("away")) }], {
      retryFor: 0,
    }),
    options,
  );
  await failed.result.catch(() => {});
  const named = spans().map(({ name, status }) => `${name} ${status.code}`);
  assert.includeMembers(named, ["snapstream.pull 0", "snapstream.install 0", "snapstream.pull 2"]);
  const moved = { snapstream_operation: "pull", snapstream_io_kind: "moved" };
  assert.strictEqual(valueOf(await text(), "snapstream_operation_io_total", moved), fetched);
  await handler.close();
  await replica.close();
  await follower.close();
  await close();
});

test("otel: without an SDK nothing happens; what is no operation is refused", async () => {
  const operation = observed("pull", new Operation(() => Promise.resolve(5)));
  assert.strictEqual(await operation.result, 5);
  assert.throws(() => observed("pull", {} as Operation<void>), SnapshotError);
  assert.throws(() => observed("a name", operation), SnapshotError);
  assert.throws(() => replicaTelemetry({ tracerProvider: {} as never }), SnapshotError);
});

test("otel: the example serves what its dashboard asks for", () =>
  inTemp(async (directory) => {
    const server = await serveWithMetrics(directory, 0);
    try {
      const response = await fetch(`${server.url}/metrics`);
      assert.match(response.headers.get("Content-Type")!, /^text\/plain; version=0\.0\.4/);
      const said = await response.text();
      const dashboard = await readFile("tests/examples/grafana.json", "utf8");
      const asked = new Set(dashboard.match(/snapstream_[a-z_]+(?=[[{ "()])/g)!.filter((name) => !LABELS.has(name)));
      assert.isAbove(asked.size, 8);
      for (const name of asked) assert.include(said, `\n${name}`, "a metric that nobody reports");
    } finally {
      await server.close();
    }
  }));

/** The labels of the dashboard. */
const LABELS = new Set(["snapstream_operation", "snapstream_io_kind", "snapstream_replica"]);

test("otel: a duration is none of the wall clock, which is set back in the middle", async () => {
  const { options, text, close } = sdk();
  const { now } = Date;
  try {
    await observed(
      "pull",
      new Operation(async () => {
        await turns(1); // the telemetry has begun
        Date.now = () => now() - 3_600_000;
      }),
      options,
    );
    await turns(1); // its end was told
    const sum = valueOf(await text(), "snapstream_operation_duration_sum")!;
    assert.isTrue(sum >= 0 && sum < 3600, `${sum}`);
    assert.strictEqual(valueOf(await text(), "snapstream_operation_duration_count"), 1);
  } finally {
    Date.now = now;
  }
  await close();
});
