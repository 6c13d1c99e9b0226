// A network that delays, cuts, truncates, corrupts, reorders and refuses; the same each time for the same seed.

import { raceAbort } from "../../src/async/mod.ts";
import type { Random } from "../support/random.ts";

type Answer = (request: Request) => Promise<Response>;

/** Faults, and how often each is chosen among the requests that are not let through. */
const FAULTS = [
  ...["refuse", "delay", "cut", "cut", "truncate", "truncate", "corrupt", "stall", "busy", "swap", "grow", "error"],
  ...["lose", "redirect", "notModified"],
] as const;

/** What a connection that is cut fails with. */
export const CONNECTION_RESET = "connection reset";

/** How often each fault was made. */
export type FaultCounts = Record<string, number>;

/** Passes requests on, or does worse. */
export class Network {
  readonly #random: Random;
  readonly #counts: FaultCounts;
  /** Which share of the requests goes wrong. */
  badness: number;
  /** An answer that waits for the next one, to be swapped with it. */
  #held: Response | undefined;

  constructor(random: Random, badness: number, counts: FaultCounts) {
    this.#random = random;
    this.badness = badness;
    this.#counts = counts;
  }

  /** Puts it between a client and a server. */
  between(answer: Answer): Answer {
    return (request) => {
      const passing = this.#pass(request, answer);
      // As `fetch` does: whoever gives up is told so at once, and what comes too late is put away.
      passing.then((late) => request.signal.aborted ? late.body?.cancel() : undefined).catch(() => {});
      return raceAbort(passing, request.signal);
    };
  }

  async #pass(request: Request, answer: Answer): Promise<Response> {
    const random = this.#random;
    if (!random.chance(this.badness)) return await answer(request);
    const fault = random.pick(FAULTS);
    this.#counts[fault] = (this.#counts[fault] ?? 0) + 1;
    switch (fault) {
      case "refuse":
        await request.body?.cancel().catch(() => {});
        throw new TypeError("connection refused");
      case "busy":
        await request.body?.cancel().catch(() => {});
        return new Response("later", { status: random.pick([429, 503]), headers: { "Retry-After": "0.02" } });
      case "error":
        await request.body?.cancel().catch(() => {});
        return new Response("<html>", { status: random.pick([400, 500, 502, 504, 403, 206, 200]) });
      case "redirect":
        await request.body?.cancel().catch(() => {});
        return new Response(null, { status: 302, headers: { Location: "http://elsewhere.example/" } });
      case "notModified":
        await request.body?.cancel().catch(() => {});
        return new Response(null, { status: 304 });
      case "stall":
        return await this.#stall(request);
      case "lose": { // it was carried out, and nobody hears of that
        const response = await answer(request);
        await response.body?.cancel().catch(() => {});
        throw new TypeError(CONNECTION_RESET);
      }
      case "delay":
        await new Promise((resolve) => setTimeout(resolve, random.below(50)));
        return await answer(request);
      case "swap":
        return await this.#swap(await answer(request));
      default:
        if (request.body !== null && random.chance(0.5)) {
          const body = request.body.pipeThrough(this.#damage(fault));
          const init = {
            method: request.method,
            headers: request.headers,
            body,
            duplex: "half",
            signal: request.signal,
          };
          return await answer(new Request(request.url, init as RequestInit));
        }
        return this.#damaged(await answer(request), fault);
    }
  }

  /** Says nothing, until whoever waits gives up. */
  async #stall(request: Request): Promise<Response> {
    await new Promise<void>((resolve) => request.signal.addEventListener("abort", () => resolve(), { once: true }));
    await request.body?.cancel().catch(() => {});
    throw new TypeError(CONNECTION_RESET);
  }

  /** Gives the body that another request was to get, if one waits; else this one waits. */
  async #swap(response: Response): Promise<Response> {
    const held = this.#held;
    const { status, headers, body } = response;
    this.#held = new Response(body === null ? null : await response.arrayBuffer(), { status, headers });
    if (held === undefined) throw new TypeError(CONNECTION_RESET);
    return held;
  }

  #damaged(response: Response, fault: string): Response {
    if (response.body === null) return response;
    return new Response(response.body.pipeThrough(this.#damage(fault)) as BodyInit, response);
  }

  #damage(fault: string): TransformStream<Uint8Array, Uint8Array> {
    const random = this.#random;
    let left = random.below(random.pick([10, 1000, 100_000, 2_000_000]));
    return new TransformStream<Uint8Array, Uint8Array>({
      transform(piece, controller) {
        const hits = left >= 0 && left < piece.length;
        const at = left;
        left -= piece.length;
        if (!hits) return controller.enqueue(piece);
        if (fault === "corrupt") {
          const copy = piece.slice();
          copy[at]! ^= 1 << random.below(8);
          return controller.enqueue(copy);
        }
        if (fault === "grow") {
          controller.enqueue(piece);
          return controller.enqueue(piece.slice());
        }
        if (at > 0) controller.enqueue(piece.slice(0, at));
        if (fault === "cut") controller.error(new TypeError(CONNECTION_RESET));
        else controller.terminate();
      },
    });
  }
}
