/**
 * The receiving side of a handler: archives, offers, and requests to take or install a snapshot.
 *
 * @module
 */

import { hasCode, SnapshotError } from "../../errors.ts";
import {
  MAX_MANIFEST_BYTES,
  type SnapshotInfo,
  SnapshotManifest,
  type SnapshotStorage,
  type SnapshotVerifier,
  unarchive,
} from "../../snapshot/mod.ts";
import { type Throttle, throttled } from "../../stream/mod.ts";
import { readLimited } from "../body.ts";
import { type InstallNotification, type NotificationReply, parseNotification, replyJson } from "../notification.ts";
import { Installs } from "./installs.ts";
import { notWanted } from "./lookup.ts";
import { BYTES_TYPE, listed, problem } from "../wire.ts";

/** Takes and installs snapshots: a `Replica`, or anything like it. */
export interface SnapshotTarget {
  /** Takes a snapshot. */
  snapshot(options: { gap?: number }): {
    readonly result: Promise<{ readonly taken: boolean; readonly snapshot?: SnapshotInfo }>;
  };
  /** Installs an archive. */
  install(
    archive: ReadableStream<Uint8Array>,
    options: { index?: bigint; verifier?: SnapshotVerifier },
  ): { readonly result: Promise<SnapshotInfo> };
  /** Is told that the log before an index is gone. Absent where only archives are installed. */
  notify?(notification: InstallNotification): Promise<NotificationReply>;
}

/** The number of entries applied since the last snapshot from which `POST` takes one (Ratis: `creation.gap`). */
const CREATION_GAP = 1024;
/** The longest notification, in bytes. */
const MAX_NOTIFICATION = 64 * 1024;

/** Options of {@linkcode Uploads}. */
export interface UploadsOptions {
  readonly target?: SnapshotTarget;
  readonly verifier?: SnapshotVerifier;
  readonly receiveThrottle?: Throttle;
  /** The longest time for which a client may send nothing, in milliseconds. */
  readonly stallTimeout: number;
}

/** Takes in what is sent to a handler. */
export class Uploads {
  readonly #storage: SnapshotStorage;
  readonly #options: UploadsOptions;
  readonly #installs = new Installs();

  /**
   * @param storage where to, unless a target sees to that
   * @param options who carries it out, who is trusted, and how fast
   */
  constructor(storage: SnapshotStorage, options: UploadsOptions) {
    this.#storage = storage;
    this.#options = options;
  }

  async install(index: bigint, request: Request): Promise<Response> {
    if (request.body === null) throw new SnapshotError("MALFORMED", "The request has no archive in its body");
    let onEnd = () => {};
    const received = new Promise<void>((resolve) => onEnd = resolve);
    const isAsync = /\brespond-async\b/i.test(request.headers.get("Prefer") ?? "");
    const work = this.#install(index, watched(request.body, this.#options.stallTimeout, onEnd));
    return await this.#installs.answer(index, isAsync, received, work);
  }

