/**
 * What JSON has no form for, in objects that programs log.
 *
 * @module
 */

import { neverThrowing } from "../async/mod.ts";
import { SnapshotError } from "../errors.ts";
import { toHex } from "./bytes.ts";

/** What `JSON.stringify` writes of an object: large numbers as text, bytes in hexadecimal, all that errors say. */
export function toJSON(this: object): Record<string, unknown> {
  return plain(this, said) as Record<string, unknown>;
}

/** Adds `toJSON` to an object. It is not enumerable: the object can be cloned, compared and spread. */
export function withJson<T extends object>(members: T): T & { toJSON(): Record<string, unknown> } {
  return Object.defineProperty({ ...members }, "toJSON", { value: toJSON }) as ReturnType<typeof withJson<T>>;
}

/** Wraps a listener, if there is one: what it is told of is JSON too, and an error that it throws is dropped. */
export function listenerOf<T extends object>(listener: ((event: T) => void) | undefined): (event: T) => void {
  return neverThrowing((event) => listener?.(withJson(event)));
}

/** All that an error says. */
function said(error: Error): unknown {
  return error instanceof SnapshotError ? error.toJSON() : { name: error.name, message: error.message };
}

/**
 * A value as one that JSON has: large numbers as text, bytes in hexadecimal.
 *
 * @param value any
 * @param ofError what is told of an error
 * @param hidden names of members that are left out, at any depth
 * @param levels how deep it is looked into
 */
export function plain(
  value: unknown,
  ofError: (error: Error) => unknown,
  hidden: readonly string[] = [],
  levels: number = Infinity,
): unknown {
  const within = (member: unknown) => plain(member, ofError, hidden, levels - 1);
  if (typeof value === "bigint") return String(value);
  if (levels < 0) return undefined;
  if (value instanceof Error) return ofError(value);
  if (value instanceof Uint8Array) return toHex(value);
  if (Array.isArray(value)) return value.map(within);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).filter(([name]) => !hidden.includes(name));
  return Object.fromEntries(members.map(([name, member]) => [name, within(member)]));
}
