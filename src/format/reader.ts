/**
 * The reader that all formats share: it makes a snapshot of files and of what checks them.
 *
 * @module
 */

import { checkOptions, checkSignal, checkString, integer, required, withMembers } from "../checks.ts";
import { hasCode, messageOf, SnapshotError, throwIfCancelled } from "../errors.ts";
import { Operation, type Tracker } from "../async/mod.ts";
import {
  type BadChunk,
  checkReadOptions,
  checkVerifyOptions,
  type FileInfo,
  MAX_LISTED_BAD,
  type ReadOptions,
  SnapshotManifest,
  type SnapshotMeta,
  type VerifyOptions,
} from "../snapshot/mod.ts";
import { streamFrom, withJson } from "../stream/mod.ts";
import type { BlockOptions } from "./files.ts";
import type { FormatEntriesOptions, FormatEntry, FormatReader, FormatVerifyResult, System } from "./format.ts";

/** A check of a file that is computed as all of it is read. */
export interface RunningCheck {
  /** Takes in bytes. */
  update(bytes: Uint8Array): void;
  /** Throws `CORRUPT` if they are not those that were written. */
  end(): void;
}

/** A file of a snapshot of another system. */
export interface FormatFile {
  /** Its name in the snapshot. */
  readonly name: string;
  /** Its size in bytes. */
  readonly size: number;
  /** Its attributes. */
  readonly attributes?: Omit<FileInfo, "name" | "chunks">;
  /** Its bytes. */
  read(start: number, end: number, options: BlockOptions): AsyncGenerator<Uint8Array, void, undefined>;
  /** Begins a check of all its bytes, where the system has one. */
  readonly check?: () => RunningCheck;
}

/** A verification that is running. */
export interface Verification {
  /** Counts bytes. */
  readonly tracker: Tracker;
  /** Stops it. */
  readonly signal: AbortSignal | undefined;
  /** Notes something that was checked. */
  checked(line: string): void;
  /** Notes something that cannot be checked. */
  unchecked(line: string): void;
  /** Notes something bad. */
  bad(file: string, message: string): void;
  /** Runs a part, and notes what it throws as bad. */
  attempt(file: string, part: () => Promise<void>): Promise<void>;
}

/** Everything that a {@linkcode ForeignReader} is made of. */
export interface ForeignSnapshot {
  readonly system: System;
  readonly meta: SnapshotMeta;
  readonly files: readonly FormatFile[];
  readonly details: Readonly<Record<string, unknown>>;
  readonly checked: readonly string[];
  readonly unchecked: readonly string[];
  /** Checks all of it, where there is more to check than the checks of the files. */
  readonly verify?: (verification: Verification) => Promise<void>;
  readonly entries?: (options: FormatEntriesOptions) => AsyncGenerator<FormatEntry, void, undefined>;
}

/** A snapshot of another system. */
export class ForeignReader implements FormatReader {
  readonly manifest: SnapshotManifest;
  readonly details: Readonly<Record<string, unknown>>;
  readonly #snapshot: ForeignSnapshot;
  readonly #files: ReadonlyMap<string, FormatFile>;
  readonly #closing = new AbortController();

  private constructor(snapshot: ForeignSnapshot, manifest: SnapshotManifest) {
    this.#snapshot = snapshot;
    this.manifest = manifest;
    this.details = withJson(snapshot.details);
    this.#files = new Map(snapshot.files.map((file) => [file.name, file]));
  }

  /** Makes one, and checks its metadata and names as those of any snapshot. */
  static async of(snapshot: ForeignSnapshot): Promise<ForeignReader> {
    const files = snapshot.files.map(({ name, attributes }) => ({ name, ...attributes }));
    return new ForeignReader(snapshot, await SnapshotManifest.of(snapshot.meta, files));
  }

  get system(): System {
    return this.#snapshot.system;
  }

  get meta(): SnapshotMeta {
    return this.manifest.meta;
  }

  get verified(): "none" {
    return "none"; // chunk by chunk it is not: the other systems check whole files
  }

  info(name: string): FileInfo {
    return this.manifest.file(name);
  }

