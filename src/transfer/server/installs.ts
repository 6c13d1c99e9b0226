/**
 * Installs that take longer than a proxy waits for an answer.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { pause } from "../../async/mod.ts";
import { problem } from "../wire.ts";

/** The time after which a client that allows it is answered though the install goes on, in milliseconds. */
const ANSWER_WITHIN = 5000;
/** The most installs whose outcome is remembered. */
const MOST_REMEMBERED = 16;

/** Answers for installs, of which some go on after their request was answered with 202. */
export class Installs {
  /** Those that were answered with 202; with the answer, once it is known. */
  readonly #outcomes = new Map<bigint, { answer?: () => Response }>();

  /**
   * Answers a request for an install.
   *
   * @param index of the snapshot
   * @param isAsync whether the client accepts 202 (`Prefer: respond-async`, RFC 7240)
   * @param received resolves when all of the request was read: no answer may come before
   * @param work gives what makes the answer, or throws the error that it is; never rejects
   * @param report is told of the error with which an install failed that was answered with 202: nobody else may be
   */
  async answer(
    index: bigint,
    isAsync: boolean,
    received: Promise<void>,
    work: Promise<() => Response>,
    report: (error: unknown) => void,
  ): Promise<Response> {
    await Promise.race([work, received]);
    if (!isAsync) return (await work)();
    let answer: (() => Response) | undefined;
    const ended = work.then((it) => void (answer = it));
    await pause(ANSWER_WITHIN, undefined, ended);
    if (answer !== undefined) return answer();
    const outcome: { answer?: () => Response } = {};
    this.#outcomes.delete(index); // the newest is the last
    this.#outcomes.set(index, outcome);
    for (const old of this.#outcomes.keys()) if (this.#outcomes.size > MOST_REMEMBERED) this.#outcomes.delete(old);
    void work.then((it) => {
      outcome.answer = it;
      try {
        it();
      } catch (error) {
        report(error);
      }
    });
    return running(`${index}/install`);
  }

  /**
   * Answers how an install ended that was answered with 202: 202 while it goes on, 201 or 200 as the install would have
   * been answered, and 200 with the problem document if it failed.
   */
  status(index: bigint): Response {
    const outcome = this.#outcomes.get(index);
    if (outcome === undefined) {
      throw new SnapshotError("NOT_FOUND", `Nothing is known of an install of snapshot ${index}`, { index });
    }
    if (outcome.answer === undefined) return running("install");
    let response: Response;
    try {
      response = outcome.answer();
    } catch (error) {
      response = problem(error);
    }
    if (response.status === 201) response.headers.set("Location", "manifest"); // as seen from here
    return response.status < 300 ? response : new Response(response.body, { headers: response.headers });
  }
}

/**
 * Answers with 202.
 *
 * @param location where to ask, relative to the request: nobody here knows the prefix that a handler is mounted below
 */
function running(location: string): Response {
  const headers = {
    Location: location,
    "Retry-After": "1",
    "Preference-Applied": "respond-async",
  };
  return new Response(null, { status: 202, headers });
}
