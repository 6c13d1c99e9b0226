/**
 * What JSON has no form for, in objects that programs log.
 *
 * @module
 */

import { neverThrowing } from "../async/mod.ts";
import { SnapshotError } from "../errors.ts";
import { toHex } from "./bytes.ts";

/** Adds `toJSON` to an object. It is not enumerable: the object can be cloned, compared and spread. */
export function withJson<T extends object>(members: T): T & { toJSON(): Record<string, unknown> } {
  const toJSON = () => plain(members) as Record<string, unknown>;
  return Object.defineProperty({ ...members }, "toJSON", { value: toJSON }) as ReturnType<typeof withJson<T>>;
}

/** Wraps a listener, if there is one: what it is told of is JSON too, and an error that it throws is dropped. */
export function listenerOf<T extends object>(listener: ((event: T) => void) | undefined): (event: T) => void {
  return neverThrowing((event) => listener?.(withJson(event)));
}

/** A value as one that JSON has. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  if (value instanceof Uint8Array) return toHex(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof SnapshotError) return value.toJSON();
  if (value instanceof Error) return { name: value.name, message: value.message };
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]));
}
