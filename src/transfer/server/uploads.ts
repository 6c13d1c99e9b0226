/**
 * The receiving side of a handler: archives, offers, and requests to take or install a snapshot.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import {
  isPassed,
  MAX_MANIFEST_BYTES,
  type SnapshotInfo,
  type SnapshotLimits,
  SnapshotManifest,
  type SnapshotStorage,
  type SnapshotVerifier,
  unarchive,
  type UnarchiveOptions,
} from "../../snapshot/mod.ts";
import { neverThrowing } from "../../async/mod.ts";
import type { ServedLog } from "../../log/mod.ts";
import { type Throttle, throttled } from "../../stream/mod.ts";
import { readLimited } from "../body.ts";
import {
  checkSources,
  type InstallNotification,
  isUsual,
  type NotificationReply,
  parseNotification,
  replyJson,
} from "../notification.ts";
import { Admission } from "./admission.ts";
import { Overload, type Place } from "./fair_semaphore.ts";
import { IncomingBody } from "./incoming.ts";
import { Installs } from "./installs.ts";
import { notWanted } from "./lookup.ts";
import { NameChecks, runtimeLookUp } from "./names.ts";
import { BYTES_TYPE, isOfService, listed, problem } from "../wire.ts";

/**
 * Takes and installs snapshots: a `Replica`, or anything like it.
 *
 * @category Transfer
 * @see {@linkcode snapshotHandler}
 */
export interface SnapshotTarget {
  /** Takes a snapshot, or joins the save that is running. */
  snapshot(options: { gap?: number }): PromiseLike<{ readonly taken: boolean; readonly snapshot?: SnapshotInfo }>;
  /** Installs an archive, or says `upToDate` if the state here is as new. */
  install(
    archive: ReadableStream<Uint8Array>,
    options: { index?: bigint; verifier?: SnapshotVerifier | undefined; limits?: SnapshotLimits },
  ): PromiseLike<{ readonly upToDate?: boolean; readonly snapshot?: SnapshotInfo }>;
  /** Makes the newest snapshot one that can be sent; called when somebody wants the newest. */
  sendable?(): Promise<void>;
  /** The log behind the snapshots, for followers; absent where there is none that can be followed. */
  readonly log?: ServedLog | undefined;
  /** Is told that the log before an index is gone. Absent where only archives are installed. */
  notify?(notification: InstallNotification): Promise<NotificationReply>;
  /** Describes itself for `GET /snapshots/status`; of errors in it only the code is told. */
  status?(): object;
}

/** See {@linkcode SnapshotHandlerOptions.creationGap}. */
const CREATION_GAP = 1024;
/** The longest notification, in bytes. */
const MAX_NOTIFICATION = 64 * 1024;

/** Options of {@linkcode Uploads}. */
export interface UploadsOptions {
  readonly target?: SnapshotTarget;
  readonly verifier?: SnapshotVerifier;
  readonly receiveThrottle?: Throttle;
  /** The least number of entries for a new snapshot. */
  readonly creationGap?: number;
  /** The largest size of a snapshot. */
  readonly limits?: SnapshotLimits;
  /** Allows the sources that a notification names. */
  readonly isSource?: (source: URL) => boolean;
  /** The longest time for which a client may send nothing, in milliseconds. */
  readonly stallTimeout: number;
  /** Told of the server's own errors that no answer tells. */
  readonly onError?: (error: unknown, request: Request) => void;
}

/** Takes in what is sent to a handler. */
export class Uploads {
  readonly #storage: SnapshotStorage;
  readonly #options: UploadsOptions;
  readonly #admission: Admission;
  readonly #installs = new Installs();
  readonly #names = new NameChecks(runtimeLookUp());

  /**
   * @param storage where to, unless a target sees to that
   * @param options who carries it out, who is trusted, and how fast
   */
  constructor(storage: SnapshotStorage, options: UploadsOptions) {
    this.#storage = storage;
    this.#options = options;
    this.#admission = new Admission(storage, options.verifier, options.limits);
  }

  async install(index: bigint, request: Request, place: Place): Promise<Response> {
    if (request.body === null) throw new SnapshotError("MALFORMED", "The request has no archive in its body");
    const sent = this.#incoming(request.body, place);
    const isAsync = /\brespond-async\b/i.test(request.headers.get("Prefer") ?? "");
    const { onError } = this.#options;
    const report = (error: unknown) => {
      const isOwn = !(error instanceof Overload) && problem(error).status >= 500;
      if (isOwn && onError !== undefined) neverThrowing(onError)(error, request);
    };
    return await this.#installs.answer(index, isAsync, sent.received, this.#install(index, sent), report);
  }

