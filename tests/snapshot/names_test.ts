import fc from "fast-check";
import { checkName, directoriesOf, NameSet } from "../../src/snapshot/mod.ts";
import { assert, rejects, test } from "../support/harness.ts";

const WRONG: Readonly<Record<string, readonly string[]>> = {
  "empty": [""],
  "not shortest": [".", "./a", "a/.", "a/./b", "a//b", "a/", "a/b/", "//"],
  "leading out": ["..", "../a", "a/..", "a/../b", "a/b/.."],
  "absolute": ["/", "/a", "/etc/passwd"],
  "characters": ["a\0b", "\0", "a\\b", "..\\b", "C:\\x", "\ud800", "a\udc00"],
  "the manifest's": ["__raft_snapshot_meta", "__raft_snapshot_meta.tmp"],
  "too long": ["x".repeat(1025), "é".repeat(513), "x".repeat(10_000_000), "a/".repeat(512) + "a"],
  "too long a part": ["x".repeat(256), "é".repeat(128), `a/${"x".repeat(256)}/b`, `${"x".repeat(256)}/a`],
};

for (const [what, names] of Object.entries(WRONG)) {
  test(`names: ${what}`, async () => {
    for (const name of names) {
      const error = await rejects(() => checkName(name), "MALFORMED");
      assert.isBelow(error.message.length, 1000);
    }
  });
}

test("names: allowed", () => {
  const names = [
    "a",
    "...",
    "..a",
    "a..",
    ".hidden",
    "a/...",
    "a b",
    "ü/文件/😀",
    "é".repeat(127),
    "x".repeat(255),
    `${"x".repeat(255)}/`.repeat(4).slice(0, -1),
  ];
  for (const name of [...names, "a/__raft_snapshot_meta", "__RAFT_SNAPSHOT_META", "C:", "-", "%2e%2e"]) {
    assert.strictEqual(checkName(name), name);
  }
});

test("names: upper and lower case, and other forms of a letter, are different names", () => {
  const names = new NameSet();
  for (const name of ["a", "A", "\u00e9", "e\u0301"]) names.add(name);
});

test("names: conflicts in either order, at any depth", async () => {
  for (const [first, second] of [["a", "a"], ["a", "a/b"], ["a/b", "a"], ["a/b/c", "a/b"], ["a", "a/b/c"]]) {
    const names = new NameSet();
    names.add(first!);
    await rejects(() => names.add(second!), "MALFORMED");
  }
  const names = new NameSet();
  for (const name of ["a/b", "a/c", "ab", "a b", "a.b", "a/b.c"]) names.add(name);
});

test("names: a set takes what no two of conflict", () => {
  const name = fc.array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
  fc.assert(
    fc.property(fc.array(name, { maxLength: 8 }), (list) => {
      const names = new NameSet();
      const taken: string[] = [];
      for (const name of list) {
        const conflict = taken.some((other) =>
          other === name || other.startsWith(`${name}/`) || name.startsWith(`${other}/`)
        );
        let refused = false;
        try {
          names.add(name);
          taken.push(name);
        } catch {
          refused = true;
        }
        assert.strictEqual(refused, conflict, `${taken} then ${name}`);
      }
    }),
  );
});

test("names: the directories of a file", () => {
  assert.deepEqual(directoriesOf("a/b/c"), ["a", "a/b"]);
  assert.deepEqual(directoriesOf("a"), []);
});
