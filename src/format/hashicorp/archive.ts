/**
 * Archives that `consul snapshot save`, `nomad operator snapshot save` and `vault operator raft snapshot save` write
 * (hashicorp/raft-snapshot).
 *
 * ```text
 * gzip of tar of:   meta.json        as in a store, without the CRC
 *                   state.bin
 *                   SHA256SUMS       64 hexadecimal digits, two spaces, name, line feed; in any order
 *                   SHA256SUMS.sealed        of Vault only: the same, sealed
 * ```
 *
 * It is a stream: reading a part of the state reads all before it.
 *
 * @module
 */

import { hasCode, SnapshotError } from "../../errors.ts";
import { toHex } from "../../stream/mod.ts";
import { runningHash } from "../bytes/hash.ts";
import { PieceReader } from "../bytes/piece_reader.ts";
import { type BlockOptions, readStart, type SourceFiles } from "../files.ts";
import type { Format } from "../format.ts";
import { ForeignReader } from "../reader.ts";
import { hashicorpDetails, type HashicorpMeta, parseHashicorpMeta, snapshotMetaOf } from "./meta.ts";
import { META, STATE } from "./store.ts";
import { damaged, gunzipped, isTarHeader, nextEntry, paddingOf, TAR_BLOCK, type TarEntry } from "./tar.ts";

/** The digests of the files. */
export const SUMS = "SHA256SUMS";
/** The same, sealed by Vault. */
const SEALED = "SHA256SUMS.sealed";
/** The most bytes of the small files: what raft-snapshot itself takes. */
const MAX_SMALL = 8192;

/** The outcome of reading an archive. */
interface Walked {
  readonly meta: HashicorpMeta;
  readonly size: number;
  readonly sealed: boolean;
}

/** Reads an archive to its end, and checks all of it. */
class ArchiveWalk {
  readonly #files: SourceFiles;
  readonly #archive: string;
  readonly #digests = new Map<string, string>();
  #meta: HashicorpMeta | undefined;
  #size: number | undefined;
  #sums: string | undefined;
  #sealed = false;

  constructor(files: SourceFiles) {
    this.#files = files;
    this.#archive = files.entries[0]!.name;
  }

