// Who wants to know lengths: nginx as a cache, and aria2c. Not on Bun, which sends no `Content-Length` with a stream.

import { readFile, writeFile } from "node:fs/promises";
import { assert, noise, test } from "../support/harness.ts";
import { save, storageWith } from "../support/samples.ts";
import { behindNginx, CACHE, CACHED, pulled } from "./nginx.ts";
import { FILE, ran, served, STATE } from "./served.ts";

const SIZE = 3_000_000;
const FILES = { state: noise(SIZE - 1000, 1), "a/b": noise(1000, 2) };

test("nginx: a cache with gzip gives what is newest, and content that never changes only once", async () => {
  const there = await storageWith(9n, FILES);
  await behindNginx(there, { http: CACHE, location: CACHED }, async ({ url, asked }) => {
    await pulled(url, 9n);
    const content = () => asked.filter((line) => line.includes("/content")).length;
    const first = content();
    assert.isAtLeast(first, 1);
    await pulled(url, 9n);
    assert.strictEqual(content(), first, "the second time it comes out of the cache");
    await save(there, 10n, { state: noise(SIZE, 4) });
    await pulled(url, 10n);
  });
  await there.close();
});

test("aria2c: from several connections at once, and resumed", () =>
  served(async ({ url, directory, ranges }) => {
    const options = ["-q", "--no-conf", "-x4", "-s4", "-k1M", "--file-allocation=none", "--async-dns=false"];
    await ran("aria2c", [...options, "-o", "state", `${url}${FILE}`], directory);
    assert.deepEqual(new Uint8Array(await readFile(`${directory}/state`)), STATE);
    assert.isAtLeast(ranges.length, 2, "it came in parts");
    await writeFile(`${directory}/part`, STATE.subarray(0, 1_048_576));
    await ran("aria2c", [...options, "-c", "-o", "part", `${url}${FILE}`], directory);
    assert.deepEqual(new Uint8Array(await readFile(`${directory}/part`)), STATE);
  }));
