/**
 * What names of servers stand for: a name of anybody's may lead to an address at which a cloud gives out credentials.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { pause } from "../../async/mod.ts";
import { builtinModule } from "../../stream/mod.ts";
import { isUsual } from "../notification.ts";
import { Overload } from "./fair_semaphore.ts";

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
 * Names are looked up one at a time: a look-up cannot be cancelled, and takes a thread of the few that Node has for
 * everything, files too.
 */
export class NameChecks {
  readonly #lookUp: LookUp | undefined;
  #last: Promise<void> = Promise.resolve();

  /** @param lookUp looks up names */
  constructor(lookUp: LookUp | undefined) {
    this.#lookUp = lookUp;
  }

  /**
   * Checks the names of sources.
   *
   * @param sources addresses
   * @throws {SnapshotError} `FORBIDDEN`, also if nobody says in time where a name leads; `UNAVAILABLE` if those of
   *   others take all of that time
   */
  async check(sources: readonly string[]): Promise<void> {
    const lookUp = this.#lookUp;
    if (lookUp === undefined) return;
    const names = new Set(sources.map((source) => new URL(source).hostname).filter((host) => !isAddress(host)));
    if (names.size === 0) return;
    let [hasBegun, isOver] = [false, false];
    let areUsual: boolean | undefined;
    const looking = this.#last = this.#last.then(async () => {
      for (const name of names) {
        if (isOver) return;
        hasBegun = true;
        const addresses = await lookUp(name).catch(() => []);
        if (!addresses.every((address) => isUsual(urlOf(address)))) return void (areUsual = false);
      }
      areUsual = true;
    });
    await pause(PATIENCE, undefined, looking);
    isOver = true;
    if (!hasBegun) throw new Overload(503);
    if (areUsual === undefined) throw refused("cannot be looked up");
    if (!areUsual) throw refused("leads to an address that is not asked");
  }
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
