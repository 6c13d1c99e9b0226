/**
 * The requests of the page to its server. All addresses are relative to the page: to its own server only.
 *
 * @module
 */

import { SnapshotManifest } from "../../snapshot/mod.ts";
import { toHex } from "../../stream/mod.ts";
import type { ServerStatus } from "../../transfer/mod.ts";

/** Gets an answer; an error says what the server said. */
async function get(path: string, init: RequestInit = {}): Promise<Response> {
  const response = await fetch(path, init).catch((error) => {
    throw new Error(`The server cannot be reached (${error.message})`);
  });
  if (response.ok) return response;
  const said = await response.json().catch(() => ({})) as { readonly detail?: string };
  throw new Error(`The server answered ${response.status}${said.detail === undefined ? "" : `: ${said.detail}`}`);
}

/** The state of the server. */
export async function statusNow(): Promise<ServerStatus> {
  return await (await get("snapshots/status", { cache: "no-store" })).json();
}

const manifests = new Map<string, Promise<SnapshotManifest>>();

/** The manifest of a snapshot, by its digest: it never changes. */
export function manifestOf(digest: string): Promise<SnapshotManifest> {
  const known = manifests.get(digest);
  if (known !== undefined) return known;
  const manifest = get(`snapshots/${digest}/manifest`, { headers: { Accept: "application/x-protobuf" } })
    .then(async (response) => await SnapshotManifest.decode(new Uint8Array(await response.arrayBuffer())));
  manifests.set(digest, manifest);
  manifest.catch(() => manifests.delete(digest));
  return manifest;
}

/** The chunks that are here, of a snapshot that is being received. */
export async function heldOf(digest: string): Promise<(chunk: number) => boolean> {
  const bits = new Uint8Array(await (await get(`snapshots/${digest}/held`, { cache: "no-store" })).arrayBuffer());
  return (chunk) => ((bits[chunk >> 3] ?? 0) >> (chunk & 7) & 1) === 1;
}

/** The digests of all chunks of a snapshot, in the order of its content. */
export function digestsOf({ content }: SnapshotManifest): string[] {
  return content.files.flatMap(({ chunks }) => Array.from({ length: chunks.count }, (_, i) => toHex(chunks.digest(i))));
}

/** The address of a file of a snapshot. */
export function fileUrl(digest: string, name: string): string {
  return `snapshots/${digest}/files/${name.split("/").map(encodeURIComponent).join("/")}`;
}

/** Bytes that are fetched at a time. */
const BATCH = 4 * 1024 * 1024;

/**
 * Fetches all of a snapshot, and compares the SHA-256 of each chunk with that in the manifest.
 *
 * @param manifest the snapshot
 * @param told is told of each chunk
 * @param signal stops it
 */
export async function verify(
  manifest: SnapshotManifest,
  told: (chunk: number, isGood: boolean, bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  if (globalThis.crypto?.subtle === undefined) {
    throw new Error("This browser computes digests only for pages by https, or of this machine");
  }
  const { content } = manifest;
  for (let first = 0; first < content.count;) {
    let end = first + 1;
    while (end < content.count && content.offset(end + 1) - content.offset(first) <= BATCH) end++;
    const bytes = await rangeOf(manifest, first, end, signal);
    for (let chunk = first; chunk < end; chunk++) {
      // If a batch did not come whole, one of its chunks is bad on the server: which one is found one by one.
      const piece = bytes === undefined ? await rangeOf(manifest, chunk, chunk + 1, signal) : bytes.subarray(
        content.offset(chunk) - content.offset(first),
        content.offset(chunk + 1) - content.offset(first),
      );
      const { file, chunk: i } = content.locate(chunk);
      const isGood = piece !== undefined &&
        toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", piece))) === toHex(file.chunks.digest(i));
      told(chunk, isGood, content.length(chunk));
    }
    first = end;
  }
}

/** Nothing if the server broke off, or refused: it sends no byte of a chunk that it found to be bad. */
async function rangeOf(
  manifest: SnapshotManifest,
  first: number,
  end: number,
  signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const { content, digest } = manifest;
  const [from, to] = [content.offset(first), content.offset(end)];
  try {
    const response = await fetch(`snapshots/${toHex(digest)}/content`, {
      headers: { Range: `bytes=${from}-${to - 1}` },
      signal,
    });
    if (response.status !== 206 && !(response.status === 200 && to - from === content.size)) {
      await response.body?.cancel();
      if (response.status === 404) throw new Error("The server does not have this snapshot any more");
      return undefined;
    }
    const bytes = new Uint8Array(await response.arrayBuffer());
    return bytes.length === to - from ? bytes : undefined;
  } catch (error) {
    if (signal.aborted || !(error instanceof TypeError)) throw error;
    return undefined; // the body broke off
  }
}
