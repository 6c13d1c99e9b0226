// 1 GiB to and from S3 on loopback and R2 in miniflare, against one object that goes up in parts; what opening, changing a
// little, and collecting garbage cost.

import { type Bucket, ObjectStorage, S3Bucket } from "../../src/object.ts";
import { groupOf, ready } from "../suites/groups.ts";
import { startServer } from "../support/s3_server.ts";
import { Counted, drain, lengthOf, saveStream, stamped } from "./object_kit.ts";
import { median, report, seconds } from "./report.ts";
import { benchR2 } from "./object_r2.ts";

const GiB = 1024 ** 3;
const ROUNDS = 3;
const SNAPSHOTS = 1000;
const COLLECTED = 100;

/** Both ways, in turns with the plain object, so that both have the same machine. */
async function rates(bucket: Counted): Promise<void> {
  const ratios: Record<"up" | "down", number[]> = { up: [], down: [] };
  for (let round = 1; round <= ROUNDS; round++) {
    const prefix = `rate-${round}/`;
    const plainUp = await seconds(() => bucket.put(`${prefix}plain`, stamped(GiB, round)));
    const storage = await ObjectStorage.open(bucket, { prefix });
    bucket.calls = 0;
    const up = await seconds(() => saveStream(storage, 1n, stamped(GiB, -round)));
    if (round === 1) report("object", "S3: requests to save 1 GiB", bucket.calls, "requests", { atMost: 300 });
    const plainDown = await seconds(async () => await drain((await bucket.get(`${prefix}plain`))!.body));
    bucket.calls = 0;
    const down = await seconds(async () => {
      const reader = await storage.open();
      await drain(reader.file("state"));
      await reader.close();
    });
    if (round === 1) report("object", "S3: requests to read 1 GiB", bucket.calls, "requests", { atMost: 300 });
    report("object", `S3: plain upload, round ${round}`, 1024 / plainUp, "MiB/s");
    report("object", `S3: save, round ${round}`, 1024 / up, "MiB/s");
    report("object", `S3: plain download, round ${round}`, 1024 / plainDown, "MiB/s");
    report("object", `S3: read, round ${round}`, 1024 / down, "MiB/s");
    ratios.up.push(plainUp / up);
    ratios.down.push(plainDown / down);
    await storage.close();
    if (round < ROUNDS) await empty(bucket, prefix);
  }
  report("object", "S3: save / plain upload in parts", median(ratios.up), "x", { atLeast: 0.6 });
  report("object", "S3: read / plain download", median(ratios.down), "x", { atLeast: 0.6 });
}

/** What goes up when one chunk in a hundred has changed. */
async function changed(bucket: Counted): Promise<void> {
  const prefix = `rate-${ROUNDS}/`;
  const storage = await ObjectStorage.open(bucket, { prefix });
  const before = await lengthOf(bucket, prefix);
  bucket.calls = 0;
  const time = await seconds(() => saveStream(storage, 2n, stamped(GiB, -ROUNDS, 100)));
  report("object", "S3: 1 % of the chunks changed: save", time, "s");
  report("object", "S3: 1 % of the chunks changed: requests", bucket.calls, "requests");
  const up = await lengthOf(bucket, prefix) - before;
  report("object", "S3: 1 % of the chunks changed: uploaded", up / GiB * 100, "%", { atMost: 3 });
  await storage.close();
  await empty(bucket, prefix);
}

/** What opening the newest of many costs. */
async function many(bucket: Counted): Promise<void> {
  const storage = await ObjectStorage.open(bucket, { prefix: "many/", retain: SNAPSHOTS });
  for (let index = 1; index <= SNAPSHOTS; index++) await saveStream(storage, BigInt(index), stamped(300_000, index));
  await storage.close();
  const times: number[] = [];
  const lists: number[] = [];
  for (let i = 0; i < 9; i++) {
    bucket.calls = 0;
    let opened: ObjectStorage;
    times.push(
      await seconds(async () => {
        opened = await ObjectStorage.open(bucket, { prefix: "many/", retain: SNAPSHOTS });
        await (await opened.open()).close();
      }),
    );
    if (i === 0) report("object", "S3: open the newest of 1,000", bucket.calls, "requests", { atMost: 3 });
    lists.push(await seconds(() => opened!.list()));
    await opened!.close();
  }
  report("object", "S3: open the newest of 1,000", median(times) * 1000, "ms");
  report("object", "S3: list 1,000", median(lists) * 1000, "ms");
}

/** What collecting snapshots costs. */
async function garbage(bucket: Counted): Promise<void> {
  const keep = { prefix: "garbage/", retain: COLLECTED + 1 };
  const storage = await ObjectStorage.open(bucket, keep);
  for (let index = 1; index <= COLLECTED + 1; index++) {
    await saveStream(storage, BigInt(index), stamped(3_000_000, index));
  }
  await storage.close();
  const last = await ObjectStorage.open(bucket, { prefix: "garbage/", retain: 1, grace: 24 * 3600_000 });
  await saveStream(last, 1000n, stamped(1000, 0));
  await last.close();
  const collecting = await ObjectStorage.open(bucket, { prefix: "garbage/", retain: 1, grace: 0 });
  bucket.calls = 0;
  let objects = 0;
  const time = await seconds(async () => objects = (await collecting.collect()).objects);
  report("object", `S3: collect ${COLLECTED} snapshots`, time * 1000, "ms");
  report("object", `S3: collect ${COLLECTED} snapshots`, bucket.calls, "requests");
  report("object", `S3: collect ${COLLECTED} snapshots`, objects, "objects deleted");
  await collecting.close();
}

async function empty(bucket: Bucket, prefix: string): Promise<void> {
  let cursor: string | undefined;
  const keys: string[] = [];
  do {
    const page = await bucket.list(cursor === undefined ? { prefix } : { prefix, cursor });
    keys.push(...page.objects.map(({ key }) => key));
    cursor = page.cursor;
  } while (cursor !== undefined);
  await bucket.delete(keys);
}

for (const name of ["s3", "edge"]) await ready(await groupOf(name));
const server = await startServer();
try {
  const { endpoint, accessKeyId, secretAccessKey } = server;
  const made = await new (await import("aws4fetch")).AwsClient({ accessKeyId, secretAccessKey, service: "s3" })
    .fetch(`${endpoint}/bench`, { method: "PUT" });
  await made.body?.cancel();
  const credentials = { accessKeyId, secretAccessKey };
  const bucket = new Counted(new S3Bucket({ endpoint, bucket: "bench", region: "us-east-1", credentials }));
  await rates(bucket);
  await changed(bucket);
  await many(bucket);
  await garbage(bucket);
} finally {
  await server.stop();
}
await benchR2();
