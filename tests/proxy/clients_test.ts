// Clients that are not ours: curl and wget, with ranges and resumed downloads.

import { readFile, writeFile } from "node:fs/promises";
import { archive, MemoryStorage, unarchive } from "../../mod.ts";
import { assert, bytesOf, noise, pieces, test } from "../support/harness.ts";
import { storageWith } from "../support/samples.ts";
import { run } from "./programs.ts";
import { FILE, ran, served, STATE } from "./served.ts";

test("curl: a file, ranges, what has not changed, and a download that is resumed", () =>
  served(async ({ url, directory, ranges }) => {
    const file = `${directory}/state`;
    await ran("curl", ["-fsS", "-o", file, `${url}${FILE}`], directory);
    assert.deepEqual(new Uint8Array(await readFile(file)), STATE);
    await writeFile(file, STATE.subarray(0, 1_234_567));
    await ran("curl", ["-fsS", "-C", "-", "-o", file, `${url}${FILE}`], directory);
    assert.deepEqual(new Uint8Array(await readFile(file)), STATE);
    assert.deepEqual(ranges, ["bytes=1234567-"]);
    const { stdout } = await ran("curl", ["-sS", "-r", "5-14,100-109", "-i", `${url}${FILE}`], directory);
    assert.match(stdout, /^HTTP\/1\.1 206[^]*multipart\/byteranges/);
    const etags = ["--etag-save", `${directory}/tag`, "--etag-compare", `${directory}/tag`];
    const code = ["-o", file, "-w", "%{http_code}"];
    const twice = [];
    for (let i = 0; i < 2; i++) {
      twice.push(
        (await ran("curl", ["-fsS", ...etags, ...code, `${url}/snapshots/latest/manifest`], directory)).stdout,
      );
    }
    assert.deepEqual(twice, ["200", "304"]);
    assert.strictEqual((await run("curl", ["-fsS", `${url}/snapshots/8/archive`])).code, 22, "404");
  }));

test("curl: an archive down and up, also by the chunk, and what is refused", () =>
  served(async ({ url, storage, directory }) => {
    const file = `${directory}/archive`;
    await ran("curl", ["-fsS", "-o", file, `${url}/snapshots/latest/archive`], directory);
    const copy = new MemoryStorage();
    await unarchive(pieces(new Uint8Array(await readFile(file))), copy).result;
    await copy.close();
    const newer = await storageWith(10n, { state: noise(2_000_000, 2) });
    const reader = await newer.open();
    await writeFile(file, await bytesOf(archive(reader)));
    const refused = await run("curl", ["-fsS", "-T", file, `${url}/snapshots/11`], directory);
    assert.strictEqual(refused.code, 22, "another index");
    await ran("curl", ["-fsS", "-T", file, `${url}/snapshots/10`], directory); // asks with `Expect: 100-continue` first
    assert.deepEqual((await storage.list())[0]!.digest, reader.manifest.digest);
    const chunked = ["-fsS", "-T", "-", "-H", "Expect:", `${url}/snapshots/10`];
    const { code, stderr } = await run("curl", chunked, directory); // with an input that is empty
    assert.strictEqual(code, 22, stderr);
    await reader.close();
    await newer.close();
  }));

test("wget: a download that is resumed", () =>
  served(async ({ url, directory, ranges }) => {
    const file = `${directory}/state`;
    await writeFile(file, STATE.subarray(0, 2_000_001));
    await ran("wget", ["-q", "-c", "-O", file, `${url}${FILE}`], directory);
    assert.deepEqual(new Uint8Array(await readFile(file)), STATE);
    assert.deepEqual(ranges, ["bytes=2000001-"]);
    await ran("wget", ["-q", "-c", "-O", file, `${url}${FILE}`], directory); // 416: it has all
    assert.deepEqual(new Uint8Array(await readFile(file)), STATE);
  }));