  /** Answers how an install ended that was answered with 202. */
  outcome(index: bigint): Promise<Response> {
    return Promise.resolve(this.#installs.status(index));
  }

  /** Installs an archive, and gives what makes the answer. */
  async #install(index: bigint, sent: IncomingBody): Promise<() => Response> {
    const { target, verifier, receiveThrottle } = this.#options;
    const body = receiveThrottle === undefined ? sent.stream : sent.stream.pipeThrough(throttled(receiveThrottle));
    try {
      const archive = await this.#admission.archive(index, body);
      sent.admit();
      try {
        // The request's signal is left out: a client that goes is seen by its body, and on Deno it fires in any case.
        const options = { index, verifier, limits: this.#admission.limits };
        const { upToDate = false, snapshot } = target === undefined
          ? await this.#takeIn(archive, options)
          : await target.install(archive, options);
        if (upToDate) return () => Response.json({ upToDate, ...(snapshot && listed(snapshot)) });
        if (snapshot === undefined) throw new SnapshotError("UNAVAILABLE", "The target does not say what it has");
        const headers = { Location: `${index}/manifest` }; // relative: the handler may be below a prefix
        return () => Response.json(listed(snapshot), { status: 201, headers });
      } finally {
        // A refused body may be unread, and the connection cannot be used again before it was read or cancelled.
        if (!archive.locked) await archive.cancel().catch(() => {});
      }
    } catch (error) {
      return () => refusal(error, sent);
    }
  }

  /** Takes an archive into the storage. */
  async #takeIn(archive: ReadableStream<Uint8Array>, options: UnarchiveOptions) {
    try {
      return { snapshot: await unarchive(archive, this.#storage, options) };
    } catch (error) {
      const [newest] = await this.#storage.list();
      if (newest === undefined || !isPassed(error, newest.meta.lastIncludedIndex)) throw error;
      return { upToDate: true, snapshot: newest };
    }
  }

  /** Answers an offer with the chunks that need not be sent. */
  async offer(index: bigint, request: Request, place: Place): Promise<Response> {
    const body = this.#incoming(request.body, place);
    try {
      const bytes = await readLimited(bodyOf(body), MAX_MANIFEST_BYTES);
      const { verifier } = this.#options;
      const manifest = await SnapshotManifest.decode(bytes, { verifier, files: this.#admission.limits.files });
      if (manifest.index !== index) {
        throw new SnapshotError("MALFORMED", `The manifest is of snapshot ${manifest.index}, not of ${index}`, {
          expected: index,
          actual: manifest.index,
        });
      }
      await this.#admission.offer(manifest);
      body?.admit();
      const held = await notWanted(this.#storage, manifest);
      return new Response(held.bytes as BodyInit, { headers: { "Content-Type": BYTES_TYPE } });
    } catch (error) {
      return refusal(error, body);
    }
  }

  async take(gap: string | null): Promise<Response> {
    const { target, creationGap = CREATION_GAP } = this.#options;
    // Returned, not thrown: that somebody asks is no error of the server's.
    if (target === undefined) return problem(new SnapshotError("UNSUPPORTED", "Nothing takes snapshots here"));
    if (gap !== null && !/^[0-9]{1,15}$/.test(gap)) {
      throw new SnapshotError("MALFORMED", `A gap is a number, not ${gap.slice(0, 100)}`);
    }
    const { taken, snapshot } = await target.snapshot({ gap: Math.max(creationGap, Number(gap)) });
    if (snapshot === undefined) {
      throw new SnapshotError("NOT_FOUND", "There is no snapshot, and too little to take one");
    }
    return Response.json(listed(snapshot), { status: taken ? 201 : 200 });
  }

  async notify(request: Request, place: Place): Promise<Response> {
    const { target, isSource } = this.#options;
    const body = this.#incoming(request.body, place);
    try {
      const notification = parseNotification(await readLimited(bodyOf(body), MAX_NOTIFICATION));
      checkSources(notification, isSource ?? isUsual);
      if (isSource === undefined) await this.#names.check(notification.sources ?? []);
      const reply: NotificationReply = await target?.notify?.(notification) ?? { result: "CONF_MISMATCH" };
      return Response.json(replyJson(reply));
    } catch (error) {
      if (body?.failure !== undefined) return refusal(error, body);
      throw error;
    }
  }

  #incoming(body: ReadableStream<Uint8Array>, place: Place): IncomingBody;
  #incoming(body: ReadableStream<Uint8Array> | null, place: Place): IncomingBody | undefined;
  #incoming(body: ReadableStream<Uint8Array> | null, place: Place): IncomingBody | undefined {
    return body === null ? undefined : new IncomingBody(body, this.#options.stallTimeout, place);
  }
}

/** The body that a message reader takes. */
export function bodyOf(body: IncomingBody | undefined): Pick<Body, "body"> {
  return { body: body?.stream ?? null } as Pick<Body, "body">;
}

/** Answers with a client error if the upload is wrong, or not from somebody who is trusted; throws any other error. */
export function refusal(error: unknown, body: IncomingBody | undefined): Response {
  const failure = body?.failure;
  if (failure instanceof Overload) throw failure;
  if (failure !== undefined) return problem(failure, failure.fields.status, { Connection: "close" });
  if (error instanceof SnapshotError && !isOfService(error)) {
    if (["CORRUPT", "MALFORMED", "UNSUPPORTED"].includes(error.code)) return problem(error, 422);
    if (error.code === "FORBIDDEN" && error.index !== undefined) return problem(error, 403); // not the disk's
  }
  throw error;
}
