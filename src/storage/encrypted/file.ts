/**
 * Files that are encrypted as they are written.
 *
 * @module
 */

import { able } from "../../checks.ts";
import { checkFileOptions, type FileOptions, type FileWriter, type SnapshotWriter } from "../../snapshot/mod.ts";
import { ChunkSink, closeSink } from "../../stream/mod.ts";
import { chooseChunkSize } from "../chunk_size.ts";
import { type Cipher, CIPHER_OVERHEAD, type EncryptionKey, Keyring, MAX_PLAIN_CHUNK } from "./cipher.ts";

/**
 * Returns a writer that encrypts files and passes them on to another writer: for a snapshot that is sent as it is
 * written (`pushLive`) to a node that stores it encrypted.
 *
 * @category Storage
 * @see {@linkcode EncryptedStorage}
 * @param writer takes what is encrypted
 * @param key what to encrypt with
 */
export function encryptedWriter(writer: FileWriter, key: EncryptionKey): FileWriter {
  able("a FileWriter", "file", "info")(writer, "writer");
  const keys = new Keyring([key]);
  writer.sealWith((digest) => keys.current.seal(digest));
  return {
    file: (name, options = {}) => encryptedFile(writer, keys.current, name, options),
    reuse: () => Promise.resolve(false),
    info: (name) => writer.info(name),
    sealWith: (seal) => writer.sealWith(seal),
  };
}

/** Returns a stream that encrypts a file as it is written. */
export function encryptedFile(
  writer: Pick<SnapshotWriter, "file">,
  cipher: Cipher,
  name: string,
  options: FileOptions,
): WritableStream<Uint8Array> {
  const { chunkSize, size, ...rest } = checkFileOptions(options);
  const fixed = chunkSize === "pieces" ? undefined : chooseChunkSize(chunkSize, size);
  const target = writer.file(name, {
    ...rest,
    chunkSize: fixed ?? "pieces",
    encryption: (chunks) => cipher.sealFile(name, chunks.root),
  }).getWriter();
  target.closed.catch(() => {});
  return new WritableStream(
    new ChunkSink<Uint8Array>(fixed === undefined ? undefined : fixed - CIPHER_OVERHEAD, {
      begin: () => Promise.resolve(),
      work: (plain) => cipher.encrypt(plain),
      async emit(stored) {
        await target.ready;
        target.write(stored).catch(() => {}); // a failed write rejects `ready` and `close`
      },
      end: () => closeSink(target),
      abort: (reason) => target.abort(reason).catch(() => {}),
    }, MAX_PLAIN_CHUNK),
  );
}
