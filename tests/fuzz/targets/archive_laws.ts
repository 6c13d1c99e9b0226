// What must hold of an archive that was taken in: each part of it is what it says that it is.

import type { SnapshotReader } from "../../../mod.ts";
import { Type } from "../../../src/snapshot/archive/format.ts";
import type { ArchiveRecord } from "../../../src/snapshot/archive/records.ts";
import { concat, equal, sha256 } from "../../../src/stream/mod.ts";
import { law } from "../target.ts";
import { contentOf } from "./content.ts";

/** Holds the records of an archive against the snapshot that came of it. */
export async function checkSent(records: readonly ArchiveRecord[], reader: SnapshotReader): Promise<void> {
  law(
    records.findIndex(({ type }) => type === Type.END) === records.length - 1,
    "it has an END, and nothing behind that",
  );
  const end = viewOf(records.at(-1)!.payload);
  const digest = records.at(-1)!.payload.subarray(12, 44);
  law(equal(digest, reader.manifest.digest), "its END is of what came of it");
  if (records[0]!.type === Type.MANIFEST) return await checkParts(records.slice(1, -1), reader, end);
  const there: string[] = [];
  for (const { name } of reader.manifest.files) there.push((await contentOf(reader, name)).join());
  const sent = (await sentFiles(records.slice(1), end)).map((bytes) => bytes.join());
  law(there.sort().join("|") === sent.sort().join("|"), "what is there is what was sent");
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

/** Of a described one. */
async function checkParts(parts: readonly ArchiveRecord[], reader: SnapshotReader, end: DataView): Promise<void> {
  const { content, files } = reader.manifest;
  let [next, sum] = [0, 0];
  for (const { type, payload } of parts) {
    law(type === Type.PART, "there are PARTs");
    const number = viewOf(payload).getUint32(0);
    law(number >= next && number < content.count, "PARTs come in order");
    const { file, chunk } = content.locate(number);
    law(equal(await sha256(payload.subarray(4)), file.chunks.digest(chunk)), "a PART has its SHA-256");
    next = number + 1;
    sum += payload.length - 4;
  }
  law(end.getUint32(0) === files.length && end.getBigUint64(4) === BigInt(sum), "the totals are right");
}

/** The files of a streamed one. */
async function sentFiles(records: readonly ArchiveRecord[], end: DataView): Promise<Uint8Array[]> {
  const sent: Uint8Array[][] = [];
  for (const { type, payload } of records) {
    const number = viewOf(payload).getUint32(0);
    if (type === Type.FILE) sent.push([]);
    else if (type === Type.CHUNK) {
      const bytes = payload.subarray(36);
      law(equal(payload.subarray(4, 36), await sha256(bytes)), "a CHUNK has its SHA-256");
      sent[number]!.push(bytes);
    } else if (type === Type.FILE_END) {
      const size = BigInt(concat(sent[number]!).length);
      law(viewOf(payload).getBigUint64(4) === size, "a file has the size that it says");
    }
  }
  const files = sent.map(concat);
  law(end.getUint32(0) === files.length, "there are as many files as it says");
  law(end.getBigUint64(4) === BigInt(concat(files).length), "there are as many bytes as it says");
  return files;
}
