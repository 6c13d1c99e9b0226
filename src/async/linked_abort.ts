/**
 * Acting on a signal, for as long as something runs.
 *
 * @module
 */

/**
 * Calls back once a signal fires; at once if it has fired already.
 *
 * @param signal the signal; nothing is done without one
 * @param callback is given the reason
 * @returns stops listening: to be called when the work ends, since the signal may live longer
 */
export function onAbort(signal: AbortSignal | undefined, callback: (reason: unknown) => void): () => void {
  if (signal === undefined) return () => {};
  const listener = () => callback(signal.reason);
  if (signal.aborted) listener();
  else signal.addEventListener("abort", listener, { once: true });
  return () => signal.removeEventListener("abort", listener);
}

/**
 * A controller that also aborts, with the same reason, when another signal fires. Unlike `AbortSignal.any` it can stop
 * following a signal that lives longer than the work.
 */
export class LinkedAbort extends AbortController {
  /** Stops following the signal: to be called when the work ends. */
  readonly unlink: () => void;

  /** @param signal the signal to follow, if any */
  constructor(signal: AbortSignal | undefined) {
    super();
    this.unlink = onAbort(signal, (reason) => this.abort(reason));
  }
}
