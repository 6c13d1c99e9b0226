/**
 * Sending one archive, and finding out how its install ended.
 *
 * @module
 */

import { hasCode, messageOf, reasonOf, SnapshotError, throwIfCancelled } from "../../errors.ts";
import { pause, type Tracker } from "../../async/mod.ts";
import { progress, type Throttle, throttled } from "../../stream/mod.ts";
import { type BodyWatch, readLimited } from "../body.ts";
import { BYTES_TYPE, PROBLEM_TYPE, responseError, typeOf } from "../wire.ts";
import type { HttpSource } from "./http_source.ts";
import { RETRY_FOR, RetryBudget } from "./retry_budget.ts";

/** The longest answer to an archive, in bytes. */
const MAX_ANSWER = 1024 * 1024;

/** Sends an archive, and waits until it is installed. */
export async function put(
  server: HttpSource,
  index: bigint,
  content: ReadableStream<Uint8Array>,
  { signal, throttle }: { readonly signal?: AbortSignal | undefined; readonly throttle?: Throttle },
  tracker: Tracker,
  onFailure?: (error: unknown) => void,
): Promise<Installed> {
  let passed = 0;
  let watching: BodyWatch | undefined;
  content = content.pipeThrough(progress(({ bytes }) => {
    tracker.add(bytes - passed);
    passed = bytes;
  }));
  if (throttle !== undefined) content = content.pipeThrough(throttled(throttle));
  const body = cancellable(content, {
    asked: () => watching?.pause(), // the reader or the throttle is waited for, not the other side
    given: () => watching?.resume(),
  });
  try {
    const init = (watch: BodyWatch) => {
      watching = watch;
      // Loading may take longer than a proxy waits for an answer: the other side may say that it goes on (RFC 7240).
      const headers = { "Content-Type": BYTES_TYPE, Prefer: "respond-async" };
      return { method: "PUT", body: body.stream as BodyInit, duplex: "half" as const, headers };
    };
    const path = `/snapshots/${index}`;
    const installed = await server.exchange(
      path,
      init,
      signal,
      (response, watch) => outcomeOf(response, watch, server, index),
    );
    return installed ?? await outcome(server, index, signal);
  } catch (error) {
    throwIfCancelled(signal);
    if (body.failure !== undefined) { // the reader's, whatever fetch made of it
      onFailure?.(body.failure.error);
      throw body.failure.error;
    }
    if (error instanceof SnapshotError) throw error;
    throw new SnapshotError("UNAVAILABLE", `${server.url} broke off: ${reasonOf(error)}`, {
      source: server.url,
      cause: error,
    });
  } finally {
    watching?.pause();
    watching = undefined; // anything given now goes to nobody
    await body.cancel(); // not every runtime does, when the request has failed (nodejs/node#61460)
  }
}

/** The time between two questions whether an install has ended, in milliseconds. */
const ASK_OUTCOME = 1000;

/** Asks how an install ends that goes on after its request was answered. */
async function outcome(server: HttpSource, index: bigint, signal: AbortSignal | undefined): Promise<Installed> {
  const budget = new RetryBudget(RETRY_FOR);
  for (let wait = ASK_OUTCOME;;) {
    await pause(wait, signal);
    wait = ASK_OUTCOME;
    let said: { readonly failure?: SnapshotError; readonly installed?: Installed | undefined };
    try {
      said = await server.exchange(`/snapshots/${index}/install`, {}, signal, async (response, watch) => {
        // The question was answered: with the error that the install failed with.
        const isError = response.headers.get("Content-Type")?.startsWith(PROBLEM_TYPE);
        if (response.status === 200 && isError) return { failure: await responseError(response, server.url, watch) };
        return { installed: await outcomeOf(response, watch, server, index) };
      });
    } catch (error) {
      throwIfCancelled(signal);
      const asked = budget.failed(error);
      if (asked !== undefined) {
        wait = asked;
        continue;
      }
      throw new SnapshotError("UNAVAILABLE", `${server.url} does not say how the install ended: ${messageOf(error)}`, {
        source: server.url,
        index,
        cause: error,
      });
    }
    budget.succeeded();
    if (said.failure !== undefined) throw said.failure;
    if (said.installed !== undefined) return said.installed;
  }
}

/** The snapshot that was installed; nothing if that goes on. */
async function outcomeOf(
  response: Response,
  watch: BodyWatch,
  server: HttpSource,
  index: bigint,
): Promise<Installed | undefined> {
  if (response.status === 202) return undefined;
  // A proxy's 200 is not an acknowledgement: a server that has installed it says which snapshot.
  if (response.status === 201 || isUpToDate(response)) {
    const bytes = await readLimited(response, MAX_ANSWER, watch).catch((error) => {
      if (!hasCode(error, "MALFORMED")) throw error; // else it is too long
    });
    const installed = bytes && parseInstalled(bytes, index);
    if (installed !== undefined) return installed;
    const said = `${server.url} answered ${response.status} with ${typeOf(response) ?? "no Content-Type"}`;
    throw new SnapshotError("UNAVAILABLE", `${said}, which does not say that the snapshot was installed`, {
      source: server.url,
      status: response.status,
      index,
    });
  }
  throw await responseError(response, server.url, watch);
}

/** The reply of the other side about a snapshot that it has installed. */
interface Installed {
  readonly digest?: unknown;
  /** True if it has installed nothing, since its state is as new. */
  readonly upToDate: boolean;
}

/** Whether an answer may say that there was nothing to install. */
function isUpToDate({ status, headers }: Response): boolean {
  return status === 200 && headers.get("Content-Type")?.startsWith("application/json") === true;
}

/** Reads which snapshot the other side says that it has installed; nothing if it does not say. */
function parseInstalled(bytes: Uint8Array, index: bigint): Installed | undefined {
  try {
    const { index: said, digest, upToDate } = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    if (upToDate === true) return { digest, upToDate };
    if (said === String(index)) return { digest, upToDate: false };
  } catch {
    // it is something else
  }
  return undefined;
}

/**
 * A stream that can be cancelled though somebody else has it. It keeps the error of its source, and says when something
 * is asked of it and when that was given.
 */
function cancellable(source: ReadableStream<Uint8Array>, watch: { asked(): void; given(): void }) {
  const reader = source.getReader();
  let cancelled = false;
  const body: {
    readonly stream: ReadableStream<Uint8Array>;
    failure: { readonly error: unknown } | undefined;
    cancel(): Promise<void>;
  } = {
    stream: new ReadableStream<Uint8Array>({
      async pull(controller) {
        let result: ReadableStreamReadResult<Uint8Array>;
        watch.asked();
        try {
          result = await reader.read();
        } catch (error) {
          body.failure = { error };
          throw error;
        }
        if (cancelled) return;
        watch.given();
        if (result.done) controller.close();
        else controller.enqueue(result.value);
      },
      cancel(reason) {
        cancelled = true;
        return reader.cancel(reason);
      },
    }, { highWaterMark: 0 }),
    failure: undefined,
    cancel: () => reader.cancel().catch(() => {}),
  };
  return body;
}
