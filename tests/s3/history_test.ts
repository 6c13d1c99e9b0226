// Several processes that save to one bucket of a real server. `deno task history` plays longer ones.

import { assert, test } from "../support/harness.ts";
import { playHistory } from "../history/history.ts";
import { makeBucket } from "./kit.ts";

test("S3: three processes save to one bucket: each snapshot is there once, and none is lost", async () => {
  const history = await playHistory({ s3: await makeBucket() }, { commits: 40, processes: 3 });
  const what = JSON.stringify(history);
  assert.deepEqual(history.violations, [], what);
});
