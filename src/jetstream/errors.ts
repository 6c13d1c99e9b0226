/**
 * NATS's errors, as the library's.
 *
 * @module
 */

import type { ApiError, JetStreamApiError } from "@nats-io/jetstream";
import type { Msg } from "@nats-io/nats-core";
import { messageOf, SnapshotError, type SnapshotErrorCode } from "../errors.ts";
import { nats } from "./nats.ts";

/** Numbers that the server gives with its errors. */
const API = {
  accountOff: 10039,
  streamNotFound: 10059,
  wrongLastSequence: 10071,
  /** The same of a cluster from 2.11 on, where the message that was faster is still being copied. */
  sequenceInFlight: 10164,
  serverOff: 10076,
  noMessage: 10037,
  noConsumerLeft: 10026,
  messageTooLarge: 10054,
  nameInUse: 10058,
  subjectsOverlap: 10065,
  sealed: 10109,
} as const;

/** The codes and hints for NATS's errors, by name, since an application may have its own copy of NATS. */
const NAMES: readonly (readonly [SnapshotErrorCode, readonly string[], hint: string])[] = [
  [
    "FORBIDDEN",
    ["PermissionViolationError", "AuthorizationError", "UserAuthenticationExpiredError"],
    ". The user of the connection needs permission for that",
  ],
  ["CLOSED", ["ClosedConnectionError", "DrainingConnectionError"], ". The connection was closed: open another"],
  ["TIMEOUT", ["TimeoutError"], ". No server answered in time"],
];

/** Makes one of the library's errors of the failure of a message, a stream or a request. */
export function wrap(error: unknown, what: string, stream: string): SnapshotError {
  if (error instanceof SnapshotError) return error;
  const [code, hint] = codeOf(error);
  return new SnapshotError(code, `Cannot ${what} the stream ${stream}: ${messageOf(error)}${hint}`, {
    source: stream,
    cause: error,
  });
}

function codeOf(error: unknown): readonly [SnapshotErrorCode, hint: string] {
  const names = namesOf(error);
  for (const [code, known, hint] of NAMES) {
    if (known.some((name) => names.includes(name))) return [code, hint];
  }
  if (messageOf(error) === "connection closed") return ["CLOSED", ". The connection was closed: open another"];
  if (!isApiError(error)) return ["UNAVAILABLE", ""];
  switch (error.code) {
    case API.streamNotFound:
      return ["UNAVAILABLE", ". It was deleted, or is another account's"];
    case API.accountOff:
    case API.serverOff:
      return ["UNSUPPORTED", ". Start the server with JetStream, and enable it for the account"];
    case API.sealed:
      return ["UNSUPPORTED", ". It was sealed, for good: nothing can be appended to it, deleted or purged"];
    case API.noConsumerLeft:
      return ["UNAVAILABLE", ". As many read as the account or the stream allows: retry it later, or allow more"];
    case API.messageTooLarge:
      return ["UNSUPPORTED", ". Its max_msg_size is too small: raise it"];
    case API.wrongLastSequence:
    case API.sequenceInFlight:
      return ["STALE", ". Something else was appended first"];
  }
  if (/insufficient|exceeded|maximum|no space/i.test(error.message)) {
    return ["NO_SPACE", ". Give the account or the server more"];
  }
  return ["UNAVAILABLE", ""];
}

/** Reports whether an error is transient: a server restarts, a leader is being elected, a connection broke. */
export function passes(error: unknown): boolean {
  if (error instanceof SnapshotError) {
    return error.cause !== undefined && error.code !== "CANCELLED" && passes(error.cause);
  }
  const [code] = codeOf(error);
  if (code === "TIMEOUT") return true;
  if (code !== "UNAVAILABLE") return false;
  return isApiError(error) ? error.status >= 500 || error.status === 408 : isOfConnection(error);
}

function isOfConnection(error: unknown): boolean {
  const names = namesOf(error);
  return ["RequestError", "NoResponders", "JetStreamNotEnabled", "ConnectionError", "Interrupted"].some((name) =>
    names.includes(name)
  );
}

/** Reports whether nobody answers for JetStream at all. */
export function isSilent(error: unknown): boolean {
  return namesOf(error).includes("JetStreamNotEnabled");
}

/** Reports whether there is no such stream. */
export function isNoStream(error: unknown): boolean {
  return isApi(error, API.streamNotFound);
}

/** Reports whether as many read already as are allowed; one that does so no more may count for a few seconds. */
export function isNoConsumerLeft(error: unknown): boolean {
  return isApi(error, API.noConsumerLeft);
}

/** Reports whether there is no such message. */
export function isNoMessage(error: unknown): boolean {
  return isApi(error, API.noMessage);
}

/** Reports whether somebody else made a stream of that name, with another configuration. */
export function isNameInUse(error: unknown): boolean {
  return isApi(error, API.nameInUse);
}

/** Reports whether another stream has these subjects: perhaps the same, which somebody else is making just now. */
export function isOverlap(error: unknown): boolean {
  return isApi(error, API.subjectsOverlap);
}

/** Reports whether a condition on the last sequence does not hold. */
export function isWrongSequence(error: unknown): boolean {
  return isApi(error, API.wrongLastSequence) || isApi(error, API.sequenceInFlight);
}

function isApiError(error: unknown): error is JetStreamApiError {
  return error instanceof nats().jetstream.JetStreamApiError;
}

function isApi(error: unknown, code: number): boolean {
  if (error instanceof SnapshotError) return isApi(error.cause, code);
  return isApiError(error) && error.code === code;
}

function namesOf(error: unknown): string[] {
  const names: string[] = [];
  for (let at = error; at instanceof Error && names.length < 8; at = at.cause) names.push(at.name);
  return names;
}

/** The error if nobody answers for JetStream, with the name that the client gives it. */
class Silent extends Error {
  override readonly name = "JetStreamNotEnabled";
}

/** Reads an acknowledgement: the sequence of the message, or the error that the server answered with. */
export function acknowledged({ data, headers }: Msg): bigint | Error {
  if (data.length === 0 && headers?.code === 503) return new Silent("no server answers for the stream");
  try {
    const { seq, error } = JSON.parse(new TextDecoder().decode(data)) as { seq?: number; error?: ApiError };
    if (error !== undefined) return new (nats().jetstream.JetStreamApiError)(error);
    return BigInt(seq!);
  } catch {
    return new Error("the answer is no acknowledgement");
  }
}

/** Thrown when a read or a request broke off; it is begun anew. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
}
