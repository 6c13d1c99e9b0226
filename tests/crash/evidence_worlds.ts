// All media and all kinds of buckets, plain and encrypted.

import { EncryptedStorage, type EncryptionKey } from "../../mod.ts";
import { noise } from "../support/harness.ts";
import { anyBuckets, directoryBuckets, r2Buckets, s3Buckets } from "./evidence_buckets.ts";
import { directories, memories, pages, type WorldKind, type Wrap } from "./evidence_media.ts";

const KEY: EncryptionKey = { id: "a", secret: noise(32, 1) };
const plain: Wrap = (storage) => storage;
const encrypted: Wrap = (storage) => new EncryptedStorage(storage, [KEY]);

/** All that there are. */
export function worlds(): WorldKind[] {
  return ([["", plain], [", encrypted", encrypted]] as const).flatMap(([suffix, wrap]) => [
    directories(`directory${suffix}`, wrap),
    pages(`OPFS${suffix}`, wrap),
    memories(`memory${suffix}`, wrap),
    anyBuckets(`bucket${suffix}`, wrap),
    directoryBuckets(`bucket in a directory${suffix}`, wrap),
    s3Buckets(`S3${suffix}`, wrap),
    r2Buckets(`R2${suffix}`, wrap),
  ]);
}
