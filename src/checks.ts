/**
 * Checks of the arguments of public functions: JavaScript calls these too, and types mean nothing there.
 *
 * Each check first tests the value, and builds a message only if it fails. The message names the parameter, the values
 * that it may have, and the value that came. An option that is `undefined` counts as absent.
 *
 * @module
 */

import { messageOf, SnapshotError } from "./errors.ts";

/** The highest index and term: 2^63 - 1. */
export const MAX_INDEX: bigint = (1n << 63n) - 1n;

/** Refuses a value with `MALFORMED`; `what` names the parameter. */
export interface Check {
  (value: unknown, what: string): unknown;
  /** True if `undefined` is refused too. */
  readonly isRequired?: boolean;
}

/** A check for each option: a new option without a check does not compile. */
export type Checks<T> = { readonly [K in keyof T]-?: Check };

/**
 * The error for an unfit value.
 *
 * @param what names the parameter
 * @param expected completes "must be …"
 * @param value what came
 */
export function unfit(what: string, expected: string, value: unknown): SnapshotError {
  const actual = shown(value);
  return new SnapshotError("MALFORMED", `${what} must be ${expected}, but it is ${actual}`, { expected, actual });
}

/** Describes a value in a few words, without running code of the value's own that could fail or take long. */
function shown(value: unknown): string {
  switch (typeof value) {
    case "string":
      return `the string ${JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value)}`;
    case "number":
      return `the number ${Object.is(value, -0) ? "-0" : value}`;
    case "bigint":
      return value < -(1n << 256n) || value > 1n << 256n ? "a bigint of more than 256 bits" : `the bigint ${value}`;
    case "boolean":
      return `the boolean ${value}`;
    case "symbol":
      return "a symbol";
    case "function":
      return "a function";
    case "undefined":
      return "undefined";
    default:
      if (value === null) return "null";
      return Array.isArray(value) ? "an array" : `an object (${kindOf(value as object)})`;
  }
}

/** Reports whether a server can have this address. Chromium takes any host, and escapes what none can have. */
export function isHttp({ protocol, hostname }: URL): boolean {
  return (protocol === "http:" || protocol === "https:") && !hostname.includes("%");
}

/** Checks the address of a server. Of an address that is none, the message shows nothing that may be a secret. */
export function checkAddress(value: unknown, what: string): URL {
  const text = typeof value === "string" || isOf(value, URL) ? String(value) : undefined;
  if (text === undefined) throw unfit(what, "the address of a server: a string or a URL", value);
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && isHttp(url) && url.hash === "") return url;
  const why = url?.hash ? "has a fragment, which no server sees" : "is no address of a server (http: or https:)";
  const source = withoutSecret(text);
  throw new SnapshotError("MALFORMED", `${what} ${why}: ${JSON.stringify(source)}`, { source });
}

