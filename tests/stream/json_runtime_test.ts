// Errors and states in `JSON.stringify`, as whoever writes a log has them.

import { MemoryStorage, pull, SnapshotError } from "../../mod.ts";
import { withJson } from "../../src/stream/mod.ts";
import { assert, rejects, test } from "../support/harness.ts";

test("JSON: an error is its code, its message and its fields, whatever they are, and what caused it", () => {
  const cause = new SnapshotError("NOT_FOUND", "gone", { index: 2n ** 63n - 1n, cause: new TypeError("why") });
  const error = new SnapshotError("CORRUPT", "bad", { index: 7n, file: "a", chunk: 3, expected: 1n, cause });
  assert.deepEqual(JSON.parse(JSON.stringify({ error })), {
    error: {
      ...{ name: "SnapshotError", code: "CORRUPT", message: "bad", index: "7", file: "a", chunk: 3, expected: "1" },
      cause: { name: "SnapshotError", code: "NOT_FOUND", message: "gone", index: "9223372036854775807", cause: "why" },
    },
  });
  assert.deepEqual(JSON.parse(JSON.stringify(new SnapshotError("BUSY", "wait"))), {
    ...{ name: "SnapshotError", code: "BUSY", message: "wait" },
  });
});

test("JSON: a state is one, and is otherwise as it was", () => {
  const members = { index: 5n, digest: Uint8Array.of(1, 255), error: new SnapshotError("BUSY", "wait", { index: 1n }) };
  const state = withJson({ ...members, list: [1n, new TypeError("no")], none: undefined });
  assert.deepEqual(JSON.parse(JSON.stringify(state)), {
    index: "5",
    digest: "01ff",
    error: { name: "SnapshotError", code: "BUSY", message: "wait", index: "1" },
    list: ["1", { name: "TypeError", message: "no" }],
  });
  assert.deepEqual(Object.keys(state), ["index", "digest", "error", "list", "none"]);
});

test("JSON: what fetch fails with is said, where only its cause says it, or a code of that", async () => {
  const causes = [
    new Error("connect ECONNREFUSED 127.0.0.1:4"),
    Object.assign(new AggregateError([]), { code: "ECONNREFUSED" }),
  ];
  for (const cause of causes) {
    const fetch = () => Promise.reject(new TypeError("fetch failed", { cause }));
    const error = await rejects(
      pull(new MemoryStorage(), [{ url: "http://there", fetch }], { retryFor: 0 }),
      "UNAVAILABLE",
    );
    assert.match(error.message, /^http:\/\/there cannot be reached, .*: fetch failed: .*ECONNREFUSED/);
  }
});
