// nginx in front of a handler.

import { spawn } from "node:child_process";
import { connect } from "node:net";
import { mkdir, writeFile } from "node:fs/promises";
import {
  MemoryStorage,
  pull,
  type SnapshotHandler,
  snapshotHandler,
  type SnapshotHandlerOptions,
  type SnapshotStorage,
} from "../../mod.ts";
import { serve } from "../../src/transfer/server/serve.ts";
import { assert } from "../support/harness.ts";
import { freePort } from "../support/nats.ts";
import { inTemp } from "../support/temp.ts";
import { environment, pathOf, run } from "./programs.ts";

/** Lines of `http` for gzip of all there is. */
export const GZIP = "client_max_body_size 0; gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any;";
/** … and for a cache beside it. */
export const CACHE: string = `proxy_cache_path cache keys_zone=all:1m max_size=64m; ${GZIP}`;
/** Lines of `location` that use it. */
export const CACHED = "proxy_cache all; proxy_cache_valid 200 206 301 404 10m; proxy_cache_revalidate on;";

/** How nginx is set up, beside what it must have. */
export interface NginxOptions {
  /** Lines of the part `http`. */
  readonly http?: string;
  /** Lines of the part `location`, behind those that pass requests on. */
  readonly location?: string;
  /** The location in full, instead: the upstream is `$up` there. */
  readonly instead?: string;
  /** True for TLS, and HTTP/2. */
  readonly tls?: boolean;
}

/** A handler behind nginx. */
export interface Proxied {
  /** The address of the proxy. */
  readonly url: string;
  /** The address of the handler itself. */
  readonly direct: string;
  /** What came to the handler, as `METHOD path range`. */
  readonly asked: string[];
  /** The certificate of the proxy, if it has one. */
  readonly certificate: string;
  readonly directory: string;
}

/** Makes a key, and a certificate that signs itself. */
export async function makeCertificate(
  directory: string,
): Promise<{ readonly key: string; readonly certificate: string }> {
  const [key, certificate] = [`${directory}/key.pem`, `${directory}/certificate.pem`];
  const { code, stderr } = await run("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
    ...[
      "-subj",
      "/CN=localhost",
      "-addext",
      "basicConstraints=critical,CA:FALSE",
      "-addext",
      "subjectAltName=DNS:localhost,IP:127.0.0.1",
    ],
    ...["-keyout", key, "-out", certificate],
  ]);
  if (code !== 0) throw new Error(stderr);
  return { key, certificate };
}

/** Resolves when somebody listens at a port. */
async function listening(port: number, hasEnded: () => boolean): Promise<void> {
  while (!hasEnded()) {
    const isThere = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
      socket.once("close", () => resolve(false)).once("connect", () => socket.destroy());
    });
    if (isThere) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Does something with a handler behind nginx. */
export function behindNginx(
  storage: SnapshotStorage,
  options: NginxOptions,
  work: (proxied: Proxied) => Promise<void>,
  handlerOptions: SnapshotHandlerOptions = { allowWrites: true },
): Promise<void> {
  return inTemp(async (directory) => {
    const handler: SnapshotHandler = snapshotHandler(storage, handlerOptions);
    const asked: string[] = [];
    const server = await serve((request, connection) => {
      const { pathname } = new URL(request.url);
      asked.push(`${request.method} ${pathname} ${request.headers.get("Range") ?? ""}`.trim());
      return handler(request, connection);
    }, { port: 0 });
    const port = await freePort();
    const { http = "", location = "", instead, tls = false } = options;
    const { key, certificate } = tls ? await makeCertificate(directory) : { key: "", certificate: "" };
    for (const name of ["body", "proxy", "cache"]) await mkdir(`${directory}/${name}`);
    const pass = `proxy_pass ${server.url}; proxy_http_version 1.1; ${location}`;
    const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
      .map((name) => `${name}_temp_path ${directory}/${name === "client_body" ? "body" : "proxy"};`);
    const config = `daemon off; master_process off; pid ${directory}/pid; error_log ${directory}/errors;
      events { worker_connections 256; }
      http { access_log off; ${paths.join(" ")} ${http}
        server {
          listen 127.0.0.1:${port}${tls ? " ssl http2" : ""};
          ${tls ? `ssl_certificate ${certificate}; ssl_certificate_key ${key};` : ""}
          location / { ${instead?.replaceAll("$up", server.url) ?? pass} }
        }
      }`;
    await writeFile(`${directory}/nginx.conf`, config);
    const args = ["-p", directory, "-c", `${directory}/nginx.conf`, "-e", `${directory}/errors`];
    const child = spawn(pathOf("nginx")!, args, { stdio: "ignore", env: environment() });
    let hasEnded = false;
    const ended = new Promise<void>((resolve) => child.once("exit", () => resolve(void (hasEnded = true))));
    try {
      await listening(port, () => hasEnded);
      const url = `${tls ? "https" : "http"}://localhost:${port}`;
      await work({ url, direct: server.url, asked, certificate, directory });
    } finally {
      child.kill("SIGKILL");
      await ended;
      await server.close();
      await handler.close();
    }
  });
}

/** Pulls from an address, and looks at all of it. */
export async function pulled(source: string, index: bigint): Promise<void> {
  const here = new MemoryStorage();
  const { snapshot } = await pull(here, [source]).result;
  assert.strictEqual(snapshot.meta.lastIncludedIndex, index);
  const reader = await here.open();
  assert.isTrue((await reader.verify().result).ok);
  await reader.close();
  await here.close();
}
