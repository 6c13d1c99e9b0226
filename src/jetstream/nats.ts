/**
 * The packages of NATS, which only those have who use it: loaded when a log or a bucket is opened.
 *
 * @module
 */

import type * as jetstreamPackage from "@nats-io/jetstream";
import type * as kvPackage from "@nats-io/kv";
import type * as corePackage from "@nats-io/nats-core";
import { messageOf, SnapshotError } from "../errors.ts";

/** The packages. */
export interface Nats {
  /** `@nats-io/nats-core`. */
  readonly core: typeof corePackage;
  /** `@nats-io/jetstream`. */
  readonly jetstream: typeof jetstreamPackage;
  /** `@nats-io/kv`. */
  readonly kv: typeof kvPackage;
}

let loaded: Nats | undefined;

/**
 * Loads the packages, once.
 *
 * @throws {SnapshotError} `UNSUPPORTED` if one is not installed: the message says which to install
 */
export async function loadNats(): Promise<Nats> {
  if (loaded !== undefined) return loaded;
  try {
    const [core, jetstream, kv] = await Promise.all([
      import("@nats-io/nats-core"),
      import("@nats-io/jetstream"),
      import("@nats-io/kv"),
    ]);
    return loaded = { core, jetstream, kv };
  } catch (error) {
    throw new SnapshotError(
      "UNSUPPORTED",
      `A package of NATS cannot be loaded: ${messageOf(error)}. They are not installed with this one: install ` +
        "@nats-io/nats-core, @nats-io/jetstream and @nats-io/kv, version 3.4 or newer of each",
      { cause: error },
    );
  }
}

/** The packages, after {@linkcode loadNats}: whatever is opened has called it. */
export function nats(): Nats {
  if (loaded === undefined) throw new SnapshotError("CLOSED", "Nothing of NATS was opened here yet");
  return loaded;
}
