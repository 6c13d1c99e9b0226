/**
 * The options of a handler.
 *
 * @module
 */

import {
  able,
  checkBoolean,
  checkFunction,
  checkOptions,
  checkString,
  checkTimeout,
  duration,
  integer,
  listOf,
  number,
  unfit,
  withMembers,
} from "../../checks.ts";
import { checkVerifier, limitChecks, type SnapshotLimits, type SnapshotVerifier } from "../../snapshot/mod.ts";
import { checkThrottle, type Throttle } from "../../stream/mod.ts";
import type { CorsOrigins } from "./cors.ts";
import type { SnapshotTarget } from "./uploads.ts";

/**
 * Options of {@linkcode snapshotHandler}.
 *
 * @category Transfer
 */
export interface SnapshotHandlerOptions {
  /**
   * Gates every request: `true` lets it pass; `false` is answered with 403, a response with that response. Look at the
   * method too: who may read need not be who may write. By default all pass, and can only read.
   */
  readonly authorize?: (request: Request) => boolean | Response | Promise<boolean | Response>;
  /**
   * Allows `PUT` and `POST`. Without `authorize`, `true` lets whoever can reach the handler replace all state.
   *
   * @default {true if there is an `authorize`}
   */
  readonly allowWrites?: boolean;
  /** Gates notifications, beside {@linkcode authorize}: `true` for who may speak as the leader. */
  readonly authorizeLeader?: (request: Request) => boolean | Promise<boolean>;
  /**
   * Allows a source that a notification names, whose scheme is `http:` or `https:`; if one is not allowed, the
   * notification is refused. By default all are but link-local addresses, at which clouds give out credentials, names
   * that lead there, as far as the runtime can look them up, and addresses with a password.
   */
  readonly isSource?: (source: URL) => boolean;
  /**
   * How much an uploaded snapshot may be. One that is larger than the room that the storage knows of is refused, too.
   *
   * @default {bytes: 1 TiB, files: 16384, directories: 4096}
   */
  readonly limits?: SnapshotLimits;
  /**
   * Carries out `PUT` and `POST`. Without one, `PUT` puts an archive into the storage, and `POST` is answered with 501.
   */
  readonly target?: SnapshotTarget;
  /**
   * The number of entries applied since the last snapshot from which a `POST` takes one (Ratis: `creation.gap`). A
   * client may ask for more, and not for less.
   *
   * @default {1024}
   */
  readonly creationGap?: number;
  /** Refuses uploads that are not signed by somebody who is trusted. By default the storage's, if it has one. */
  readonly verifier?: SnapshotVerifier;
  /**
   * The time for which a snapshot is kept after the last request of a download, in milliseconds. A client keeps two,
   * and all of them together eight; none for more than ten times this without being sent 4 kB of it a second.
   *
   * @default {60000}
   */
  readonly leaseDuration?: number;
  /** Limits the rate of all that is sent. */
  readonly throttle?: Throttle;
  /** Limits the rate of all that is received. */
  readonly receiveThrottle?: Throttle;
  /**
   * The number of requests that move content and are served at a time. The others wait, in turn with other clients'; if
   * they are too many, or wait too long, they are answered with 429 or 503 and `Retry-After`. The slowest transfer of
   * a client that has more than its share goes first. Uploads, and requests for lists and manifests, have places of
   * their own.
   *
   * @default {32}
   */
  readonly maxTransfers?: number;
  /**
   * The longest time for which a client may read nothing that it is sent, or send nothing that it has to, in
   * milliseconds; and in all, beside a second for each 4 kB. Then the transfer is aborted, since others wait for its
   * place. 0 for no limit.
   *
   * @default {60000}
   */
  readonly stallTimeout?: number;
  /**
   * Names the client, for fairness. By default this is what the server says of the connection (`serve` and `Deno.serve`
   * say the address), and where it says nothing the `Authorization` header, if there is an `authorize`.
   */
  readonly client?: (request: Request, connection: unknown) => string;
  /**
   * Other servers that have the same snapshots, or are fetching them; named in the answer to a request for a manifest.
   */
  readonly sources?: () => readonly (string | URL)[];
  /**
   * Answers requests that are not for a snapshot: `page` of `@snapstream/snapstream/page`, which shows what is here and
   * what is done. It passes `authorize` like any other. By default there is none.
   */
  readonly page?: (request: Request) => Response | undefined;
  /** The origins whose pages may use it: `"*"`, or a list. By default none. */
  readonly cors?: CorsOrigins;
  /** Told of the server's own errors, of which the client is told nothing more. */
  readonly onError?: (error: unknown, request: Request) => void;
}

/** Checks the options of a handler. */
export function checkHandlerOptions(options: SnapshotHandlerOptions): SnapshotHandlerOptions {
  return checkOptions(options, {
    authorize: checkFunction,
    allowWrites: checkBoolean,
    authorizeLeader: checkFunction,
    isSource: checkFunction,
    limits: withMembers<SnapshotLimits>(limitChecks()),
    target: able("a SnapshotTarget", "snapshot", "install"),
    verifier: checkVerifier,
    creationGap: number(0),
    leaseDuration: duration(),
    throttle: checkThrottle,
    receiveThrottle: checkThrottle,
    maxTransfers: integer(1),
    stallTimeout: checkTimeout,
    client: checkFunction,
    sources: checkFunction,
    page: checkPage,
    cors: (value, what) => value === "*" || listOf(checkString)(value, what),
    onError: checkFunction,
  });
}

/** Whoever means the page of this library names it, so that nobody else has it in his bundle. */
function checkPage(value: unknown, what: string): void {
  if (value === true) throw unfit(what, 'the page: import { page } from "@snapstream/snapstream/page"', value);
  checkFunction(value, what);
}
