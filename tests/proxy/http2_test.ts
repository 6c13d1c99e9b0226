// HTTP/2: by nginx in front of a handler, and by Deno's own server with a handler in it.

import { readFile } from "node:fs/promises";
import { MemoryStorage, pull, push, snapshotHandler, type SourceOptions } from "../../mod.ts";
import { assert, noise, test } from "../support/harness.ts";
import { storageWith } from "../support/samples.ts";
import { inTemp } from "../support/temp.ts";
import { behindNginx, makeCertificate } from "./nginx.ts";
import { run } from "./programs.ts";

const FILES = { state: noise(3_000_000, 1) };

/** Pulls, pushes, and has curl look, all of it over HTTP/2. */
async function tried(url: string, certificate: string, there: MemoryStorage): Promise<void> {
  const client = Deno.createHttpClient({ caCerts: [await readFile(certificate, "utf8")], http1: false });
  try {
    const source: SourceOptions = { url, fetch: (request) => fetch(request, { client }) };
    const here = new MemoryStorage();
    const { snapshot } = await pull(here, [source]).result;
    assert.strictEqual(snapshot.meta.lastIncludedIndex, 9n);
    await here.close();
    const newer = await storageWith(10n, { state: noise(2_000_000, 2) });
    const reader = await newer.open();
    await push(reader, source).result;
    assert.deepEqual((await there.list())[0]!.digest, reader.manifest.digest);
    await reader.close();
    await newer.close();
    const said = ["-w", "%{http_version} %{http_code} %{size_download}", "-o", "/dev/null"];
    const range = ["-fsS", "--http2", "--cacert", certificate, "-r", "100-1099"];
    const { stdout, stderr } = await run("curl", [...range, ...said, `${url}/snapshots/10/files/state`]);
    assert.strictEqual(stdout, "2 206 1000", stderr);
  } finally {
    client.close();
  }
}

test("HTTP/2: nginx in front", async () => {
  const there = await storageWith(9n, FILES);
  await behindNginx(there, { tls: true, http: "client_max_body_size 0;" }, async ({ url, certificate }) => {
    await tried(url, certificate, there);
  });
  await there.close();
});

test("HTTP/2: Deno's own server", () =>
  inTemp(async (directory) => {
    const { key, certificate } = await makeCertificate(directory);
    const there = await storageWith(9n, FILES);
    const handler = snapshotHandler(there, { allowWrites: true });
    const [keyText, cert] = [await readFile(key, "utf8"), await readFile(certificate, "utf8")];
    const server = Deno.serve({ port: 0, hostname: "127.0.0.1", key: keyText, cert, onListen() {} }, handler);
    await tried(`https://localhost:${server.addr.port}`, certificate, there);
    await server.shutdown();
    await handler.close();
    await there.close();
  }));
