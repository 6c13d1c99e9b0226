// Bodies in a page, read by its own thread: the page itself reads them in others, of which no turn of its event loop
// knows.

/** A property, and what is to be in its place. */
export type Replacement = readonly [target: object, name: string, value: unknown];

/** Lets a page read the bodies of its `Response` and `Request` in turns of its event loop. */
export function bodiesInTurns(): Replacement[] {
  const replacements: Replacement[] = [
    [globalThis, "Response", responseOfStreams()],
    [globalThis, "Request", requestOfStreams()],
  ];
  for (const { prototype } of [Response, Request]) {
    for (const [name, convert] of Object.entries(READS)) {
      replacements.push([prototype, name, async function (this: Body) {
        return convert(await read(this));
      }]);
    }
  }
  return replacements;
}

type Bytes = Uint8Array<ArrayBuffer>;

const textOf = (bytes: Bytes) => new TextDecoder().decode(bytes);
const READS: Readonly<Record<string, (bytes: Bytes) => unknown>> = {
  bytes: (bytes) => bytes,
  arrayBuffer: (bytes) => bytes.buffer,
  text: textOf,
  json: (bytes) => JSON.parse(textOf(bytes)),
};

async function read({ body, bodyUsed }: Body): Promise<Bytes> {
  if (bodyUsed) throw new TypeError("The body was read before");
  const pieces: Bytes[] = [];
  const reader = body?.getReader();
  for (let it = await reader?.read(); it?.done === false; it = await reader?.read()) pieces.push(it.value);
  const whole = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** A body that is bytes, or text, as a stream; of others nothing. */
function streamOf(body: unknown): ReadableStream<Bytes> | undefined {
  const bytes = typeof body === "string"
    ? new TextEncoder().encode(body)
    : body instanceof Uint8Array
    ? new Uint8Array(body)
    : undefined;
  return bytes && new ReadableStream({
    start(controller) {
      if (bytes.length > 0) controller.enqueue(bytes);
      controller.close();
    },
  });
}

function responseOfStreams(): typeof Response {
  const { Response: Original } = globalThis;
  const ofStream = (response: Response, body: unknown): Response => {
    const stream = streamOf(body);
    return stream === undefined ? response : new Original(stream, response);
  };
  return class extends Original {
    static override [Symbol.hasInstance](it: unknown): boolean {
      return it instanceof Original;
    }

    static override json(value: unknown, init?: ResponseInit): Response {
      return ofStream(Original.json(value, init), JSON.stringify(value));
    }

    constructor(body?: BodyInit | null, init?: ResponseInit) {
      super(body, init);
      return ofStream(this, body);
    }
  };
}

function requestOfStreams(): typeof Request {
  const { Request: Original } = globalThis;
  return class extends Original {
    static override [Symbol.hasInstance](it: unknown): boolean {
      return it instanceof Original;
    }

    constructor(input: RequestInfo | URL, init?: RequestInit) {
      super(input, init);
      const body = streamOf(init?.body);
      if (body === undefined) return;
      return new Original(this, { body, duplex: "half" } as RequestInit);
    }
  };
}