/** The part of an address that surely is no secret: all of a short and plain one, else what stands for a protocol. */
export function withoutSecret(text: string): string {
  const [, protocol = "", rest] = /^([a-z][a-z0-9+.-]{0,20}:\/*)?([^]*)$/i.exec(text.slice(0, 100))!;
  return text.length <= 60 && !/[@?#:&=]/.test(rest!) ? text : `${protocol}…`;
}

/** The kind of an object, by its tag and its class. */
function kindOf(value: object): string {
  const tag = tagOf(value);
  if (tag !== "Object") return tag;
  try {
    const { name } = Object.getPrototypeOf(value)?.constructor ?? {};
    return typeof name === "string" && name !== "" ? name.slice(0, 60) : tag;
  } catch {
    return tag; // a proxy may throw
  }
}

function tagOf(value: object): string {
  try {
    return Object.prototype.toString.call(value).slice(8, -1);
  } catch {
    return "Object"; // a proxy may throw
  }
}

/** Reports whether an object has a member of a type; a member that cannot be read counts as absent. */
export function has(value: unknown, member: PropertyKey, type: "function" | "boolean"): boolean {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false;
  try {
    const actual = typeof (value as Record<PropertyKey, unknown>)[member];
    return actual === type;
  } catch {
    return false; // a proxy of an object with private parts throws
  }
}

/** Reports whether a value is an instance of a class; false if the test itself throws. */
export function isOf<T>(value: unknown, of: { readonly prototype: T }): value is T {
  try {
    return value instanceof (of as unknown as abstract new () => unknown);
  } catch {
    return false; // a proxy may throw
  }
}

/** The kind of a view, of whatever realm and prototype; nothing for a `DataView`. */
const kindOfView = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag)!
  .get!;

/**
 * Checks bytes: a `Uint8Array` of any kind of buffer and realm, also Node's `Buffer`. Nothing else passes: an
 * `ArrayBuffer` and a `DataView` have no `length`, by which callers count bytes.
 *
 * @param value what came
 * @param what names the parameter
 * @returns the bytes as a plain `Uint8Array` of this realm over memory that nobody else writes to: mostly the same
 *   object. A `Buffer`, whose `slice` does not copy, and an array of another realm become a view; shared or resizable
 *   memory is copied
 * @throws {SnapshotError} `MALFORMED`, also for an array whose buffer was transferred: its bytes are gone
 */
export function checkBytes(value: unknown, what: string): Uint8Array {
  if (!ArrayBuffer.isView(value) || kindOfView.call(value) !== "Uint8Array") {
    const advice = typeof value === "string"
      ? ": encode it first (TextEncoder)"
      : ArrayBuffer.isView(value)
      ? ": view its bytes (new Uint8Array(view.buffer, view.byteOffset, view.byteLength))"
      : typeof value === "object" && value !== null && /^(Shared)?ArrayBuffer$/.test(tagOf(value))
      ? ": view its bytes (new Uint8Array(buffer))"
      : "";
    const { message, fields } = unfit(what, "a Uint8Array", value);
    throw new SnapshotError("MALFORMED", `${message}${advice}`, fields);
  }
  const bytes = value as Uint8Array;
  if (bytes.length === 0 && isDetached(bytes)) {
    throw new SnapshotError("MALFORMED", `${what} has no bytes any more: its buffer was transferred, or shrunk`);
  }
  const { buffer } = bytes;
  if (!(buffer instanceof ArrayBuffer)) {
    // The buffer is of another realm, or shared; another holder of shared memory may write to it at any time.
    return tagOf(buffer) === "SharedArrayBuffer"
      ? new Uint8Array(bytes)
      : new Uint8Array(buffer, bytes.byteOffset, bytes.length);
  }
  if ((buffer as { readonly resizable?: boolean }).resizable === true) return new Uint8Array(bytes);
  return Object.getPrototypeOf(bytes) === Uint8Array.prototype
    ? bytes
    : new Uint8Array(buffer, bytes.byteOffset, bytes.length);
}

/** Reports whether the memory of an array is gone; its methods throw then, while its `length` is 0. */
function isDetached(bytes: Uint8Array): boolean {
  try {
    Uint8Array.prototype.indexOf.call(bytes, 0);
    return false;
  } catch {
    return true;
  }
}

/** A copy of bytes that are kept after the call, since the caller may change them. See {@linkcode checkBytes}. */
export function copyBytes(value: unknown, what: string): Uint8Array {
  return new Uint8Array(checkBytes(value, what));
}

/** Checks a text. */
export function checkString(value: unknown, what: string): string {
  if (typeof value === "string") return value;
  throw unfit(what, "a string", value);
}

/** Checks a text that UTF-8 can hold: one with half of a surrogate pair would come back as another text. */
export function checkText(value: unknown, what: string): string {
  if (checkString(value, what).isWellFormed()) return value as string;
  throw new SnapshotError("MALFORMED", `${what} has half of a surrogate pair, which UTF-8 cannot hold`);
}

/** Checks a path. */
export function checkPath(value: unknown, what: string): string {
  if (typeof value === "string" && value !== "" && !value.includes("\0")) return value;
  throw unfit(what, "a path: a string of a character or more, without NUL", value);
}

/** Checks a truth value. */
export function checkBoolean(value: unknown, what: string): void {
  if (typeof value !== "boolean") throw unfit(what, "true or false", value);
}

/** Checks a callback. */
export function checkFunction(value: unknown, what: string): void {
  if (typeof value !== "function") throw unfit(what, "a function", value);
}

/** Checks an index or a term: a bigint from 0 to 2^63 - 1. */
export function checkIndex(value: unknown, what: string): bigint {
  if (typeof value === "bigint" && value >= 0n && value <= MAX_INDEX) return value;
  throw unfit(what, "a bigint from 0 to 2^63 - 1", value);
}

/** Checks a signal. */
export function checkSignal(value: unknown, what: string): void {
  if (has(value, "aborted", "boolean") && tagOf(value as object) === "AbortSignal") return;
  throw unfit(what, "an AbortSignal", value);
}

/** Reports whether a value is a readable stream, of any realm. */
export function isReadable(value: unknown): value is ReadableStream {
  return has(value, "getReader", "function") && has(value, "locked", "boolean");
}

/** Checks a stream that is to be read, and that nobody else is reading. */
export function checkReadable(value: unknown, what: string): void {
  if (!isReadable(value)) throw unfit(what, "a ReadableStream", value);
  if (value.locked) throw new SnapshotError("MALFORMED", `${what} is being read by somebody else: its reader is taken`);
}

/** Checks a stream that is to be written to. */
export function checkWritable(value: unknown, what: string): void {
  if (!has(value, "getWriter", "function") || !has(value, "locked", "boolean")) {
    throw unfit(what, "a WritableStream", value);
  }
  if ((value as WritableStream).locked) {
    throw new SnapshotError("MALFORMED", `${what} is being written to by somebody else: its writer is taken`);
  }
}

/** Reports whether a value is a key of Web Crypto. */
export function isCryptoKey(value: unknown): value is Parameters<typeof crypto.subtle.verify>[1] {
  return has(value, "extractable", "boolean") && tagOf(value as object) === "CryptoKey";
}

/** Checks a key of Web Crypto. */
export function checkCryptoKey(value: unknown, what: string): void {
  if (!isCryptoKey(value)) throw unfit(what, "a CryptoKey", value);
}

/** Checks an integer. */
export function checkInteger(value: unknown, what: string, least = 0, most: number = Number.MAX_SAFE_INTEGER): void {
  if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most) return;
  throw unfit(what, `an integer, ${between(least, most, Number.MAX_SAFE_INTEGER)}`, value);
}

