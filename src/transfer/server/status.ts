/**
 * What a handler says of itself.
 *
 * @module
 */

import type { ServedLog } from "../../log/mod.ts";
import type { SnapshotInstall, SnapshotStorage } from "../../snapshot/mod.ts";
import { plain, toHex } from "../../stream/mod.ts";
import { listed, type ServerStatus, type ServerTransfer } from "../wire.ts";
import type { Place } from "./fair_semaphore.ts";
import type { SnapshotTarget } from "./uploads.ts";

/** The content that is being sent. */
export class Transfers {
  readonly #running = new Set<{ -readonly [K in keyof ServerTransfer]: ServerTransfer[K] }>();

  /** Those that run, the oldest first. */
  get running(): readonly ServerTransfer[] {
    return [...this.#running].map((one) => ({ ...one }));
  }

  /**
   * Counts what a place is told to have moved.
   *
   * @returns ends it
   */
  begin(path: string, place: Place): { end(): void; sized(response: Response): void } {
    const transfer: { -readonly [K in keyof ServerTransfer]: ServerTransfer[K] } = { path, sent: 0, since: Date.now() };
    this.#running.add(transfer);
    place.onMoved = (bytes) => transfer.sent += bytes;
    return {
      end: () => void this.#running.delete(transfer),
      sized({ headers }) {
        const size = Number(headers.get("Content-Length") ?? NaN);
        if (Number.isFinite(size)) transfer.size = size;
      },
    };
  }
}

/**
 * Describes a storage, and what is done with it. Of errors only the code is told: messages speak of the server's disk.
 *
 * @param storage has the snapshots
 * @param transfers what is being sent
 * @param target takes snapshots, and may know more
 */
export async function statusOfServer(
  storage: SnapshotStorage,
  transfers: Transfers,
  target: SnapshotTarget | undefined,
): Promise<ServerStatus> {
  const snapshots = await storage.list();
  const { installing } = storage;
  return {
    now: Date.now(),
    retain: storage.retain,
    snapshots: snapshots.map((info) => ({ ...listed(info), chunks: info.chunks, pinned: info.pinned })),
    unreadable: (await storage.unreadable()).map(({ index, error: { code } }) => ({ index: String(index), code })),
    quarantined: (await storage.quarantined()).map(({ index, at }) => ({
      index: String(index),
      ...(at !== undefined && { at }),
    })),
    ...(installing !== undefined && { installing: installOf(installing) }),
    unfinished: (await storage.unfinished()).map(({ index, size }) => ({ index: String(index), size })),
    transfers: transfers.running,
    ...(target?.log !== undefined && { log: logOf(target.log) }),
    ...(target?.status !== undefined && {
      target: plain(target.status(), codeOf, TEXTS, MAX_DEPTH) as Record<string, unknown>,
    }),
  };
}

function installOf(install: SnapshotInstall): NonNullable<ServerStatus["installing"]> {
  const { content, index, digest } = install.manifest;
  const here = install.held();
  let bytes = 0;
  for (let i = 0; i < content.count; i++) if (here.has(i)) bytes += content.length(i);
  return { index: String(index), digest: toHex(digest), size: content.size, held: bytes };
}

/** The most followers that are named. */
const MAX_NAMED = 100;

function logOf(log: ServedLog): NonNullable<ServerStatus["log"]> {
  const { first, last, role } = log.status();
  const followers = (log.followers?.() ?? []).slice(0, MAX_NAMED);
  return {
    first: String(first),
    last: String(last),
    role,
    followers: followers.map(({ name, matchIndex, silence }) => ({ name, index: String(matchIndex), silence })),
  };
}

/** The deepest that a status is looked into. */
const MAX_DEPTH = 6;

/** Texts about errors, which speak of the server's disk. */
const TEXTS = ["reason", "message", "stack"];

/** Of errors only the code is told. */
function codeOf(error: Error): unknown {
  return { code: (error as { readonly code?: unknown }).code ?? "UNKNOWN" };
}
