/**
 * The log and storage given to a replica that could not be opened.
 *
 * @module
 */

import { has } from "../checks.ts";

/** Closes log and storage, whatever they are: a caller that opened them in the options cannot close them itself. */
export async function closeGiven(options: { readonly log?: unknown; readonly storage?: unknown }): Promise<void> {
  await Promise.allSettled((["log", "storage"] as const).map(async (name) => {
    const given = options[name];
    if (has(given, "close", "function")) await (given as { close(): unknown }).close();
  }));
}
