// `deno task history [KIND …] [--commits N] [--processes N] [--grace MS]`: several processes share a bucket of each
// kind, of real servers. With a short grace the index stays small in a long history. Ends with 1 if a snapshot was lost.

import { parseArgs } from "node:util";
import { inTemp } from "../support/temp.ts";
import { withNats } from "../support/nats.ts";
import { moto, type S3Kind, seaweedfs, versitygw } from "../support/s3_kinds.ts";
import { newS3Bucket } from "../support/s3_where.ts";
import type { Where } from "./buckets.ts";
import { playHistory } from "./history.ts";

const inS3 = (kind: S3Kind) => async (work: (where: Where) => Promise<void>) => {
  if (!kind.installed()) await kind.install();
  const server = await kind.start();
  try {
    await work({ s3: await newS3Bucket(server) });
  } finally {
    await server.stop();
  }
};

const KINDS: Readonly<Record<string, (work: (where: Where) => Promise<void>) => Promise<void>>> = {
  directory: (work) => inTemp((directory) => work({ directory })),
  jetstream: (work) => withNats((server) => work({ nats: [server.url], bucket: "shared" })),
  moto: inS3(moto),
  seaweedfs: inS3(seaweedfs),
  versitygw: inS3(versitygw),
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    commits: { type: "string", default: "1000" },
    processes: { type: "string", default: "4" },
    grace: { type: "string", default: "60000" },
  },
});
for (const kind of positionals.length > 0 ? positionals : Object.keys(KINDS)) {
  const inKind = KINDS[kind];
  if (inKind === undefined) throw new Error(`There is no bucket ${kind}, but ${Object.keys(KINDS).join(", ")}`);
  await inKind(async (where) => {
    const { commits, processes, grace } = values;
    const options = { commits: Number(commits), processes: Number(processes), grace: Number(grace) };
    const history = await playHistory(where, options);
    console.log(JSON.stringify({ kind, ...history }));
    if (history.violations.length > 0) Deno.exitCode = 1;
  });
}
