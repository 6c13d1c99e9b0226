/**
 * S3's answers that are errors, as the library's.
 *
 * @module
 */

import { SnapshotError, type SnapshotErrorCode } from "../../errors.ts";
import { readXml } from "./xml.ts";

/** S3's own codes, where the status does not say enough. */
const CODES: Readonly<Record<string, SnapshotErrorCode>> = {
  NoSuchBucket: "NOT_FOUND",
  PermanentRedirect: "NOT_FOUND",
  AccessDenied: "FORBIDDEN",
  AllAccessDisabled: "FORBIDDEN",
  AccountProblem: "FORBIDDEN",
  AuthorizationHeaderMalformed: "FORBIDDEN",
  ExpiredRequest: "FORBIDDEN",
  ExpiredToken: "FORBIDDEN",
  InvalidAccessKeyId: "FORBIDDEN",
  InvalidToken: "FORBIDDEN",
  ObjectLockedByBucketPolicy: "FORBIDDEN", // 409, and no contention: a rule of R2's keeps the object as it is
  RequestTimeTooSkewed: "FORBIDDEN",
  SignatureDoesNotMatch: "FORBIDDEN",
  TokenRefreshRequired: "FORBIDDEN",
  QuotaExceeded: "NO_SPACE",
  XMinioAdminBucketQuotaExceeded: "NO_SPACE",
  XMinioStorageFull: "NO_SPACE",
  EntityTooLarge: "MALFORMED",
  EntityTooSmall: "MALFORMED",
  InvalidArgument: "MALFORMED",
  InvalidBucketName: "MALFORMED",
  InvalidRange: "MALFORMED",
  InvalidURI: "MALFORMED",
  KeyTooLongError: "MALFORMED",
  // Where keys are paths of a file system, none goes on below another: not a 409 of contention.
  ExistingObjectIsDirectory: "MALFORMED",
  ExistingObjectIsFile: "MALFORMED",
  ObjectParentIsFile: "MALFORMED",
  XMinioObjectExistsAsDirectory: "MALFORMED",
  XMinioParentIsObject: "MALFORMED",
  NotImplemented: "UNSUPPORTED",
  MethodNotAllowed: "UNSUPPORTED",
  BadDigest: "UNAVAILABLE",
  ClientDisconnect: "UNAVAILABLE",
  IncompleteBody: "UNAVAILABLE",
  InternalError: "UNAVAILABLE",
  OperationAborted: "UNAVAILABLE",
  ConditionalRequestConflict: "UNAVAILABLE",
  RequestTimeout: "UNAVAILABLE",
  ServiceUnavailable: "UNAVAILABLE",
  SlowDown: "UNAVAILABLE",
  XAmzContentSHA256Mismatch: "UNAVAILABLE",
};

const ADVICE: Partial<Record<SnapshotErrorCode, string>> = {
  FORBIDDEN: ": see to the credentials, the region, the clock, and what they permit",
  NOT_FOUND: ": see to the bucket's name, the region and the endpoint",
};

/** The most that an error repeats of what the service says, in characters. */
const MAX_SAID = 1000;

/** The error for a request that S3 refuses. */
export class S3Refusal extends SnapshotError {
  /** S3's own code; nothing if the answer was not S3's XML. */
  readonly said: string | undefined;

  constructor(failure: S3Failure) {
    const { what, source, status, code, message, retryAfter, region, requestId } = failure;
    const mapped = codeOf(status, code);
    const said = [`${status}`, code, message].map((part) => part?.slice(0, MAX_SAID)).filter(Boolean).join(" ");
    const where = region === undefined ? "" : `; the bucket is in region ${region}`;
    const which = requestId === undefined ? "" : ` (request ${requestId})`;
    super(mapped, `${what} failed: ${said}${ADVICE[mapped] ?? ""}${where}${which}`, {
      source,
      status,
      ...(retryAfter === undefined ? {} : { retryAfter }),
    });
    this.said = code;
  }

  /** True if a condition does not hold. */
  get isCondition(): boolean {
    return this.fields.status === 412 || this.said === "PreconditionFailed";
  }
}

/** An answer that is no success. */
export interface S3Failure {
  /** The request: `PUT a/b of bucket c`. */
  readonly what: string;
  /** The address. */
  readonly source: string;
  /** The HTTP status. */
  readonly status: number;
  /** S3's own code; nothing if the answer was not S3's XML. */
  readonly code: string | undefined;
  /** S3's own message. */
  readonly message: string;
  /** The `Retry-After` of the answer, in milliseconds. */
  readonly retryAfter: number | undefined;
  /** The region that the bucket is in, if the answer says so. */
  readonly region?: string | undefined;
  /** The number by which the service's people find the request. */
  readonly requestId?: string | undefined;
}

/** A short word in a header of an answer; nothing if there is none, or if it is something else. */
export function wordIn(headers: Headers, name: string): string | undefined {
  return /^[\w+/=-]{1,100}$/.exec(headers.get(name) ?? "")?.[0];
}

/** Reads the body of an answer that is no success. */
export function readFailure(text: string): Pick<S3Failure, "code" | "message"> {
  // It may repeat a key that XML cannot hold.
  // deno-lint-ignore no-control-regex
  const root = readXml(text.replaceAll(/[\0-\x08\x0b\x0c\x0e-\x1f]|&#x?[0-9a-f]+;/gi, "?"));
  const error = root?.name === "Error" ? root : root?.all("Error")[0];
  const code = error?.value("Code");
  if (code !== undefined && code !== "") return { code, message: error!.value("Message") ?? "" };
  return { code: undefined, message: text.trim() === "" ? "" : "the answer is not S3's" };
}

function codeOf(status: number, code: string | undefined): SnapshotErrorCode {
  const known = CODES[code ?? ""];
  if (known !== undefined) return known;
  if (status === 401 || status === 403) return "FORBIDDEN";
  if (status === 405 || status === 501) return "UNSUPPORTED";
  if (status === 507) return "NO_SPACE";
  // S3 refuses the request, and says why: a retry is of no use. Any other error may be transient.
  if (status >= 400 && status < 500 && code !== undefined && ![404, 408, 409, 412, 429].includes(status)) {
    return "MALFORMED";
  }
  return "UNAVAILABLE";
}

/** Milliseconds, from a `Retry-After`: seconds, or a date. */
export function retryAfter(value: string | null): number | undefined {
  if (value === null) return undefined;
  const milliseconds = /^\s*\d+\s*$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(milliseconds) ? Math.max(milliseconds, 0) : undefined;
}
