/**
 * Writing the manifest of SOFA-JRaft: see `mod.ts` for its frame.
 *
 * @module
 */

import { BinaryWriter } from "@bufbuild/protobuf/wire";
import type { FileInfo, SnapshotReader } from "../../snapshot/mod.ts";
import { concat } from "../../stream/mod.ts";

/** The name in the frame. */
export const JRAFT = "jraft.LocalSnapshotPbMeta";
const [VARINT, BYTES] = [0, 2];

function framed(bytes: Uint8Array): Uint8Array[] {
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, bytes.length);
  return [length, bytes];
}

/**
 * The manifest.
 *
 * @param reader the snapshot, of whose metadata and files it is
 * @param files those that are written
 * @param peers addresses, as `HOST:PORT`
 */
export function encodeJraftManifest(
  reader: SnapshotReader,
  files: readonly FileInfo[],
  peers: (peers: readonly string[]) => readonly string[],
): Uint8Array {
  const { lastIncludedIndex: index, lastIncludedTerm: term } = reader.meta;
  const isJraft = (reader as { readonly system?: string }).system === "jraft";
  const meta = new BinaryWriter().tag(1, VARINT).int64(index).tag(2, VARINT).int64(term);
  const list = (number: number, texts: readonly string[]) => {
    for (const text of texts) meta.tag(number, BYTES).string(text);
  };
  list(3, peers(reader.meta.peers));
  list(4, peers(reader.meta.oldPeers ?? []));
  // Its learners are among them, and whatever a newer one may have.
  if (isJraft && reader.meta.unknownFields !== undefined) meta.raw(reader.meta.unknownFields);
  const message = new BinaryWriter().tag(1, BYTES).bytes(meta.finish());
  for (const { name, userMeta, source, checksum, unknownFields } of files) {
    const attributes = new BinaryWriter();
    if (userMeta !== undefined) attributes.tag(1, BYTES).bytes(userMeta);
    // Another system's reference is a file that is written here.
    if (source !== undefined) attributes.tag(2, VARINT).int32(0);
    // A checksum is the application's own: one that another system gave, it would not understand.
    if (isJraft && checksum !== undefined) attributes.tag(3, BYTES).string(checksum);
    if (isJraft && unknownFields !== undefined) attributes.raw(unknownFields);
    const file = new BinaryWriter().tag(1, BYTES).string(name).tag(2, BYTES).bytes(attributes.finish());
    message.tag(2, BYTES).bytes(file.finish());
  }
  return concat([...framed(new TextEncoder().encode(JRAFT)), ...framed(message.finish())]);
}
