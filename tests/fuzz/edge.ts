// The targets that need no disk.

import type { Target } from "./target.ts";
import { archiveTarget } from "./targets/archive.ts";
import { boundary } from "./targets/boundary.ts";
import { bucket } from "./targets/bucket.ts";
import { chunkMap } from "./targets/chunk_map.ts";
import { codecs, commands } from "./targets/codecs.ts";
import { encrypted } from "./targets/encrypted.ts";
import { httpRequest } from "./targets/http_request.ts";
import { httpResponse } from "./targets/http_response.ts";
import { install } from "./targets/install.ts";
import { logStream } from "./targets/log_stream.ts";
import { keyGroups } from "./targets/key_groups.ts";
import { manifest } from "./targets/manifest.ts";
import { names } from "./targets/names.ts";
import { ranges } from "./targets/ranges.ts";
import { signature } from "./targets/signature.ts";
import { state } from "./targets/state.ts";
import { verified } from "./targets/verified.ts";

/** The targets that need no disk. */
export const edgeTargets: readonly Target[] = [
  ...[boundary, names, ranges, keyGroups, chunkMap, codecs, commands, signature, verified, logStream],
  ...[manifest, archiveTarget, state, install, encrypted, httpRequest, httpResponse, bucket],
];
