/**
 * What names of servers stand for: a name of anybody's may lead to an address at which a cloud gives out credentials.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { pause } from "../../async/mod.ts";
import { builtinModule } from "../../stream/mod.ts";
import { isUsual } from "../notification.ts";

/** The longest wait for all names of a notification, in milliseconds. */
const PATIENCE = 5000;

/** Looks up the addresses of a name; rejects if there are none. */
export type LookUp = (name: string) => Promise<readonly string[]>;

/** The part of `node:dns/promises` that is used. */
interface Dns {
  lookup(name: string, options: { readonly all: true }): Promise<readonly { readonly address: string }[]>;
}

/**
 * Looks up as the runtime's `fetch` does; absent where names cannot be looked up. An edge runtime's `fetch` goes out of
 * its own network, where there is nothing of that kind.
 */
export function runtimeLookUp(): LookUp | undefined {
  if ("WebSocketPair" in globalThis) return undefined;
  const dns = builtinModule<Dns>("node:dns/promises");
  if (typeof dns?.lookup !== "function") return undefined;
  return async (name) => (await dns.lookup(name, { all: true })).map(({ address }) => address);
}

/**
 * Refuses names of servers that lead to where no server of snapshots is (see `isUsual`). A name that leads nowhere
 * passes: nothing can be fetched from it. One may lead elsewhere when it is fetched from; only a list of one's own
 * hosts (`isSource`) is safe against that.
 *
 * @param sources addresses
 * @param lookUp looks up names
 * @throws {SnapshotError} `FORBIDDEN`, also if nobody says in time where a name leads
 */
export async function checkNames(sources: readonly string[], lookUp: LookUp | undefined): Promise<void> {
  if (lookUp === undefined) return;
  const names = new Set(sources.map((source) => new URL(source).hostname).filter((host) => !isAddress(host)));
  if (names.size === 0) return;
  let isKnown = false;
  const looking = Promise.all([...names].map(async (name) => {
    const addresses = await lookUp(name).catch(() => []);
    if (!addresses.every((address) => isUsual(urlOf(address)))) throw refused("leads to an address that is not asked");
  })).then(() => void (isKnown = true));
  await pause(PATIENCE, undefined, looking);
  if (!isKnown) throw refused("cannot be looked up");
}

function isAddress(host: string): boolean {
  return host.startsWith("[") || /^[0-9.]+$/.test(host);
}

function urlOf(address: string): URL {
  return new URL(`http://${address.includes(":") ? `[${address.split("%", 1)[0]}]` : address}/`);
}

function refused(why: string): SnapshotError {
  return new SnapshotError("FORBIDDEN", `The name of a source of the notification ${why}`, { status: 403 });
}
