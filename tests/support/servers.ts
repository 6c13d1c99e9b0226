// Sources that misbehave, made of handlers.

import { type SnapshotHandler, snapshotHandler, type SnapshotStorage, type SourceOptions } from "../../mod.ts";

/** A source that can be told how to answer, and that counts. */
export interface TestSource extends SourceOptions {
  readonly fetch: (request: Request) => Promise<Response>;
  /** Requests so far, by path and range. */
  readonly log: string[];
  close(): Promise<void>;
}

/** What a source does with a request; nothing to have it answered as it should be. */
export type Twist = (request: Request, count: number, answer: () => Promise<Response>) =>
  | Response
  | Promise<Response>
  | undefined;

/** A source for a storage. `twist` is asked about requests for content only, unless `all` is set. */
export function sourceOf(
  name: string,
  storage: SnapshotStorage,
  twist: Twist = () => undefined,
  all = false,
): TestSource {
  const handler: SnapshotHandler = snapshotHandler(storage, { allowWrites: true });
  const log: string[] = [];
  let count = 0;
  return {
    url: `http://${name}`,
    log,
    fetch(request) {
      const { pathname } = new URL(request.url);
      log.push(`${pathname} ${request.headers.get("Range") ?? ""}`);
      const answer = () => handler(request);
      if (!all && !pathname.endsWith("/content")) return answer();
      return Promise.resolve(twist(request, ++count, answer) ?? answer());
    },
    close: () => handler.close(),
  };
}

/** An answer with its bytes changed. */
export function withBody(
  response: Response,
  change: (body: ReadableStream<Uint8Array>) => ReadableStream<Uint8Array>,
): Response {
  return new Response(change(response.body!) as ReadableStream<Uint8Array<ArrayBuffer>>, response);
}

/** Passes so many bytes, then does something in the place of the next. */
export function after(
  bytes: number,
  then: (controller: TransformStreamDefaultController<Uint8Array>) => unknown,
): TransformStream<Uint8Array, Uint8Array> {
  let left = bytes;
  return new TransformStream<Uint8Array, Uint8Array>({
    async transform(piece, controller) {
      if (left > 0) controller.enqueue(piece.slice(0, left));
      left -= piece.length;
      if (left < 0) await then(controller);
    },
  });
}
