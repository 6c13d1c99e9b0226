/**
 * `serve`: the snapshots of a place over HTTP.
 *
 * @module
 */

import { timingSafeEqual } from "@std/crypto/timing-safe-equal";
import { onAbort } from "../async/mod.ts";
import { SnapshotError } from "../errors.ts";
import { defaultDisk } from "../fs/mod.ts";
import { serve as listen } from "../serve.ts";
import type { SnapshotStorage } from "../snapshot/mod.ts";
import { DirectoryStorage } from "../storage/directory/mod.ts";
import { snapshotHandler } from "../transfer/mod.ts";
import { type Command, Exit, FLAG, type Invocation, JSON_OPTION, parseNumber, UsageError } from "./command.ts";
import { FollowingStorage } from "./following.ts";
import { followed, openPlace, pathOf, unpackPlace } from "./place/mod.ts";
import { TOKEN_OPTIONS, tokenOf } from "./secrets.ts";

/** Compares a secret in a time that does not tell how much of it is right. */
function isSame(given: string, secret: string): boolean {
  const encoder = new TextEncoder();
  const [a, b] = [encoder.encode(given), encoder.encode(secret)];
  return a.length === b.length && timingSafeEqual(a, b); // it throws if their lengths differ
}

/** Only reading is allowed. A page has no other way to say the token than as a password. */
function isAllowed({ method, headers }: Request, token: string | undefined): boolean {
  if (method !== "GET" && method !== "HEAD") return false;
  const given = headers.get("Authorization") ?? "";
  return token === undefined || isSame(given, `Bearer ${token}`) || isSame(passwordOf(given), token);
}

function passwordOf(authorization: string): string {
  const [, encoded] = /^Basic ([A-Za-z0-9+/=]+)$/.exec(authorization) ?? [];
  try {
    return encoded === undefined ? "" : atob(encoded).replace(/^[^:]*:/, "");
  } catch {
    return "";
  }
}

function askForPassword(): Response {
  const headers = { "WWW-Authenticate": 'Basic realm="snapstream: the token is the password", charset="UTF-8"' };
  return new Response("The token is the password\n", { status: 401, headers });
}

/** `serve PLACE --port P` */
export const serve: Command = {
  usage: "PLACE --port P",
  summary: "serves the snapshots of a place over HTTP, until Ctrl-C",
  help: "PLACE is as of ls; of an archive, and of what another system wrote, a copy is served that is made first.\n" +
    "Reads only: nothing can be sent to it, and nothing in the place is changed. Beside a running owner it follows: what\n" +
    "is added is seen, and what is being downloaded stays readable though its owner removes it (snapshots of up to 512\n" +
    "files). With a token only requests with that bearer token pass. Without one, everybody who reaches the address\n" +
    "reads all state.",
  positionals: [1, 1],
  options: {
    port: ["P", "where it listens; 0 for any free one; must be given"],
    host: ["H", "the address that it listens at; 127.0.0.1 unless given"],
    page: [FLAG, "a browser shows what is here; it asks for the token as a password"],
    ...TOKEN_OPTIONS,
    ...JSON_OPTION,
  },
  async run(invocation) {
    const { positionals, options, flags, json, signal, io } = invocation;
    if (options["port"] === undefined) throw new UsageError("--port takes a number from 0 to 65535");
    const port = parseNumber(options["port"], "port", 0, 65_535);
    const token = await tokenOf(options);
    const [storage, close] = await servedStorage(invocation);
    try {
      const handler = snapshotHandler(storage, {
        authorize: (request) => isAllowed(request, token) || (flags.has("page") && askForPassword()),
        ...(flags.has("page") && { page: (await import("../page/mod.ts")).page }),
        onError: (error, { url }) => io.note(`${new URL(url).pathname}: ${error}`),
      });
      const server = await listen(handler, {
        port,
        ...(options["host"] !== undefined && { hostname: options["host"] }),
      })
        .catch((error: Error) => {
          throw new SnapshotError("UNAVAILABLE", `Port ${port} cannot be listened at: ${error.message}`, {
            cause: error,
          });
        });
      io.print(json ? JSON.stringify({ url: server.url }) : `Serving ${positionals[0]} at ${server.url}`);
      await new Promise((resolve) => onAbort(signal, resolve));
      await server.close();
      await handler.close();
      return Exit.DONE;
    } finally {
      await close();
    }
  },
};

async function servedStorage(invocation: Invocation): Promise<readonly [SnapshotStorage, () => Promise<void>]> {
  const address = invocation.positionals[0]!;
  if (/^https?:/i.test(address)) throw new UsageError("A server is served already: name a directory or a bucket");
  const place = await openPlace(address, invocation);
  for (const { kind, index, message } of await place.troubles()) {
    if (kind !== "quarantined") invocation.io.note(`snapshot ${index} is not served: ${message}`);
  }
  const { storage } = place;
  if (storage === undefined) {
    const unpacked = await unpackPlace(place, invocation); // what another system wrote has no chunks to ask for
    return [unpacked.storage, () => unpacked.close()];
  }
  // Of a bucket, every list is the newest. What was unpacked of an archive does not change.
  const path = await followed(pathOf(address));
  const isDirectory = storage instanceof DirectoryStorage && (await defaultDisk().stat(path))?.kind === "directory";
  if (!isDirectory) return [storage, () => place.close()];
  await place.close();
  const following = await FollowingStorage.open(path);
  return [following, () => following.close()];
}
