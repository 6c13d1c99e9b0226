/**
 * The sending side of a handler: lists, manifests, and content.
 *
 * @module
 */

import {
  archiveRange,
  archiveSize,
  type ChunkedFile,
  readContent,
  type SnapshotInfo,
  type SnapshotManifest,
  type SnapshotStorage,
} from "../../snapshot/mod.ts";
import { concat, sha256, toHex } from "../../stream/mod.ts";
import type { DownloadLeases, Selector } from "./download_leases.ts";
import type { Range } from "./ranges.ts";
import { bytesRepresentation, keeping, NotHereYet, respond } from "./respond.ts";
import { find, heldOf, type Served, statusOf } from "./lookup.ts";
import { BYTES_TYPE, JSON_TYPE, listed, manifestJson, manifestTag, PROTOBUF_TYPE, reprDigest } from "../wire.ts";

/** Answers requests for the snapshots of a storage. */
export class Downloads {
  readonly #storage: SnapshotStorage;
  readonly #leases: DownloadLeases;
  readonly #sources: () => readonly (string | URL)[];

  /**
   * @param storage has the snapshots
   * @param leases keep them while they are downloaded
   * @param sources other servers that have them
   */
  constructor(storage: SnapshotStorage, leases: DownloadLeases, sources: () => readonly (string | URL)[]) {
    this.#storage = storage;
    this.#leases = leases;
    this.#sources = sources;
  }

  async list(request: Request): Promise<Response> {
    return await json(request, (await this.#storage.list()).map(listed));
  }

  /** One snapshot, and how much of it is here: in the headers of the draft on resumable uploads. */
  async status(which: Selector, request: Request): Promise<Response> {
    const { manifest, complete, held } = await statusOf(this.#storage, this.#leases, which);
    const { content } = manifest;
    let bytes = complete ? content.size : 0;
    for (let i = 0; !complete && i < content.count; i++) if (held?.has(i)) bytes += content.length(i);
    const headers = {
      "Upload-Complete": complete ? "?1" : "?0",
      "Upload-Length": String(content.size),
      ...(held !== undefined && { "Upload-Offset": String(bytes) }),
    };
    return await json(request, { ...summary(manifest), ...(held !== undefined && { held: bytes }), complete }, headers);
  }

  async manifest(which: Selector, request: Request): Promise<Response> {
    const manifest = await this.#leases.renew(which);
    const isJson = wantsJson(request.headers.get("Accept"));
    const bytes = isJson ? encodeJson(manifestJson(manifest)) : manifest.bytes;
    const links = this.#sources().map((source) => `<${new URL(source)}>; rel="duplicate"`).join(", "); // RFC 6249
    const headers = { Vary: "Accept", ...(links !== "" && { Link: links }) };
    const immutable = which.digest !== undefined && links === "";
    const type = isJson ? JSON_TYPE : PROTOBUF_TYPE;
    const tag = manifestTag(manifest, isJson);
    return respond(request, bytesRepresentation(bytes, type, tag, await sha256(bytes), { immutable, headers }));
  }

  /** The chunks that are here now. */
  async held(which: Selector, request: Request): Promise<Response> {
    const { complete, held, expected } = await heldOf(this.#storage, this.#leases, which);
    const bytes = expected === undefined ? held.bytes : concat([held.bytes, expected.bytes]);
    const digest = await sha256(bytes);
    const immutable = which.digest !== undefined && complete;
    return respond(request, bytesRepresentation(bytes, BYTES_TYPE, tagOf(digest), digest, { immutable }));
  }

  async file(which: Selector, name: string, request: Request): Promise<Response> {
    return await this.#serve(which, request, ({ manifest }) => {
      const { chunks } = manifest.file(name) as ChunkedFile;
      return {
        tag: `"${toHex(chunks.root)}"`,
        size: chunks.size,
        headers: { "Repr-Digest": reprDigest(chunks) },
        start: manifest.content.start(name),
      };
    });
  }

  /**
   * All of the content.
   *
   * @param unverified whether the client verifies every chunk itself
   */
  async content(which: Selector, request: Request, unverified: boolean): Promise<Response> {
    return await this.#serve(which, request, ({ manifest }) => ({
      tag: `"${toHex(manifest.digest)}-content"`,
      size: manifest.content.size,
      start: 0,
    }), unverified);
  }

  /** Serves a run of the content. */
  async #serve(
    which: Selector,
    request: Request,
    choose: (served: Served) => {
      readonly tag: string;
      readonly size: number;
      readonly start: number;
      readonly headers?: Readonly<Record<string, string>>;
    },
    unverified = false,
  ): Promise<Response> {
    const served = await find(this.#storage, this.#leases, which);
    try {
      const { tag, size, start: from, headers } = choose(served);
      const { content } = served.manifest;
      const response = respond(request, {
        type: BYTES_TYPE,
        size,
        tag,
        immutable: which.digest !== undefined,
        ...(headers !== undefined && { headers }),
        digest: ({ start, end }) => chunkDigest(served.manifest, from + start, from + end),
        open({ start, end }: Range) {
          if (!served.has(from + start, from + end)) {
            throw new NotHereYet();
          }
          return readContent(content, served.files, from + start, from + end, unverified);
        },
      });
      const moved = (bytes: number) => this.#leases.moved(served.manifest, which, bytes);
      return keeping(response, () => served.close(), Infinity, { moved, onEvicted: undefined });
    } catch (error) {
      await served.close();
      throw error;
    }
  }

  async archive(which: Selector, request: Request): Promise<Response> {
    const { manifest, reader, release } = await this.#leases.lend(which);
    try {
      // The reader of a snapshot that braft wrote knows no chunks: the completed manifest does.
      const source = { manifest, file: reader.file.bind(reader) };
      const response = respond(request, {
        type: BYTES_TYPE,
        size: archiveSize(manifest),
        tag: `"${toHex(manifest.digest)}-archive"`,
        immutable: which.digest !== undefined,
        headers: { "Content-Disposition": `attachment; filename="snapshot-${manifest.index}.snapstream"` },
        open: ({ start, end }) => archiveRange(source, start, end),
      });
      const moved = (bytes: number) => this.#leases.moved(manifest, which, bytes);
      return keeping(response, release, Infinity, { moved, onEvicted: undefined });
    } catch (error) {
      await release();
      throw error;
    }
  }
}

/** The SHA-256 of a range, if it is a chunk. */
function chunkDigest({ content }: SnapshotManifest, start: number, end: number): Uint8Array | undefined {
  const i = content.at(start);
  if (i === content.count || content.offset(i) !== start || content.offset(i + 1) !== end) return undefined;
  const { file, chunk } = content.locate(i);
  return file.chunks.digest(chunk);
}

function summary(manifest: SnapshotManifest) {
  const { meta, digest, files } = manifest;
  const info: Pick<SnapshotInfo, "meta" | "digest" | "size" | "files"> = {
    meta,
    digest,
    size: manifest.size,
    files: files.length,
  };
  return listed(info);
}

async function json(request: Request, value: unknown, headers: Readonly<Record<string, string>> = {}) {
  const bytes = encodeJson(value);
  const digest = await sha256(bytes);
  return respond(request, bytesRepresentation(bytes, JSON_TYPE, tagOf(digest), digest, { headers }));
}

function encodeJson(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

function tagOf(digest: Uint8Array): string {
  return `"${toHex(digest)}"`;
}

function wantsJson(accept: string | null): boolean {
  return accept !== null && /\bapplication\/json\b/.test(accept) && !accept.includes(PROTOBUF_TYPE);
}
