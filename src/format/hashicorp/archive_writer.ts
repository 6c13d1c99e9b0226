/**
 * Writing an archive as Consul, Nomad and Vault restore it: see `archive.ts`.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { streamFrom, toHex } from "../../stream/mod.ts";
import { runningHash } from "../bytes/hash.ts";
import { encodeHashicorpMeta, type HashicorpMeta } from "./meta.ts";
import { encodeTarHeader, paddingOf, TAR_BLOCK } from "./tar.ts";

/**
 * The archive of a state.
 *
 * @param meta its metadata, with the size
 * @param state its bytes
 * @throws {SnapshotError} `CORRUPT` if they are not as many as `meta` says: the archive then has no end
 */
export async function* archiveOfState(
  meta: HashicorpMeta,
  state: ReadableStream<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const gzip = new CompressionStream("gzip") as TransformStream<Uint8Array, Uint8Array>;
  for await (const bytes of streamFrom(tarOf(meta, state)).pipeThrough(gzip)) yield bytes;
}

async function* tarOf(
  meta: HashicorpMeta,
  state: ReadableStream<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const seconds = Math.floor(Number(/\d+$/.exec(meta.id)?.[0] ?? 0) / 1000);
  const json = encodeHashicorpMeta(meta, true);
  const [metaHash, stateHash] = [runningHash("sha256"), runningHash("sha256")];
  metaHash.update(json);
  yield* small("meta.json", json, seconds);
  yield encodeTarHeader("state.bin", meta.size, seconds);
  let length = 0;
  for await (const bytes of state) {
    stateHash.update(bytes);
    length += bytes.length;
    if (bytes.length > 0) yield bytes;
  }
  if (length !== meta.size) {
    throw new SnapshotError("CORRUPT", `The state has ${length} bytes, and was said to have ${meta.size}`, {
      file: "state.bin",
      expected: meta.size,
      actual: length,
    });
  }
  yield new Uint8Array(paddingOf(length));
  const sums = `${toHex(metaHash.digest())}  meta.json\n${toHex(stateHash.digest())}  state.bin\n`;
  yield* small("SHA256SUMS", new TextEncoder().encode(sums), seconds);
  yield new Uint8Array(2 * TAR_BLOCK);
}

function* small(name: string, content: Uint8Array, seconds: number): Generator<Uint8Array, void, undefined> {
  yield encodeTarHeader(name, content.length, seconds);
  yield content;
  yield new Uint8Array(paddingOf(content.length));
}
