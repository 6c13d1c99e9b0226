// The check of words and comments finds what the house does not say, and lets pass what only looks like it.

import { commentsOf, longComments, missingPaths, relativeComments, wrongWords } from "./support/house_words.ts";
import { assert, test } from "./support/harness.ts";

test("the house's words: each wrong one is found, in comments, messages and identifiers", () => {
  const wrong = [
    "// It goes on with the rest.",
    "throw new Error('The load was given up')",
    "const giveUp = () => {};",
    "/** Waits for the next try again. */",
    "/** Puts aside what is bad. */",
    "const trailer = readEnding(bytes);",
    "// the end record says so",
    "// a passing error",
    "#doubtful(key) {}",
    "class Reception {}",
    "readonly #gate: FairSemaphore;",
    "export class SteadyBucket {}",
    "const gathered = new ByteBuffer(9);",
    "readonly #link: Connection;",
  ];
  for (const line of wrong) assert.lengthOf(wrongWords("src/a.ts", `\n${line}\n`), 1, line);
  assert.match(wrongWords("src/a.ts", `\n${wrong[0]}`)[0]!, /^src\/a\.ts:2: "goes on with": say resume$/);
});

test("the house's words: innocent uses pass", () => {
  const right = [
    "// It goes on once the disk has room.",
    "// It is tried again, later each time.",
    "await Deno.link(from, to);",
    "const links = sources.map(String);",
    "// Pieces that are gathered in memory",
    "// A file ending with a line feed, after passing it on",
    "// its END record, and nothing after it",
  ];
  for (const line of right) assert.deepEqual(wrongWords("src/a.ts", line), [], line);
});

test("the house's comments: a relative clause, a line that is too long, a path that is not there", () => {
  const text = [
    "/** What it is. */",
    "/**",
    " * How it goes: see `stream/gone.ts`, and `records.ts`.",
    " */",
    "const a = 1; // Whether it is one",
    'const url = "https://example.org/What";',
    "// A comment",
    "// Which of two lines begins so, that is no opening: see ./archive/records.ts",
    `const b = "${"x".repeat(120)}";`,
    `const c = 1; // ${"x".repeat(120)}`,
  ].join("\n");
  const comments = commentsOf(text);
  assert.deepEqual(comments.map(({ line }) => line), [1, 2, 5, 7, 10]);
  assert.deepEqual(relativeComments("a", comments).map((found) => found.split(":")[1]), ["1", "2", "5"]);
  assert.deepEqual(longComments("a", text).map((found) => found.split(":")[1]), ["10"]);
  assert.deepEqual(missingPaths("a", comments, ["src/snapshot/archive/records.ts"]), [
    "a:2: there is no stream/gone.ts",
  ]);
});
