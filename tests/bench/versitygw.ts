// Reading a snapshot from a real server on loopback, versitygw, against a plain GET there. `run.ts` starts the server, and
// says how many MiB it is, how often it is read, and where the server is.

import process from "node:process";
import { ObjectStorage, S3Bucket } from "../../src/object.ts";
import { drain, saveStream, stamped } from "./object_kit.ts";
import { median, report, seconds } from "./report.ts";

const [size, rounds] = process.argv.slice(2, 4).map(Number) as [number, number];
const bytes = size * 1024 ** 2;

const bucket = new S3Bucket(JSON.parse(process.argv[4]!));
await bucket.put("plain", stamped(bytes, 1));
const storage = await ObjectStorage.open(bucket, { prefix: "snapshots/" });
await saveStream(storage, 1n, stamped(bytes, 2));
const ratios: number[] = [];
for (let round = 1; round <= rounds; round++) {
  const plain = await seconds(async () => await drain((await bucket.get("plain"))!.body));
  const read = await seconds(async () => {
    const reader = await storage.open();
    await drain(reader.file("state"));
    await reader.close();
  });
  report("versitygw", `plain GET of ${size} MiB, round ${round}`, size / plain, "MiB/s");
  report("versitygw", `read of ${size} MiB, round ${round}`, size / read, "MiB/s");
  ratios.push(plain / read);
}
report("versitygw", "read / plain GET", median(ratios), "x", { atLeast: 0.85 });
await storage.close();
