/**
 * A manifest with the places of its chunks in a bucket.
 *
 * @module
 */

import { messageOf, SnapshotError } from "../../errors.ts";
import { MAX_MANIFEST_BYTES, SnapshotManifest } from "../../snapshot/mod.ts";
import { STORED_MANIFEST } from "./messages.ts";

/** The largest object with a manifest: that of two million chunks, none beside another. */
export const MAX_STORED_MANIFEST_BYTES: number = MAX_MANIFEST_BYTES + 64 * 1024 * 1024;

/** A pack that chunks are in. */
export interface Pack {
  /** Its object is `packs/{name}`. */
  readonly name: string;
  /** Bytes of its chunks. */
  readonly size: number;
}

/** The place where a chunk begins. */
export interface Location {
  readonly pack: Pack;
  readonly offset: number;
}

/** A snapshot's manifest with its chunks' places. Immutable. */
export class LocatedManifest {
  /** The manifest of the snapshot. */
  readonly manifest: SnapshotManifest;
  /** The packs that it uses. */
  readonly packs: readonly Pack[];
  /** By the number of a chunk in the content: the pack's number, and where the chunk begins in it. */
  readonly #packs: Uint32Array;
  readonly #offsets: Uint32Array;

  /**
   * @param manifest what is in the snapshot
   * @param packs those that it uses
   * @param chunkPacks by the number of a chunk in the content: the number of its pack
   * @param chunkOffsets where it begins in the pack
   */
  constructor(
    manifest: SnapshotManifest,
    packs: readonly Pack[],
    chunkPacks: Uint32Array,
    chunkOffsets: Uint32Array,
  ) {
    this.manifest = manifest;
    this.packs = packs;
    this.#packs = chunkPacks;
    this.#offsets = chunkOffsets;
  }

  /** Returns the place of a chunk of the content. */
  locate(chunk: number): Location {
    return { pack: this.packs[this.#packs[chunk]!]!, offset: this.#offsets[chunk]! };
  }

  /** The number of a chunk's pack in {@linkcode packs}. */
  packOf(chunk: number): number {
    return this.#packs[chunk]!;
  }

  /** Returns the bytes of each pack that the snapshot uses; a chunk that it has twice counts twice. */
  used(): number[] {
    const used = this.packs.map(() => 0);
    const { content } = this.manifest;
    for (let i = 0; i < content.count; i++) used[this.#packs[i]!]! += content.length(i);
    return used;
  }

  /** The bytes of the object. */
  encode(): Uint8Array {
    const [runPacks, runOffsets, runChunks]: number[][] = [[], [], []];
    const { content } = this.manifest;
    let next = -1;
    for (let i = 0; i < content.count; i++) {
      const [pack, offset] = [this.#packs[i]!, this.#offsets[i]!];
      if (pack === runPacks!.at(-1) && offset === next) runChunks![runChunks!.length - 1]!++;
      else {
        runPacks!.push(pack);
        runOffsets!.push(offset);
        runChunks!.push(1);
      }
      next = offset + content.length(i);
    }
    return STORED_MANIFEST.encode({
      manifest: this.manifest.bytes,
      packs: [...this.packs],
      runPacks: runPacks!,
      runOffsets: runOffsets!,
      runChunks: runChunks!,
    });
  }

  /**
   * Reads the bytes of the object, whose digest was checked.
   *
   * @param bytes see {@linkcode encode}
   * @param name what they are called, for the error
   * @throws {SnapshotError} `CORRUPT`, `MALFORMED`, `UNSUPPORTED`
   */
  static async decode(bytes: Uint8Array, name: string): Promise<LocatedManifest> {
    let message;
    try {
      message = STORED_MANIFEST.decode(bytes);
    } catch (error) {
      throw malformed(name, messageOf(error));
    }
    const manifest = await SnapshotManifest.decode(message.manifest ?? new Uint8Array(0));
    const { content } = manifest;
    const { runPacks = [], runOffsets = [], runChunks = [] } = message;
    const packs = (message.packs ?? []).map(({ name = "", size = 0 }) => ({ name, size }));
    if (runPacks.length !== runOffsets.length || runPacks.length !== runChunks.length) {
      throw malformed(name, "its runs do not fit each other");
    }
    const [chunkPacks, chunkOffsets] = [new Uint32Array(content.count), new Uint32Array(content.count)];
    let chunk = 0;
    for (let run = 0; run < runPacks.length; run++) {
      const pack = packs[runPacks[run]!];
      if (pack === undefined) throw malformed(name, `it has no pack ${runPacks[run]}`);
      let offset = runOffsets[run]!;
      for (const end = chunk + runChunks[run]!; chunk < end; chunk++) {
        if (chunk >= content.count) throw malformed(name, "it places more chunks than there are");
        chunkPacks[chunk] = runPacks[run]!;
        chunkOffsets[chunk] = offset;
        offset += content.length(chunk);
        if (offset > pack.size) throw malformed(name, `chunk ${chunk} does not lie in its pack`);
      }
    }
    if (chunk < content.count) throw malformed(name, `it places ${chunk} of ${content.count} chunks`);
    return new LocatedManifest(manifest, packs, chunkPacks, chunkOffsets);
  }
}

function malformed(name: string, what: string): SnapshotError {
  return new SnapshotError("MALFORMED", `${name} is not a manifest with its packs: ${what}`, { file: name });
}
