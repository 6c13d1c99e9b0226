// What must come of a value that is not for a parameter.

import { SnapshotError } from "../../mod.ts";
import { settle, type Slot } from "./slot.ts";
import { typeOf } from "./values.ts";
import type { World } from "./world.ts";

/** How long a refusal may take, in milliseconds: it needs nobody else. */
const PROMPT = 2500;

/** Whether nothing is said of what comes of a value. */
export function isRight({ right }: Slot, value: unknown): boolean {
  try {
    return right(value);
  } catch {
    return false; // it cannot even be looked at
  }
}

/** What comes of a wrong value: the refusal, and what is wrong with that. */
export interface Outcome {
  readonly error: unknown;
  readonly wrong?: string;
}

/** Gives a wrong value: it must be refused with `MALFORMED`, which names the parameter and what came. */
export async function give(slot: Slot, world: World, value: unknown): Promise<Outcome> {
  const what = `${slot.of}, ${slot.name} = ${shown(value)}`;
  const start = performance.now();
  let error: unknown;
  try {
    await settle(slot.call(world, value));
    return { error: undefined, wrong: `${what} is accepted` };
  } catch (thrown) {
    error = thrown;
  }
  const wrong = wrongWith(error, slot.name, typeOf(value)) ??
    (performance.now() - start > PROMPT ? "is refused late" : undefined);
  return wrong === undefined ? { error } : { error, wrong: `${what} ${wrong}` };
}

function wrongWith(error: unknown, name: string, type: string): string | undefined {
  if (!(error instanceof SnapshotError)) return `fails with ${error instanceof Error ? error.stack : error}`;
  const { code, message } = error;
  if (code !== "MALFORMED") return `fails with ${code}: ${message}`;
  if (!message.toLowerCase().includes(name.toLowerCase().split(".").at(-1)!)) return `is not named: ${message}`;
  const isSaid = name === "" || ["string", "array", "object"].includes(type) || message.includes(type);
  return isSaid ? undefined : `is refused, and it is not said what came: ${message}`;
}

function shown(value: unknown): string {
  try {
    return `${typeOf(value)} ${String(value).slice(0, 100)}`;
  } catch {
    return typeOf(value);
  }
}
