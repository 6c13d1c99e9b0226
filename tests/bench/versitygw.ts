// Reading 1 GiB from a real server on loopback, versitygw, against a plain GET there. `run.ts` starts the server, and
// says where it is.

import process from "node:process";
import { ObjectStorage, S3Bucket } from "../../src/object.ts";
import { drain, saveStream, stamped } from "./object_kit.ts";
import { median, report, seconds } from "./report.ts";

const GiB = 1024 ** 3;
const ROUNDS = 5;

const bucket = new S3Bucket(JSON.parse(process.argv[2]!));
await bucket.put("plain", stamped(GiB, 1));
const storage = await ObjectStorage.open(bucket, { prefix: "snapshots/" });
await saveStream(storage, 1n, stamped(GiB, 2));
const ratios: number[] = [];
for (let round = 1; round <= ROUNDS; round++) {
  const plain = await seconds(async () => await drain((await bucket.get("plain"))!.body));
  const read = await seconds(async () => {
    const reader = await storage.open();
    await drain(reader.file("state"));
    await reader.close();
  });
  report("versitygw", `plain GET of 1 GiB, round ${round}`, 1024 / plain, "MiB/s");
  report("versitygw", `read of 1 GiB, round ${round}`, 1024 / read, "MiB/s");
  ratios.push(plain / read);
}
report("versitygw", "read / plain GET", median(ratios), "x", { atLeast: 0.85 });
await storage.close();
