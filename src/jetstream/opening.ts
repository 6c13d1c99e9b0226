/**
 * Opening what is in a stream, while servers start, elect a leader, or others make the same stream.
 *
 * @module
 */

import { type Backoff, backoff } from "../async/mod.ts";
import type { JetStreamConnection } from "./connection.ts";
import { isNoStream, isOverlap, isSilent, passes } from "./errors.ts";

/** The longest wait for an election, or a server that starts, in milliseconds. */
const PATIENCE = 30_000;
/**
 * The longest wait if nobody answers for JetStream at all; and if the subjects are said to be those of another stream,
 * as some servers tell whoever makes a stream that is just being made. In milliseconds.
 */
const SHORT_PATIENCE = 2000;
/** The pause before a retry: the first one, and the longest, in milliseconds. */
const RETRY: Backoff = { first: 50, longest: 1000 };

/**
 * Opens something, again while it fails by what passes.
 *
 * @param connection the connection, whose return ends a wait
 * @param open opens it, or makes it; may be called again after it failed
 * @param signal ends the waits
 * @throws the last error of `open`
 */
export async function opened<T>(
  connection: JetStreamConnection,
  open: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const start = performance.now();
  for (let tries = 0;; tries++) {
    try {
      return await open();
    } catch (error) {
      // A stream that another makes is, for a moment, neither to be made nor found on every server.
      const comes = passes(error) || isNoStream(error) || isOverlap(error);
      const patience = isSilent(error) || isOverlap(error) ? SHORT_PATIENCE : PATIENCE;
      if (!comes || performance.now() - start >= patience || signal?.aborted) throw error;
      await connection.pause(backoff(tries, RETRY), signal).catch(() => {}); // `open` throws that it was cancelled
    }
  }
}
