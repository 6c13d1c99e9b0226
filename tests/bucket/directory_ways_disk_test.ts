import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import process from "node:process";
import fc from "fast-check";
import { DirectoryBucket } from "../../src/bucket/directory/bucket.ts";
import { pathOf } from "../../src/bucket/directory/keys.ts";
import { projectFlags } from "../support/child.ts";
import { assert, bytesOf, noise, rejects, test } from "../support/harness.ts";
import { FaultyDisk } from "../support/faulty_disk.ts";
import { inTemp } from "../support/temp.ts";

/** Keys of what is awkward in a path. */
const part = fc.oneof(
  fc.constantFrom(
    "a",
    "A",
    ".",
    "..",
    "%",
    "~",
    "=",
    "/",
    "//",
    "-",
    "ä",
    "a\u0308",
    "😀",
    "\uff5e",
    " ",
    "0",
    "\u0001",
  ),
  fc.integer({ min: 190, max: 210 }).map((length) => "x".repeat(length)),
);
const key = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join(""))
  .filter((key) => new TextEncoder().encode(key).length <= 1024);

test("DirectoryBucket: keys have paths of their own, also where case does not count, and none leads out", () => {
  fc.assert(fc.property(fc.uniqueArray(key, { maxLength: 20 }), (keys) => {
    const paths = keys.map((key) => pathOf(new TextEncoder().encode(key)));
    assert.equal(new Set(paths.map((path) => path.toLowerCase().normalize("NFC"))).size, keys.length);
    for (const path of paths) {
      assert.match(path, /^[a-z0-9_%~=/-]+$/);
      for (const name of path.split("/")) assert.isTrue(name.length > 0 && name.length <= 210, name);
    }
    for (const [i, path] of paths.entries()) {
      assert.isFalse(paths.some((other, j) => i !== j && other.startsWith(`${path}/`)), "no object is a directory");
    }
  }));
});

test("DirectoryBucket: lists are in the order of the keys' bytes, from any cursor, with any prefix", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(key, { minLength: 1, maxLength: 12 }), key, async (keys, prefix) => {
      await inTemp(async (root) => {
        const bucket = await DirectoryBucket.open(root);
        for (const key of keys) await bucket.put(key, new Uint8Array());
        const sorted = keys.map((key) => Buffer.from(key)).sort(Buffer.compare).map(String);
        for (const start of ["", prefix, keys[0]!.slice(0, 3).toWellFormed()]) {
          const listed: string[] = [];
          let page = await bucket.list({ prefix: start, limit: 2 });
          for (;;) {
            listed.push(...page.objects.map(({ key }) => key));
            if (page.cursor === undefined) break;
            page = await bucket.list({ prefix: start, limit: 2, cursor: page.cursor });
          }
          assert.deepEqual(listed, sorted.filter((key) => key.startsWith(start)));
        }
      });
    }),
    { numRuns: 15 },
  );
});

test("DirectoryBucket: what is read goes on as it was while it is replaced and deleted", () =>
  inTemp(async (root) => {
    const bucket = await DirectoryBucket.open(root);
    await bucket.put("key", noise(2_000_000, 1));
    const found = await bucket.get("key");
    await bucket.put("key", noise(1000, 2));
    await bucket.delete(["key"]);
    assert.deepEqual(await bytesOf(found!.body), noise(2_000_000, 1));
  }));

test("DirectoryBucket: what is no object of its own", () =>
  inTemp(async (root) => {
    const bucket = await DirectoryBucket.open(root);
    await bucket.put("dir/key", noise(10, 1));
    await writeFile(`${root}/other`, "too short");
    await rejects(bucket.get("other"), "CORRUPT");
    await writeFile(`${root}/other`, "something that is long enough, and else");
    await rejects(bucket.get("other"), "CORRUPT");
    await rm(`${root}/other`);
    await writeFile(`${root}/README.md`, "no name of a key's");
    await mkdir(`${root}/a-directory`);
    await mkdir(`${root}/..%`);
    assert.deepEqual((await bucket.list()).objects.map(({ key }) => key), ["dir/key"]);
  }));

