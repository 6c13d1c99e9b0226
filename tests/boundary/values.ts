// Values of every kind, and what each parameter takes of them.

import type { Random } from "../support/random.ts";
import { foreignBytes } from "./realm.ts";

/** Which values are right. */
export type Right = (value: unknown) => boolean;

class Evil {
  get anything(): never {
    throw new Error("a getter threw");
  }
}

/** An object of which nothing can be read. */
function unreadable(): object {
  const fail = () => {
    throw new Error("a trap threw");
  };
  return new Proxy({}, { get: fail, has: fail, ownKeys: fail, getPrototypeOf: fail, getOwnPropertyDescriptor: fail });
}

function detached(): Uint8Array {
  const bytes = new Uint8Array(8);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  return bytes;
}

/** Makes one value of each kind; the random ones are others each time. */
const MAKERS: readonly ((random: Random) => unknown)[] = [
  () => undefined,
  () => null,
  () => "",
  () => "text",
  () => "7",
  () => "\ud800",
  () => "a\0b",
  () => "x".repeat(5000),
  (random) => String.fromCharCode(...Array.from({ length: random.below(9) }, () => random.below(0x10000))),
  () => 0,
  () => -0,
  () => 1,
  () => -1,
  () => 1.5,
  () => NaN,
  () => Infinity,
  () => -Infinity,
  () => 2 ** 31,
  () => 2 ** 53,
  () => -(2 ** 53),
  () => 1e308,
  (random) => (random.next() - 0.5) * 10 ** random.below(18),
  (random) => random.below(100_000) - 50_000,
  () => 0n,
  () => 1n,
  () => -1n,
  () => 2n ** 63n,
  () => 2n ** 64n,
  () => 10n ** 1000n,
  (random) => (random.chance(0.5) ? -1n : 1n) * BigInt(random.below(2 ** 31)) << BigInt(random.below(90)),
  () => true,
  () => false,
  () => Symbol("symbol"),
  () => Symbol.iterator,
  () => () => {},
  () => async function* () {},
  () => class {},
  () => ({}),
  () => ({ length: 3 }),
  () => ({ aborted: false, addEventListener() {} }),
  () => Object.create(null),
  () => Object.create(Uint8Array.prototype),
  () => [],
  () => [1, 2, 3],
  () => [undefined],
  () => [null],
  () => ["a", "a"],
  () => [new Uint8Array(1)],
  () => new Array(3),
  () => new Date(0),
  () => /x/,
  () => new Map([["a", 1]]),
  () => new Set([1]),
  () => new WeakMap(),
  () => new Error("an error"),
  () => Promise.resolve(1),
  () => new ArrayBuffer(8),
  () => new SharedArrayBuffer(8),
  () => new DataView(new ArrayBuffer(8)),
  () => new Float64Array(2),
  () => new Uint32Array(2),
  () => new Int8Array(8),
  () => new Uint8ClampedArray(8),
  () => new BigInt64Array(2),
  () => new Uint8Array(0),
  () => new Uint8Array(8),
  (random) => new Uint8Array(random.below(100)),
  () => new Uint8Array(new SharedArrayBuffer(8)),
  () => foreignBytes(),
  () => detached(),
  () => new Proxy(new Uint8Array(8), {}),
  () => new Proxy(() => {}, {}),
  () => new Proxy([], {}),
  () => unreadable(),
  () => new Evil(),
  () => new URL("http://localhost/"),
  () => new Headers(),
  () => new AbortController(),
  () => new ReadableStream(),
  () => new WritableStream(),
  () => new TransformStream(),
  () => new Blob(["text"]),
  () => new Number(1),
  () => new String("text"),
  () => new Boolean(true),
  () => Object(1n),
];

/** How many kinds of values there are. */
export const KINDS: number = MAKERS.length;

/** A value of a kind. */
export function valueOf(kind: number, random: Random): unknown {
  return MAKERS[kind]!(random);
}

/** The type of a value, for messages. */
export function typeOf(value: unknown): string {
  if (value === null || Array.isArray(value)) return value === null ? "null" : "array";
  return typeof value;
}

/** The tag of a value, if it can be read. */
export const tagOf = (value: unknown): string => {
  try {
    return Object.prototype.toString.call(value);
  } catch {
    return "";
  }
};

/** Bytes that are there. */
export const isBytes: Right = (value) => {
  if (!ArrayBuffer.isView(value) || tagOf(value) !== "[object Uint8Array]") return false;
  const { buffer } = value as Uint8Array;
  return !("detached" in buffer && buffer.detached);
};
export const isString: Right = (value) => typeof value === "string";
export const isText: Right = (value) => typeof value === "string" && value.isWellFormed();
export const isBoolean: Right = (value) => typeof value === "boolean";
export const isFunction: Right = (value) => typeof value === "function";
export const isIndex: Right = (value) => typeof value === "bigint" && value >= 0n && value < 2n ** 63n;
export const isSignal: Right = (value) => tagOf(value) === "[object AbortSignal]";
export const isReadable: Right = (value) => tagOf(value) === "[object ReadableStream]";
export const isWritable: Right = (value) => tagOf(value) === "[object WritableStream]";
export const isNothing: Right = () => false;
export const isInteger = (least: number, most: number = Number.MAX_SAFE_INTEGER): Right => (value) =>
  Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;
export const isNumber = (least: number, most: number = Infinity): Right => (value) =>
  typeof value === "number" && value >= least && value <= most;
export const isOne = (...values: unknown[]): Right => (value) => values.includes(value);
/** An object, whose members are looked at one by one, elsewhere. */
export const isObject: Right = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
/** An array: its items are looked at elsewhere. */
export const isArrayOf = (item: Right): Right => (value) =>
  Array.isArray(value) && tagOf(value) === "[object Array]" && Array.from(value).every(item);
export const isPath: Right = (value) => typeof value === "string" && value !== "" && !value.includes("\0");
export const isEither = (...rights: Right[]): Right => (value) => rights.some((right) => right(value));
/** The name of a group. */
export const isGroup: Right = (value) =>
  isText(value) && value !== "" && !(value as string).includes("\0") &&
  new TextEncoder().encode(value as string).length <= 255;
