// What is used of @std, in every outcome: the stand-ins that a checkout has, and the real packages that a user gets,
// must do the same (`deno task test:jsr --std DIR` runs this with those). And the verb of the disk that was one of
// @std/fs before: which error there is must hang neither on a package nor on the runtime.

import { existsSync } from "node:fs";
import { chmod, chown, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import process from "node:process";
import { timingSafeEqual } from "@std/crypto/timing-safe-equal";
import { dirname, join } from "@std/path";
import { isAbsolute, normalize } from "@std/path/posix";
import type { SnapshotErrorCode } from "../../mod.ts";
import { DirectoryBucket } from "../../src/bucket/directory/bucket.ts";
import { defaultDisk } from "../../src/fs/mod.ts";
import { NodeDisk } from "../../src/fs/node.ts";
import { checkName } from "../../src/snapshot/mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { save, wholeOnes } from "../support/directory_storage.ts";
import { assert, bytesOf, rejects, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";

/** This runtime's disk; and on Deno that of Node and Bun too, which must not differ. */
const DISKS = "Deno" in globalThis ? [defaultDisk(), new NodeDisk()] : [defaultDisk()];

/** The user whom nothing belongs to. */
const NOBODY = 65_534;

/** What making a directory gives, by the path below the one that {@linkcode inWorld} fills. */
const OUTCOMES: readonly (readonly [path: string, outcome: SnapshotErrorCode | "made"])[] = [
  ["new", "made"],
  ["new/a/b", "made"],
  ["new/a/b/", "made"],
  ["new//a///b", "made"],
  ["new/../new/./a", "made"],
  ["directory", "made"],
  ["directory/", "made"],
  ["directory/.", "made"],
  ["directory/below", "made"],
  ["directory/new", "made"],
  ["link", "made"],
  ["link/", "made"],
  ["link/new/a", "made"],
  ["file", "BUSY"],
  ["file/", "BUSY"],
  ["file/a", "UNAVAILABLE"],
  ["file/a/b", "UNAVAILABLE"],
  ["link to file", "BUSY"],
  ["link to file/", "BUSY"],
  ["link to file/a", "UNAVAILABLE"],
  ["link to nothing", "BUSY"],
  ["link to nothing/", "BUSY"],
  ["link to nothing/a", "BUSY"],
  ["link to nothing/a/b", "BUSY"],
  ["link to itself", "BUSY"],
  ["link to itself/a", "FORBIDDEN"],
  ["x".repeat(256), "MALFORMED"],
  [`${"x".repeat(256)}/a`, "MALFORMED"],
  [`new/${"x".repeat(256)}/a`, "MALFORMED"],
  ["x/".repeat(3000), "MALFORMED"],
  ["a\0b", "UNAVAILABLE"],
  ["ü/😀", "made"],
];

/** The same for paths that are not below. */
function otherOutcomes(): readonly (readonly [path: string, outcome: SnapshotErrorCode | "made"])[] {
  const linux = process.platform === "linux";
  return [
    ["", "NOT_FOUND"],
    [".", "made"],
    ["..", "made"],
    ["/", "made"],
    ["//", "made"],
    ["/dev/null", "BUSY"],
    ["/dev/null/a", "UNAVAILABLE"],
    // Here no directory can be made, whoever asks. Node's own `mkdir` of all at once does not end with the first.
    ...(linux && existsSync("/proc/self") ? [["/proc/snapstream", "NOT_FOUND"]] as const : []),
    ...(linux && existsSync("/sys/kernel") ? [["/sys/kernel/snapstream", "FORBIDDEN"]] as const : []),
  ];
}

/** Does something in a directory that has one of everything. */
function inWorld(work: (directory: string) => Promise<void>): Promise<void> {
  return inTemp(async (directory) => {
    await mkdir(`${directory}/directory/below`, { recursive: true });
    await writeFile(`${directory}/file`, "x");
    await symlink("directory", `${directory}/link`);
    await symlink("file", `${directory}/link to file`);
    await symlink("nowhere/at all", `${directory}/link to nothing`);
    await symlink("link to itself", `${directory}/link to itself`);
    await work(directory);
  });
}

/** Fails unless something has an outcome. */
async function gives(outcome: SnapshotErrorCode | "made", what: string, work: () => Promise<unknown>): Promise<void> {
  try {
    if (outcome === "made") await work();
    else await rejects(work(), outcome);
  } catch (error) {
    throw new Error(`${what.slice(0, 100)}: ${error}`, { cause: error });
  }
}

test("making a directory: every outcome", async () => {
  for (const disk of DISKS) {
    for (const [path, outcome] of OUTCOMES) {
      await inWorld(async (directory) => {
        const what = `${disk.constructor.name}: ${path}`;
        // Once more too: what is there now must not matter.
        for (let i = 0; i < 2; i++) await gives(outcome, what, () => disk.makeDirectory(`${directory}/${path}`));
        if (outcome === "made") assert.isArray(await disk.list(`${directory}/${path}`), what);
        assert.isUndefined(await disk.stat(`${directory}/nowhere`), what); // a link that leads nowhere is not followed
      });
    }
    for (const [path, outcome] of otherOutcomes()) {
      await gives(outcome, `${disk.constructor.name}: ${path}`, () => disk.makeDirectory(path));
    }
  }
});

test("making a directory: of many at once each ends well", () =>
  inTemp(async (directory) => {
    for (const disk of DISKS) {
      const paths = Array.from({ length: 40 }, (_, i) => `${directory}/a/b/${i % 4}/c/d/${i % 3}`);
      await Promise.all(paths.map((path) => disk.makeDirectory(path)));
      for (const path of paths) assert.deepEqual(await disk.list(path), []);
      await rm(`${directory}/a`, { recursive: true });
    }
  }));

/** Does something as somebody whom permissions hold up, which they do not root. */
async function asNobody(directory: string, work: () => Promise<void>): Promise<void> {
  if (process.getuid?.() !== 0) return await work();
  await chown(directory, NOBODY, NOBODY);
  process.seteuid!(NOBODY);
  try {
    await work();
  } finally {
    process.seteuid!(0);
  }
}

test("making a directory where that is not allowed", () =>
  inTemp((directory) =>
    asNobody(directory, async () => {
      await mkdir(`${directory}/closed/a`, { recursive: true });
      await chmod(`${directory}/closed`, 0o500);
      for (const disk of DISKS) {
        await disk.makeDirectory(`${directory}/closed`);
        await disk.makeDirectory(`${directory}/closed/a`);
        await rejects(disk.makeDirectory(`${directory}/closed/b`), "FORBIDDEN");
        await rejects(disk.makeDirectory(`${directory}/closed/b/c`), "FORBIDDEN");
      }
      await chmod(`${directory}/closed`, 0o000);
      for (const disk of DISKS) await rejects(disk.makeDirectory(`${directory}/closed/a`), "FORBIDDEN");
      await chmod(`${directory}/closed`, 0o700);
    })
  ));

test("opening a storage or a bucket: every outcome", async () => {
  for (const [path, outcome] of OUTCOMES) {
    const ways: readonly ((root: string) => Promise<{ close?(): Promise<void> }>)[] = [
      (root) => DirectoryStorage.open(root),
      (root) => DirectoryStorage.open(root, { durability: "none" }),
      (root) => DirectoryBucket.open(root) as Promise<object>,
    ];
    // A storage looks at the path before it asks the disk.
    const expected = path.includes("\0") ? "MALFORMED" : outcome;
    for (const [i, open] of ways.entries()) {
      await inWorld((directory) =>
        gives(expected, `${i}: ${path}`, async () => await (await open(`${directory}/${path}`)).close?.())
      );
    }
  }
});

test("one directory, however its path is written", () =>
  inTemp(async (directory) => {
    const ways = ["a/b", "a/b/", "a//b", "./a/b//", "a/./b/.", "a/c/../b"].map((path) => `${directory}/${path}`);
    ways.push(`/${directory}/a/b`, `//${directory}//a//b//`);
    await mkdir(`${directory}/a/c`, { recursive: true });
    let index = 0n;
    for (const root of ways) {
      const storage = await DirectoryStorage.open(root);
      await save(storage, ++index);
      assert.equal((await wholeOnes(storage))[0], index, root);
      await storage.close();
    }
    await rm(`${directory}/a/b`, { recursive: true });
    for (const [i, root] of ways.entries()) {
      const bucket = await DirectoryBucket.open(root);
      await bucket.put(`x/y/${i}`, Uint8Array.of(i));
      for (let before = 0; before <= i; before++) {
        const { body } = (await bucket.get(`x/y/${before}`))!;
        assert.deepEqual([...await bytesOf(body)], [before], root);
      }
    }
  }));

test("@std/path: dirname", () => {
  for (
    const [path, directory] of [
      ["", "."],
      [".", "."],
      ["..", "."],
      ["a", "."],
      ["a/", "."],
      ["a/b", "a"],
      ["a/b/", "a"],
      ["a/b//", "a"],
      ["a//b", "a"],
      ["a///b//c", "a///b"],
      ["./a", "."],
      ["../a", ".."],
      ["/", "/"],
      ["//", "/"],
      ["/a", "/"],
      ["/a/", "/"],
      ["//a", "/"],
      ["///a//", "/"],
      ["//a/b", "//a"],
      ["/a//b", "/a"],
      ["a\n//b", "a\n"],
      ["a\\b/c", "a\\b"],
    ] as const
  ) assert.equal(dirname(path), directory, JSON.stringify(path));
  assert.equal(dirname(new URL("file:///a/b%20c/%zz")), "/a/b c");
});

test("@std/path: join", () => {
  for (
    const [paths, joined] of [
      [[""], "."],
      [["", ""], "."],
      [["a"], "a"],
      [["a", "b", "c"], "a/b/c"],
      [["a/", "/b/"], "a/b/"],
      [["", "a", "", "b"], "a/b"],
      [["a", "..", "..", "b"], "../b"],
      [["/", "..", "a"], "/a"],
      [["//a", "b"], "/a/b"],
      [["a", "."], "a"],
      [["a", "./"], "a/"],
      [["a", ".."], "."],
      [["a", "../"], "./"],
      [["a", "b\\c"], "a/b\\c"],
      [["...", ".a", "a."], ".../.a/a."],
    ] as const
  ) {
    const [first, ...others] = paths;
    assert.equal(join(first, ...others), joined, JSON.stringify(paths));
  }
  assert.equal(join(new URL("file:///a/b%20c"), "..", "d"), "/a/d");
});

test("@std/path/posix: normalize, isAbsolute", () => {
  for (
    const [path, normal] of [
      ["", "."],
      [".", "."],
      ["./", "./"],
      ["a/..", "."],
      ["a/../", "./"],
      ["..", ".."],
      ["../", "../"],
      ["../../a", "../../a"],
      ["a/../../b", "../b"],
      ["a//b/./c/", "a/b/c/"],
      ["/", "/"],
      ["//", "/"],
      ["/..", "/"],
      ["/../a/", "/a/"],
      ["/./", "/"],
      ["a\\..\\b", "a\\..\\b"],
      ["...", "..."],
    ] as const
  ) {
    assert.equal(normalize(path), normal, JSON.stringify(path));
    assert.equal(isAbsolute(path), path.startsWith("/"), JSON.stringify(path));
  }
  assert.equal(normalize(new URL("file:///a//b%2Fc/")), "/a/b/c/");
});

test("@std/path: what is no path", () => {
  const refused = (call: () => unknown, message: string) => {
    try {
      call();
    } catch (error) {
      assert.instanceOf(error, TypeError);
      assert.equal((error as TypeError).message, message);
      return;
    }
    throw new Error(`Expected ${message}, got no error`);
  };
  for (const call of [dirname, join, normalize] as const) {
    refused(() => call(new URL("https://a/b")), 'URL must be a file URL: received "https:"');
  }
  for (const given of [null, undefined, 1, {}, ["a"]]) {
    const message = `Path must be a string, received "${JSON.stringify(given)}"`;
    for (const call of [dirname, normalize, isAbsolute] as const) refused(() => call(given as string), message);
    refused(() => join("a", given as string), message);
  }
});

test("names of files: what @std says of them", async () => {
  for (const name of ["a", "a/b", ".a", "...", "a./..b"]) assert.equal(checkName(name), name);
  for (
    const name of ["", ".", "./", "..", "../", "/", "//", "/a", "a/", "a//b", "./a", "a/.", "a/..", "a/../", "a/../b"]
  ) {
    await rejects(() => checkName(name), "MALFORMED");
  }
});

test("@std/crypto: timingSafeEqual", () => {
  const bytes = Uint8Array.of(9, 1, 2, 3, 9);
  const part = new DataView(bytes.buffer, 1, 3);
  assert.isTrue(timingSafeEqual(part, Uint8Array.of(1, 2, 3)));
  assert.isTrue(timingSafeEqual(Uint8Array.of(1, 2, 3).buffer, part));
  assert.isTrue(timingSafeEqual(new Uint16Array([513]), Uint8Array.of(1, 2))); // bytes, whatever they are seen as
  assert.isFalse(timingSafeEqual(part, Uint8Array.of(1, 2, 4)));
  assert.isTrue(timingSafeEqual(new Uint8Array(), new ArrayBuffer(0)));
  // Which the command line must not come to: it would make an error of the server's of a wrong token.
  assert.throws(
    () => timingSafeEqual(new Uint8Array(2), new Uint8Array(3)),
    TypeError,
    "Cannot compare buffers of different byte lengths (2 vs 3)",
  );
});
