/**
 * What a replica was given, and cannot be opened with.
 *
 * @module
 */

import { has } from "../checks.ts";

/** Closes log and storage, whatever they are: whoever opened them as they were given has them no more. */
export async function closeGiven(options: { readonly log?: unknown; readonly storage?: unknown }): Promise<void> {
  await Promise.allSettled((["log", "storage"] as const).map(async (name) => {
    const given = options[name];
    if (has(given, "close", "function")) await (given as { close(): unknown }).close();
  }));
}
