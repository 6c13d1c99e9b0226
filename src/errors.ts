/**
 * The one error class of the library, its codes, and the conversion of an aborted signal into such an error.
 *
 * @module
 */

/**
 * The kind of failure, for a program:
 *
 * | code | meaning |
 * |---|---|
 * | `BUSY` | something that excludes this is running; retry later |
 * | `STALE` | newer state, or a newer snapshot, is already here |
 * | `NOT_FOUND` | no such snapshot or file |
 * | `CLOSED` | the object was closed before, or during, the call |
 * | `CANCELLED` | the caller's `AbortSignal` fired; `name` is `"AbortError"`, `cause` the signal's reason |
 * | `TIMEOUT` | a time limit of the library passed |
 * | `CORRUPT` | bytes that were once right have changed: a digest, a size or a total does not match |
 * | `MALFORMED` | input that never was right: a name, a format, an argument |
 * | `UNSUPPORTED` | a version or a feature that this release does not know |
 * | `NO_SPACE` | the disk or the quota is full |
 * | `FORBIDDEN` | the file system, the server, a signature, a key or the name of a group does not permit it |
 * | `UNAVAILABLE` | a disk or a source does not answer, or fails |
 *
 * @category Errors
 * @see {@linkcode SnapshotError}
 */
export type SnapshotErrorCode =
  | "BUSY"
  | "STALE"
  | "NOT_FOUND"
  | "CLOSED"
  | "CANCELLED"
  | "TIMEOUT"
  | "CORRUPT"
  | "MALFORMED"
  | "UNSUPPORTED"
  | "NO_SPACE"
  | "FORBIDDEN"
  | "UNAVAILABLE";

/**
 * The details of an error, for a program; a field is present only where it means something.
 *
 * @category Errors
 * @see {@linkcode SnapshotError}
 */
export interface SnapshotErrorFields {
  /** The file's name in the snapshot, or its path on the disk. */
  readonly file?: string;
  /** The number of the chunk in the file, from 0. */
  readonly chunk?: number;
  /** The value that should have been found. */
  readonly expected?: string | number | bigint;
  /** The value that was found. */
  readonly actual?: string | number | bigint;
  /** The key group. */
  readonly keyGroup?: number;
  /** The index of the snapshot. */
  readonly index?: bigint;
  /** The address that answered wrongly or not at all. */
  readonly source?: string;
  /** The HTTP status of the answer. */
  readonly status?: number;
  /** Milliseconds after which a retry is worthwhile. */
  readonly retryAfter?: number;
}

/**
 * Options of {@linkcode SnapshotError}.
 *
 * @category Errors
 */
export interface SnapshotErrorOptions extends SnapshotErrorFields {
  /** The error or value that caused this. */
  readonly cause?: unknown;
}

/**
 * The error that everything in this library throws.
 *
 * @category Errors
 *
 * @example Telling errors apart
 * ```ts
 * import { MemoryStorage, SnapshotError } from "@snapstream/snapstream";
 *
 * const storage = new MemoryStorage();
 * try {
 *   await storage.open();
 * } catch (error) {
 *   if (!(error instanceof SnapshotError) || error.code !== "NOT_FOUND") throw error;
 * }
 * ```
 */
export class SnapshotError extends Error {
  /** `"AbortError"` for `CANCELLED`, as in the platform's own aborted calls; else `"SnapshotError"`. */
  override readonly name: string;
  /** The kind of failure. */
  readonly code: SnapshotErrorCode;
  /** The details. */
  readonly fields: SnapshotErrorFields;

  /**
   * Makes an error.
   *
   * @param code what went wrong
   * @param message what happened, where, and what to do, for a person
   * @param options the fields, and the cause
   */
  constructor(code: SnapshotErrorCode, message: string, options: SnapshotErrorOptions = {}) {
    const { cause, ...fields } = options;
    super(message, cause === undefined ? undefined : { cause });
    this.name = code === "CANCELLED" ? "AbortError" : "SnapshotError";
    this.code = code;
    this.fields = Object.defineProperty(fields, "toJSON", { value: () => plainFields(fields) });
  }

  /** Returns what `JSON.stringify` writes of it: code, message and fields, bigints as strings; and what caused it. */
  toJSON(): Record<string, unknown> {
    const { name, code, message, fields, cause } = this;
    return {
      ...{ name, code, message, ...plainFields(fields) },
      ...cause !== undefined && { cause: cause instanceof SnapshotError ? cause.toJSON() : messageOf(cause) },
    };
  }

  /** The file's name in the snapshot, or its path on the disk. */
  get file(): string | undefined {
    return this.fields.file;
  }

  /** The number of the chunk in the file, from 0. */
  get chunk(): number | undefined {
    return this.fields.chunk;
  }

  /** The key group. */
  get keyGroup(): number | undefined {
    return this.fields.keyGroup;
  }

  /** The index of the snapshot. */
  get index(): bigint | undefined {
    return this.fields.index;
  }

  /** The address that answered wrongly or not at all. */
  get source(): string | undefined {
    return this.fields.source;
  }

  /** The value that should have been found. */
  get expected(): string | number | bigint | undefined {
    return this.fields.expected;
  }

  /** The value that was found. */
  get actual(): string | number | bigint | undefined {
    return this.fields.actual;
  }
}

function plainFields(fields: SnapshotErrorFields): Record<string, unknown> {
  const plain = Object.entries(fields).map(([key, value]) => [key, typeof value === "bigint" ? `${value}` : value]);
  return Object.fromEntries(plain);
}

/**
 * Reports whether `error` is a {@linkcode SnapshotError} with one of these codes.
 *
 * @category Errors
 *
 * @example
 * ```ts
 * import { hasCode, MemoryStorage } from "@snapstream/snapstream";
 *
 * const reader = await new MemoryStorage().open().catch((error: unknown) => {
 *   if (hasCode(error, "NOT_FOUND")) return undefined; // nothing was saved yet
 *   throw error;
 * });
 * console.assert(reader === undefined);
 * ```
 */
export function hasCode(error: unknown, ...codes: SnapshotErrorCode[]): error is SnapshotError {
  return error instanceof SnapshotError && codes.includes(error.code);
}

/** The error of a call whose signal fired; a `SnapshotError` that is the signal's reason is passed on as it is. */
export function cancelled(signal: AbortSignal): SnapshotError {
  return signal.reason instanceof SnapshotError
    ? signal.reason
    : new SnapshotError("CANCELLED", `Cancelled: ${messageOf(signal.reason)}`, { cause: signal.reason });
}

/** Throws {@linkcode cancelled} if the signal has fired. */
export function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw cancelled(signal);
}

/** The text of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The text of what `fetch` has thrown: on Node only its cause says what happened, and sometimes only by a code. */
export function reasonOf(error: unknown): string {
  const text = messageOf(error);
  const { message, code } = Object(Object(error).cause) as { readonly message?: string; readonly code?: string };
  const reason = message || code;
  return reason && !text.includes(reason) ? `${text}: ${reason}` : text;
}
