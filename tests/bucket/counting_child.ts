// A process that counts in an object, together with others: counting_child ROOT ROUNDS. Says each that it has counted.

import process from "node:process";
import { DirectoryBucket } from "../../src/bucket/directory/bucket.ts";

const [, , root, rounds] = process.argv as [string, string, string, string];
const bucket = await DirectoryBucket.open(root);
for (let round = 0; round < Number(rounds);) {
  const found = await bucket.get("count");
  const count = found === undefined ? 0 : Number(await new Response(found.body as BodyInit).text());
  const body = new TextEncoder().encode(String(count + 1));
  const condition = found === undefined ? { ifNoneMatch: "*" as const } : { ifMatch: found.etag };
  if (await bucket.put("count", body, condition) === undefined) continue;
  round++;
  console.log(count + 1);
}
