// A parameter of a public function, and what comes of a value in its place.

import { Operation } from "../../mod.ts";
import type { Right } from "./values.ts";
import type { World } from "./world.ts";

/** A place where a value can be given. */
export interface Slot {
  /** Which function. */
  readonly of: string;
  /** What an error calls the parameter. */
  readonly name: string;
  /** Which values are right: nothing is said of what comes of them. */
  readonly right: Right;
  /** Calls the function with a value in that place. */
  readonly call: (world: World, value: unknown) => unknown;
  /** The same without it, if it may be left out. */
  readonly without?: (world: World) => unknown;
}

/** A required parameter. */
export function parameter(of: string, name: string, right: Right, call: Slot["call"]): Slot {
  return { of, name, right, call };
}

/** A parameter that may be left out. */
export function optional(of: string, name: string, right: Right, call: Slot["call"]): Slot {
  return {
    of,
    name,
    right: (value) => value === undefined || right(value),
    call,
    without: (world) => call(world, undefined),
  };
}

/**
 * The members of an options object, and the object itself.
 *
 * @param call calls the function with options
 * @param members which values are right for each; the name of one that is required begins with `!`
 * @param base the other members
 */
export function members(
  of: string,
  // deno-lint-ignore no-explicit-any -- what is given is not of the type
  call: (world: World, options: any) => unknown,
  rights: Readonly<Record<string, Right>>,
  base: (world: World) => object = () => ({}),
  name = "options",
): Slot[] {
  const slots = Object.entries(rights).map(([key, right]): Slot => {
    const member = key.replace("!", "");
    const isRequired = key !== member;
    return {
      of,
      name: `${name}.${member}`,
      right: (value) => (value === undefined && !isRequired) || right(value),
      call: (world, value) => call(world, { ...base(world), [member]: value }),
      ...(!isRequired && { without: (world) => call(world, base(world)) }),
    };
  });
  const isObject: Right = (value) =>
    value === undefined || (typeof value === "object" && value !== null && !Array.isArray(value));
  return [...slots, { of, name, right: isObject, call }];
}

/** Waits for what a function gave: a promise, an operation, a stream's first piece, a sink's readiness. */
export async function settle(given: unknown): Promise<unknown> {
  const value = await given;
  if (value instanceof Operation) return await value.result;
  if (value instanceof ReadableStream) {
    const reader = value.getReader();
    try {
      return (await reader.read()).done;
    } finally {
      reader.cancel().catch(() => {});
    }
  }
  if (value instanceof WritableStream) return await value.close();
  if (typeof value === "object" && value !== null && Symbol.asyncIterator in value) {
    const iterator = (value as AsyncIterable<unknown>)[Symbol.asyncIterator]();
    const { done } = await iterator.next();
    await iterator.return?.();
    return done;
  }
  return value;
}