  size(name: string): Promise<number> {
    this.manifest.file(name);
    return Promise.resolve(this.#files.get(name)!.size);
  }

  /** The content; one that is read from its beginning to its end fails with `CORRUPT` if its check does. */
  file(name: string, options: ReadOptions = {}): ReadableStream<Uint8Array> {
    return streamFrom(this.#read(name, options));
  }

  async *#read(name: string, options: ReadOptions): AsyncGenerator<Uint8Array, void, undefined> {
    this.manifest.file(name);
    const { start, end } = checkReadOptions(options);
    this.#checkOpen();
    const file = this.#files.get(name)!;
    const check = start === 0 && end >= file.size ? file.check?.() : undefined;
    for await (
      const bytes of held(file.read(start, Math.min(end, file.size), { signal: this.#closing.signal }), check)
    ) {
      yield bytes;
      this.#checkOpen();
    }
  }

  verify(options: VerifyOptions = {}): Operation<FormatVerifyResult> {
    return new Operation<FormatVerifyResult>(async (tracker) => {
      const { signal } = checkVerifyOptions(options);
      const { files } = this.#snapshot;
      const [checked, unchecked] = [[...this.#snapshot.checked], [...this.#snapshot.unchecked]];
      const bad: BadChunk[] = [];
      const note = (file: string, message: string) => {
        if (bad.length < MAX_LISTED_BAD) bad.push({ file, message });
      };
      const attempt = async (file: string, part: () => Promise<void>) => {
        try {
          await part();
        } catch (error) {
          if (!hasCode(error, "CORRUPT", "MALFORMED", "UNAVAILABLE", "NOT_FOUND", "FORBIDDEN")) throw error;
          note(error.file ?? file, messageOf(error));
        }
      };
      tracker.phase("verify", files.reduce((sum, { size }) => sum + size, 0));
      for (const file of this.#snapshot.verify === undefined ? files : []) {
        await attempt(file.name, async () => {
          const check = file.check?.();
          for await (const bytes of file.read(0, file.size, { signal, reuse: true })) {
            throwIfCancelled(signal);
            this.#checkOpen();
            check?.update(bytes);
            tracker.add(bytes.length);
          }
          check?.end();
        });
      }
      await this.#snapshot.verify?.({
        tracker,
        signal,
        checked: (line) => void checked.push(line),
        unchecked: (line) => void unchecked.push(line),
        bad: note,
        attempt,
      });
      const { bytes, chunks } = tracker.progress;
      return { ok: bad.length === 0, verified: "none", bytes, chunks, bad, checked, unchecked };
    });
  }

  async *entries(options: FormatEntriesOptions = {}): AsyncGenerator<FormatEntry, void, undefined> {
    checkOptions(options, {
      space: checkString,
      signal: checkSignal,
      keyGroups: withMembers({ first: required(integer(0, 32_767)), last: required(integer(0, 32_767)) }),
    });
    const { entries, system } = this.#snapshot;
    if (entries === undefined) {
      throw new SnapshotError(
        "UNSUPPORTED",
        `The state in a snapshot of ${system} is opaque: it has no entries to list`,
      );
    }
    for await (const entry of entries(options)) {
      throwIfCancelled(options.signal);
      this.#checkOpen();
      if (options.space === undefined || entry.space === options.space) yield withJson(entry);
    }
  }

  close(): Promise<void> {
    this.#closing.abort(new SnapshotError("CLOSED", "The snapshot's reader was closed"));
    return Promise.resolve();
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #checkOpen(): void {
    throwIfCancelled(this.#closing.signal);
  }
}

/** Hands bytes on one block late: the last is not handed on before all have passed the check. */
async function* held(
  blocks: AsyncGenerator<Uint8Array, void, undefined>,
  check: RunningCheck | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (check === undefined) return yield* blocks;
  let before: Uint8Array | undefined;
  for await (const bytes of blocks) {
    check.update(bytes);
    if (before !== undefined) yield before;
    before = bytes;
  }
  check.end();
  if (before !== undefined) yield before;
}

/**
 * Refuses snapshots of several groups, jobs or nodes: by their indices they are in no order, and none is meant more
 * than another.
 *
 * @param found the snapshots
 * @param pathOf their paths, of which all but the last part is to be the same
 * @param system names them in errors
 */
export function ofOnePlace<T>(found: T[], pathOf: (one: T) => string, system: System): T[] {
  const [first, second] = new Set(found.map((one) => pathOf(one).replace(/[^/]*\/?$/, "")));
  if (first === undefined || second === undefined) return found;
  const places = `${JSON.stringify(first)} and ${JSON.stringify(second)}`;
  throw new SnapshotError(
    "UNSUPPORTED",
    `There are snapshots of ${system} in several directories, ${places}: name the one that is meant`,
    { actual: places },
  );
}

/** The snapshot of an index among those that are listed, or the first. */
export function chosen<T extends { readonly index: bigint }>(
  found: readonly T[],
  index: bigint | undefined,
  system: System,
): T {
  const one = index === undefined ? found[0] : found.find((it) => it.index === index);
  if (one !== undefined) return one;
  throw new SnapshotError(
    "NOT_FOUND",
    index === undefined ? `There is no snapshot of ${system} here` : `There is no snapshot ${index} of ${system} here`,
    index === undefined ? {} : { index },
  );
}
