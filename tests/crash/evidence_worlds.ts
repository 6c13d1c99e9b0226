// All media and all kinds of buckets, plain and encrypted.

import { anyBuckets, directoryBuckets, r2Buckets, s3Buckets } from "./evidence_buckets.ts";
import { directories, encrypted, memories, pages, plain, type WorldKind } from "./evidence_media.ts";

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
