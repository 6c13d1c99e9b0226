// A server that answers as no S3 should, and keeps what it was asked.

import { S3Bucket, type S3BucketOptions } from "../../src/bucket/s3/bucket.ts";

/** A request as it came. */
export interface Asked {
  readonly method: string;
  /** The path and the query. */
  readonly target: string;
  readonly headers: Headers;
  readonly body: Uint8Array;
}

/** Answers all requests with a function, does something with a bucket of that server, and returns what was asked. */
export async function withAnswers(
  answer: (asked: Asked, number: number) => Response | Promise<Response>,
  work: (bucket: S3Bucket) => Promise<void>,
  options: Partial<S3BucketOptions> = {},
): Promise<Asked[]> {
  const all: Asked[] = [];
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {}, onError: () => new Response(null, { status: 500 }) },
    async (request) => {
      const { pathname, search } = new URL(request.url);
      const body = new Uint8Array(await request.arrayBuffer());
      const asked = { method: request.method, target: `${pathname}${search}`, headers: request.headers, body };
      all.push(asked);
      return await answer(asked, all.length - 1);
    },
  );
  try {
    await work(
      new S3Bucket({
        endpoint: `http://127.0.0.1:${server.addr.port}`,
        bucket: "bucket",
        credentials: { accessKeyId: "id", secretAccessKey: "secret" },
        ...options,
      }),
    );
  } finally {
    await server.shutdown();
  }
  return all;
}

/** An error of S3's. */
export function refusal(status: number, code: string, headers: Record<string, string> = {}): Response {
  return new Response(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>Sorry &amp; no</Message></Error>`, {
    status,
    headers: { "Content-Type": "application/xml", ...headers },
  });
}

/** An answer of S3's. */
export function xml(root: string, content: string): Response {
  const text =
    `<?xml version="1.0" encoding="UTF-8"?>\n<${root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${content}</${root}>`;
  return new Response(text, { headers: { "Content-Type": "application/xml" } });
}