for (
  const [what, spoil] of [
    ["fewer bytes than there are", () => (_: Uint8Array, length: number) => length >> 1],
    ["other bytes each time", () => {
      let reads = 0;
      return (buffer: Uint8Array, length: number) => {
        buffer[0]! ^= ++reads;
        return length;
      };
    }],
  ] as const
) {
  test(`DirectoryBucket: a disk that gives ${what} of an object's beginning proves nothing`, () =>
    inTemp(async (directory) => {
      await (await DirectoryBucket.open(directory)).put("a", noise(100, 1));
      const own = spoil();
      const disk = new FaultyDisk(() => false);
      const open = disk.open.bind(disk);
      disk.open = async (path, mode) => {
        const file = await open(path, mode);
        return { ...file, read: async (buffer, at) => own(buffer, await file.read(buffer, at)) };
      };
      const bucket = await DirectoryBucket.open(directory, { disk });
      await rejects(bucket.get("a"), "UNAVAILABLE");
      await rejects(bucket.list(), "UNAVAILABLE");
    }));
}

test("DirectoryBucket: files of puts that were never done are swept once they are old", () =>
  inTemp(async (root) => {
    const bucket = await DirectoryBucket.open(root);
    await bucket.put("a/key", new Uint8Array());
    await writeFile(`${root}/a~/.put-old`, "x");
    await writeFile(`${root}/a~/.put-new`, "x");
    await utimes(`${root}/a~/.put-old`, new Date(), new Date(Date.now() - 25 * 3600 * 1000));
    assert.equal((await bucket.list()).objects.length, 1);
    assert.deepEqual((await readdir(`${root}/a~`)).sort(), [".put-new", "key"]);
  }));

test("DirectoryBucket: a bucket that is gone is NOT_FOUND, and not made anew", () =>
  inTemp(async (directory) => {
    const root = `${directory}/bucket`;
    const bucket = await DirectoryBucket.open(root);
    await bucket.put("key", noise(10, 1));
    await rm(root, { recursive: true });
    await rejects(bucket.get("key"), "NOT_FOUND");
    await rejects(bucket.put("key", noise(10, 1)), "NOT_FOUND");
    await rejects(bucket.delete(["key"]), "NOT_FOUND");
    await rejects(bucket.list(), "NOT_FOUND");
    assert.isFalse(await stat(root).then(() => true, () => false));
  }));

// A process of another runtime would need a bundle of its own.
if ("Deno" in globalThis) {
  test("DirectoryBucket: processes that count together, one of which is killed", () =>
    inTemp(async (root) => {
      const program = `${process.cwd()}/tests/bucket/counting_child.ts`;
      const start = (rounds: number) => {
        const args = [
          "run",
          "--allow-all",
          "--quiet",
          ...projectFlags(),
          "--no-check",
          program,
          root,
          String(rounds),
        ];
        const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
        const counted: number[] = [];
        child.stdout!.on("data", (part) => {
          counted.push(...new TextDecoder().decode(part).trim().split("\n").map(Number));
        });
        return { child, counted, ended: once(child, "close") };
      };
      const others = [start(50), start(50), start(50)];
      const victim = start(1_000_000);
      while (victim.counted.length < 20) await once(victim.child.stdout!, "data");
      process.kill(victim.child.pid!, "SIGKILL");
      for (const { ended } of [...others, victim]) await ended;
      const all = [...others, victim].flatMap(({ counted }) => counted);
      assert.equal(new Set(all).size, all.length, "no number was counted twice");
      for (const { counted } of others) assert.equal(counted.length, 50);
      const bucket = await DirectoryBucket.open(root);
      const last = Number(new TextDecoder().decode(await bytesOf((await bucket.get("count"))!.body)));
      assert.include([all.length, all.length + 1], last, "the last of the victim's may not have been told");
      assert.isAtMost((await readdir(root)).length, 3, "the object, the lock, and what the victim may have left");
    }));
}