/** A check for integers. */
export function integer(least: number, most?: number): Check {
  return (value, what) => checkInteger(value, what, least, most);
}

/** A check for numbers, which need not be whole. */
export function number(least: number, most: number = Infinity): Check {
  return (value, what) => {
    if (typeof value === "number" && value >= least && value <= most) return;
    throw unfit(what, `a number, ${between(least, most, Infinity)}`, value);
  };
}

/** A check for milliseconds; `Infinity` for ever. */
export function duration(): Check {
  return (value, what) => {
    if (typeof value === "number" && value >= 0) return;
    throw unfit(what, "a number of milliseconds, 0 or more", value);
  };
}

/** Checks a time-out: milliseconds, of which 0 and `Infinity` mean none. Who uses it asks {@linkcode limitOf}. */
export const checkTimeout: Check = duration();

/**
 * The limit that a time-out or a trigger sets: 0 means none, whichever it is, as does `Infinity`. A time for which
 * something is kept or retried is no time-out: of that 0 is 0.
 */
export function limitOf(value: number): number {
  return value === 0 ? Infinity : value;
}

function between(least: number, most: number, none: number): string {
  return most === none ? `${least} or more` : `${least} to ${most}`;
}

/** A check that a value is one of these. */
export function oneOf(...values: readonly unknown[]): Check {
  return (value, what) => {
    if (values.includes(value)) return;
    const names = values.map((value) => typeof value === "string" ? JSON.stringify(value) : String(value));
    throw unfit(what, names.join(" or "), value);
  };
}

/** Checks an array of any items; a text, a set or a typed array does not pass, though it can be spread. */
export function checkArray<T>(value: readonly T[], what: string): readonly T[] {
  if (!Array.isArray(value)) throw unfit(what, "an array", value);
  return value;
}

/** A check for arrays, each item of which must pass `check`. */
export function listOf(check: Check): Check {
  return (value, what) => {
    const items = checkArray(value as readonly unknown[], what);
    for (let i = 0; i < items.length; i++) check(items[i], `${what}[${i}]`); // a hole is undefined, and no item
  };
}

/** A check for objects that have these methods. */
export function able(kind: string, ...methods: readonly string[]): Check {
  return (value, what) => {
    const missing = methods.find((method) => !has(value, method, "function"));
    if (missing !== undefined) throw unfit(what, `${kind}, with a method ${missing}`, value);
  };
}

/** A check for objects whose members, if present, must pass `checks`. */
export function withMembers<T>(checks: Checks<T>): Check {
  return (value, what) => void checkOptions(value as T, checks, what);
}

/** The same check for a value that must be present. */
export function required(check: Check): Check {
  return Object.assign((value: unknown, what: string) => check(value, what), { isRequired: true });
}

/**
 * Checks options.
 *
 * @param options what came
 * @param checks of each option that there is
 * @param what names the parameter
 * @returns the options
 */
export function checkOptions<T>(options: T, checks: Checks<T>, what = "options"): T {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw unfit(what, "an object", options);
  }
  for (const name in checks) {
    let value: unknown;
    try {
      value = options[name];
    } catch (cause) {
      throw new SnapshotError("MALFORMED", `${what}.${name} cannot be read: ${messageOf(cause)}`, { cause });
    }
    if (value !== undefined || checks[name].isRequired === true) checks[name](value, `${what}.${name}`);
  }
  return options;
}

/** A copy without the members that are `undefined`: spread over another object, they would hide its members. */
export function defined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as T;
}