  /** Answers how an install ended that was answered with 202. */
  outcome(index: bigint): Promise<Response> {
    return Promise.resolve(this.#installs.status(index));
  }

  /** Installs an archive, and gives what makes the answer. */
  async #install(index: bigint, sent: ReadableStream<Uint8Array>): Promise<() => Response> {
    const { target, verifier, receiveThrottle } = this.#options;
    const body = receiveThrottle === undefined ? sent : sent.pipeThrough(throttled(receiveThrottle));
    // Without the request's signal: a client that goes is seen by its body, and on Deno the signal fires in any case.
    const options = { index, ...(verifier !== undefined && { verifier }) };
    try {
      const work = target === undefined ? unarchive(body, this.#storage, options) : target.install(body, options);
      const snapshot = await work.result;
      const headers = { Location: `/snapshots/${index}/manifest` };
      return () => Response.json(listed(snapshot), { status: 201, headers });
    } catch (error) {
      return () => refusal(error);
    } finally {
      // A refused body may be unread, and the connection cannot be used again before it was read or cancelled.
      if (!body.locked) await body.cancel().catch(() => {});
    }
  }

  /** Answers an offer with the chunks that need not be sent. */
  async offer(index: bigint, request: Request): Promise<Response> {
    try {
      const bytes = await this.#read(request, MAX_MANIFEST_BYTES);
      const manifest = await SnapshotManifest.decode(bytes);
      if (manifest.index !== index) {
        throw new SnapshotError("MALFORMED", `The manifest is of snapshot ${manifest.index}, not of ${index}`, {
          expected: index,
          actual: manifest.index,
        });
      }
      await this.#options.verifier?.verify(manifest);
      const held = await notWanted(this.#storage, manifest);
      return new Response(held.bytes as BodyInit, { headers: { "Content-Type": BYTES_TYPE } });
    } catch (error) {
      return refusal(error);
    }
  }

  async take(gap: string | null): Promise<Response> {
    const { target } = this.#options;
    if (target === undefined) throw new SnapshotError("UNSUPPORTED", "Nothing takes snapshots here");
    if (gap !== null && !/^[0-9]{1,15}$/.test(gap)) {
      throw new SnapshotError("MALFORMED", `A gap is a number, not ${gap.slice(0, 100)}`);
    }
    const { taken, snapshot } = await target.snapshot({ gap: gap === null ? CREATION_GAP : Number(gap) }).result;
    if (snapshot === undefined) {
      throw new SnapshotError("NOT_FOUND", "There is no snapshot, and too little to take one");
    }
    return Response.json(listed(snapshot), { status: taken ? 201 : 200 });
  }

  async notify(request: Request): Promise<Response> {
    const { target } = this.#options;
    try {
      const notification = parseNotification(await this.#read(request, MAX_NOTIFICATION));
      const reply: NotificationReply = await target?.notify?.(notification) ?? { result: "CONF_MISMATCH" };
      return Response.json(replyJson(reply));
    } catch (error) {
      if (isStall(error)) return refusal(error);
      throw error;
    }
  }

  #read({ body }: Request, limit: number): Promise<Uint8Array> {
    const sent = body === null ? null : watched(body, this.#options.stallTimeout);
    return readLimited({ body: sent } as Pick<Body, "body">, limit);
  }
}

/** A body that fails when the client sends nothing for `timeout` milliseconds, and says when all of it has come. */
function watched(
  body: ReadableStream<Uint8Array>,
  timeout: number,
  onEnd: () => void = () => {},
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const stall = new Promise<never>((_, reject) => {
        timer = setTimeout(() => {
          reject(new SnapshotError("TIMEOUT", `The client sent nothing for ${timeout} ms`, { status: STALL_STATUS }));
        }, Math.min(timeout, 2 ** 31 - 1));
      });
      try {
        const { done, value } = await Promise.race([reader.read(), stall]);
        if (!done) return controller.enqueue(value);
        onEnd();
        controller.close();
      } catch (error) {
        reader.cancel(error).catch(() => {}); // not waited for: it may stall, too
        throw error;
      } finally {
        clearTimeout(timer);
      }
    },
    cancel: (reason) => reader.cancel(reason),
  }, { highWaterMark: 0 });
}

/** The status *Request Timeout*. */
const STALL_STATUS = 408;

function isStall(error: unknown): boolean {
  return hasCode(error, "TIMEOUT") && error.fields.status === STALL_STATUS;
}

/** Answers with a client error if the upload is wrong, or not from somebody who is trusted; throws any other error. */
function refusal(error: unknown): Response {
  if (isStall(error)) return problem(error, STALL_STATUS, { Connection: "close" });
  if (error instanceof SnapshotError) {
    if (["CORRUPT", "MALFORMED", "UNSUPPORTED"].includes(error.code)) return problem(error, 422);
    if (error.code === "FORBIDDEN" && error.index !== undefined) return problem(error, 403); // not the disk's
  }
  throw error;
}
