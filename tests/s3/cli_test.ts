// The command line on a bucket: credentials from the environment, what is there already, and what is not there.

import { inTemp } from "../support/temp.ts";
import { assert, test } from "../support/harness.ts";
import { run, saveParts, text } from "../cli/support.ts";
import { CREDENTIALS, ENDPOINT, makeBucket } from "./kit.ts";

test("cli: a snapshot is copied to S3 and back, looked at there, and pruned", () =>
  inTemp(async (directory) => {
    const { bucket } = await makeBucket();
    const env = {
      AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
      AWS_ENDPOINT_URL: ENDPOINT,
    };
    const root = `${directory}/a`;
    const place = `s3://${bucket}/room`;
    await saveParts(root, 1n, [1, 2]);
    assert.strictEqual((await run(["ls", place], { env })).code, 1, "nothing is there");
    assert.strictEqual((await run(["copy", root, place], { env })).code, 0);
    await saveParts(root, 2n, [1, 3]);
    assert.strictEqual((await run(["copy", root, place], { env })).code, 0);
    assert.match(text(await run(["copy", root, `${place}?endpoint=${ENDPOINT}`], { env })), /up to date/);
    const { snapshots } = JSON.parse(text(await run(["ls", place, "--json"], { env })));
    assert.deepEqual(snapshots.map(({ index }: { index: string }) => index), ["2", "1"]);
    assert.strictEqual((await run(["ls", `s3://${bucket}/roo`], { env })).code, 1, "another prefix");
    const shared = JSON.parse(text(await run(["diff", `${place}#1`, `${place}#2`, "--json"], { env })));
    assert.strictEqual(shared.chunks.shared, 1);
    assert.strictEqual((await run(["copy", `${place}#1`, `${directory}/b`], { env })).code, 0);
    assert.strictEqual((await run(["verify", `${directory}/b#1`])).code, 0);
    assert.strictEqual((await run(["prune", place, "--keep", "1"], { env })).code, 0);
    assert.strictEqual((await run(["verify", `${place}#1`], { env })).code, 1, "it is retired");
    const wrong = await run(["ls", place], { env: { ...env, AWS_SECRET_ACCESS_KEY: "wrong" } });
    assert.strictEqual(wrong.code, 1);
    assert.match(wrong.stderr, /^snapstream: [^\n]+\n$/);
    const none = await run(["ls", place], { env: { ...env, AWS_ACCESS_KEY_ID: "" } });
    assert.strictEqual(none.code, 2);
    assert.strictEqual((await run(["ls", `${place}?endpoint=none`], { env })).code, 2);
  }));
