// A replica whose metrics Prometheus collects at /metrics, and whose page is at /: `deno task demo` has the rest.
// grafana.json, beside this file, is a dashboard for them.

import { metrics } from "@opentelemetry/api";
import { PrometheusSerializer } from "@opentelemetry/exporter-prometheus";
import { MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import { KeyValueMachine, MemoryLog, Replica, snapshotHandler, utf8Codec } from "../../mod.ts";
import { DirectoryStorage } from "../../src/fs.ts";
import { replicaTelemetry } from "../../src/otel.ts";
import { page } from "../../src/page.ts";
import { serve, type Server } from "../../src/serve.ts";

/** A reader that collects when it is asked. */
class AskedReader extends MetricReader {
  protected override onForceFlush(): Promise<void> {
    return Promise.resolve();
  }
  protected override onShutdown(): Promise<void> {
    return Promise.resolve();
  }
}

/**
 * Serves a replica.
 *
 * @param directory has its snapshots
 * @param port the port; 0 for any
 */
export async function serveWithMetrics(directory: string, port: number): Promise<Server & AsyncDisposable> {
  const reader = new AskedReader();
  const meters = new MeterProvider({ readers: [reader] });
  metrics.setGlobalMeterProvider(meters);
  const telemetry = replicaTelemetry({ attributes: { "snapstream.replica": "example" } });
  const machine = new KeyValueMachine(utf8Codec());
  const storage = await DirectoryStorage.open(directory);
  const replica = await Replica.open({ machine, log: new MemoryLog(), storage, onEvent: telemetry.onEvent });
  const end = telemetry.observe(replica);
  const handler = snapshotHandler(storage, { page, target: replica });
  const server = await serve(async (request, connection) => {
    if (new URL(request.url).pathname !== "/metrics") return await handler(request, connection);
    const text = new PrometheusSerializer().serialize((await reader.collect()).resourceMetrics);
    return new Response(text, { headers: { "Content-Type": "text/plain; version=0.0.4; charset=utf-8" } });
  }, { port });
  const close = async () => {
    await server.close();
    await handler.close();
    end();
    await replica.close();
    await meters.shutdown();
    metrics.disable();
  };
  for (let i = 0; i < 1000; i++) await replica.propose(machine.put(`key ${i}`, "value"));
  await replica.snapshot().result;
  return { url: server.url, close, [Symbol.asyncDispose]: close };
}

if (import.meta.main) {
  const { url } = await serveWithMetrics(Deno.args[0] ?? await Deno.makeTempDir(), 8080);
  console.log(`${url} and ${url}/metrics`);
}
