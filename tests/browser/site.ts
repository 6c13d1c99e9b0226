// A web server for what was built.

import { readFile } from "node:fs/promises";
import { serve } from "../../src/transfer/server/serve.ts";

/** A site that is served. */
export interface Site {
  readonly url: string;
  close(): Promise<void>;
}

const html = (body: string) =>
  new Response(`<!doctype html><meta charset="utf-8">${body}`, { headers: { "Content-Type": "text/html" } });

/** Serves pages on a port of the loopback: `/page/<module>`, and `/worker/<module>`, which runs it in a worker. */
export async function startSite(): Promise<Site> {
  const server = await serve(async (request) => {
    const { pathname } = new URL(request.url);
    const [, kind, name] = /^\/(page|worker|module)\/(\w*)/.exec(pathname) ?? [];
    if (pathname === "/favicon.ico") return new Response(null, { status: 204 });
    if (kind === "page") return html(`<script type="module" src="/module/${name}"></script>`);
    if (kind === "worker") {
      return html(`<script type="module">
        new Worker("/module/${name}", { type: "module" }).onmessage = ({ data }) => console.log(data);
      </script>`);
    }
    if (kind === "module") return await built(`${name}.mjs`, "text/javascript");
    return new Response(null, { status: 404 });
  }, { port: 0 });
  return { url: server.url, close: () => server.close() };
}

async function built(file: string, type: string): Promise<Response> {
  return new Response(new Uint8Array(await readFile(new URL(file, import.meta.url))), {
    headers: { "Content-Type": type, "Cache-Control": "no-store" },
  });
}