  /** The bytes of the state as they come; returns what else is in the archive, checked, or not if `head` is true. */
  async *state(head: boolean, signal?: AbortSignal): AsyncGenerator<Uint8Array, Walked, undefined> {
    const reader = new PieceReader(gunzipped(this.#files, this.#archive, signal), this.#archive);
    try {
      for (let entry = await nextEntry(reader, this.#archive); entry; entry = await nextEntry(reader, this.#archive)) {
        if (this.#digests.has(entry.name)) throw damaged(this.#archive, `it has ${entry.name} twice`);
        if (entry.name === STATE) {
          this.#size = entry.size;
          if (head && this.#meta !== undefined) return this.#walked();
          yield* this.#state(reader, entry);
        } else {
          await this.#small(reader, entry);
        }
        await reader.skip(paddingOf(entry.size));
      }
      this.#checkSums();
      return this.#walked();
    } finally {
      await reader.close();
    }
  }

  async *#state(reader: PieceReader, { name, size }: TarEntry): AsyncGenerator<Uint8Array, void, undefined> {
    const hash = runningHash("sha256");
    for (let left = size; left > 0;) {
      const bytes = await reader.some(left);
      if (bytes === undefined) throw reader.cutShort();
      hash.update(bytes);
      left -= bytes.length;
      yield bytes;
    }
    this.#digests.set(name, toHex(hash.digest()));
  }

  async #small(reader: PieceReader, { name, size }: TarEntry): Promise<void> {
    if (name !== META && name !== SUMS && name !== SEALED) {
      throw damaged(this.#archive, `it has a file ${JSON.stringify(name)}`);
    }
    if (size > MAX_SMALL) throw damaged(this.#archive, `its ${name} has ${size} bytes, over ${MAX_SMALL}`);
    const bytes = await reader.exactly(size);
    if (name === META) {
      const hash = runningHash("sha256");
      hash.update(bytes);
      this.#digests.set(name, toHex(hash.digest()));
      this.#meta = parseHashicorpMeta(bytes, META);
    } else if (name === SUMS) {
      this.#sums = new TextDecoder().decode(bytes);
    } else {
      this.#sealed = true;
    }
  }

  #checkSums(): void {
    if (this.#sums === undefined) throw damaged(this.#archive, `it has no ${SUMS}`);
    const named = new Set<string>();
    for (const line of this.#sums.split("\n")) {
      if (line === "") continue;
      const [, digest, name] = /^([0-9a-f]{64}) {2}(.+)$/.exec(line) ?? [];
      if (digest === undefined || name === undefined) throw damaged(this.#archive, `a line of its ${SUMS} is none`);
      const actual = this.#digests.get(name);
      if (actual === undefined) throw damaged(this.#archive, `it has no ${name}, which its ${SUMS} names`);
      if (actual !== digest) {
        throw new SnapshotError("CORRUPT", `${name} in ${JSON.stringify(this.#archive)} does not have its SHA-256`, {
          file: name,
          expected: digest,
          actual,
        });
      }
      named.add(name);
    }
    const unnamed = [...this.#digests.keys()].find((name) => !named.has(name));
    if (unnamed !== undefined) throw damaged(this.#archive, `its ${SUMS} does not name ${unnamed}`);
  }

  #walked(): Walked {
    if (this.#meta === undefined) throw damaged(this.#archive, `it has no ${META}`);
    if (this.#size === undefined) throw damaged(this.#archive, `it has no ${STATE}`);
    return { meta: this.#meta, size: this.#size, sealed: this.#sealed };
  }
}

/** Reads what stands before the state; all of the archive only where that is not at its beginning. */
async function readHead(files: SourceFiles): Promise<Walked> {
  const walk = new ArchiveWalk(files).state(true);
  for (;;) {
    const { done, value } = await walk.next();
    if (done === true) return value;
  }
}

/** A part of the state. All of it is handed on only if all of the archive is right. */
async function* readState(
  files: SourceFiles,
  start: number,
  end: number,
  size: number,
  { signal }: BlockOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const whole = start === 0 && end >= size;
  let position = 0;
  let before: Uint8Array | undefined;
  for await (const bytes of new ArchiveWalk(files).state(false, signal)) {
    const part = bytes.subarray(Math.max(start - position, 0), Math.max(end - position, 0));
    position += bytes.length;
    if (before !== undefined) yield before;
    before = part.length > 0 ? part : undefined;
    if (position >= end && !whole) break;
  }
  if (before !== undefined) yield before;
}

async function list(files: SourceFiles) {
  const { meta: { index, term, id }, size } = await readHead(files);
  return [{ index, term, size, name: id }];
}

/** Reports whether a file that no archive can be read of may be a damaged one: gzip is for much else. */
async function mayBeTar(files: SourceFiles, name: string): Promise<boolean> {
  const reader = new PieceReader(gunzipped(files, name), name);
  try {
    return isTarHeader(await reader.exactly(TAR_BLOCK));
  } catch (error) {
    if (!hasCode(error, "CORRUPT")) throw error;
    return error.cause !== undefined; // it cannot be decompressed; or it could, and is shorter than a header
  } finally {
    await reader.close();
  }
}

/** The archives of Consul, Nomad and Vault. */
export const consul: Format = {
  system: "consul",
  async detect(files) {
    const [file] = files.entries;
    if (files.isDirectory || file === undefined) return undefined;
    const [first, second] = await readStart(files, file.name, 2);
    if (first !== 0x1f || second !== 0x8b) return undefined;
    const description = "Consul, Nomad or Vault snapshot archive (tar.gz)";
    const reader = new PieceReader(gunzipped(files, file.name), file.name);
    try {
      const entry = await nextEntry(reader, file.name);
      const known = entry !== undefined && [META, STATE, SUMS, SEALED].includes(entry.name);
      return known ? { system: "consul", sure: "certain", description } : undefined;
    } catch (error) {
      if (!hasCode(error, "CORRUPT")) throw error;
      return await mayBeTar(files, file.name) ? { system: "consul", sure: "likely", description } : undefined;
    } finally {
      await reader.close();
    }
  },
  list,
  async open(files, index) {
    const { meta, size, sealed } = await readHead(files);
    if (index !== undefined && index !== meta.index) {
      throw new SnapshotError("NOT_FOUND", `The archive is of snapshot ${meta.index}, not ${index}`, { index });
    }
    return await ForeignReader.of({
      system: "consul",
      meta: snapshotMetaOf(meta),
      files: [{
        name: STATE,
        size,
        read: (start, end, options) => readState(files, start, end, size, options),
      }],
      details: { ...hashicorpDetails(meta), sealed },
      checked: [
        "the SHA-256 of meta.json and state.bin",
        "the headers of tar",
        "the CRC-32 of gzip, and that it ends there",
      ],
      unchecked: [
        "the time and the flags in the header of gzip have no checksum",
        ...(sealed ? ["SHA256SUMS.sealed: only the seal of that Vault can open it"] : []),
      ],
    });
  },
};
