// The log in OPFS, which is in memory here; tests/browser has the browser's own.

import { logConformance } from "../../src/testing/mod.ts";
import { OpfsLog } from "../../src/opfs.ts";
import { assert, noise, rejects, test, testAll } from "../support/harness.ts";
import { memoryOpfs, type OpfsHook, type OpfsNode, UNTOUCHED, withOpfs } from "../support/memory_opfs.ts";
import { type LogEntry, MemoryLog } from "../../mod.ts";

testAll(
  "OpfsLog",
  logConformance(async () => {
    const root = memoryOpfs(new Map(), UNTOUCHED);
    const open = () => withOpfs(root, () => OpfsLog.open("log"));
    let log = await open();
    return {
      log,
      async reopen() {
        await log.close();
        return log = await open();
      },
      cleanUp: () => Promise.resolve(),
    };
  }),
);

/** Does something with a log that is in a directory of these files. */
async function withLog<T>(
  files: Map<string, OpfsNode>,
  work: (log: OpfsLog) => Promise<T>,
  hook = UNTOUCHED,
): Promise<T> {
  return await withOpfs(memoryOpfs(files, hook), async () => {
    const log = await OpfsLog.open("app/log");
    try {
      return await work(log);
    } finally {
      await log.close();
    }
  });
}

function namesOf(files: Map<string, OpfsNode>): string[] {
  return [...((files.get("app") as Map<string, OpfsNode>).get("log") as Map<string, OpfsNode>).keys()].sort();
}

function entries(from: bigint, count: number, size: number): LogEntry[] {
  return Array.from(
    { length: count },
    (_, i) => ({ index: from + BigInt(i), term: 1n, data: noise(size, Number(from) + i), time: 5 }),
  );
}

async function indicesOf(log: OpfsLog): Promise<bigint[]> {
  return (await Array.fromAsync(log.entries(log.firstIndex))).map(({ index }) => index);
}

const range = (first: bigint, last: bigint) =>
  Array.from({ length: Number(last - first) + 1 }, (_, i) => first + BigInt(i));

test("OpfsLog: its history is that of any log with these entries, and is kept through purges", async () => {
  const files = new Map<string, OpfsNode>();
  const other = new MemoryLog();
  await withLog(files, async (log) => {
    for (const part of [entries(1n, 3, 40), entries(4n, 1500, 20), entries(1504n, 1, 300_000)]) {
      await log.append(part);
      await other.append(part);
    }
    for (const index of [0n, 1n, 3n, 4n, 1000n, 1503n, 1504n]) {
      assert.deepEqual(await log.digest(index), await other.digest(index), `${index}`);
    }
    assert.isUndefined(await log.digest(1505n));
    await log.purge(1000n);
    assert.isUndefined(await log.digest(999n));
  });
  await withLog(files, async (log) => {
    for (const index of [1000n, 1001n, 1504n]) assert.deepEqual(await log.digest(index), await other.digest(index));
    assert.deepEqual(await indicesOf(log), range(1001n, 1504n));
  });
});

test("OpfsLog: what is purged is given back, a segment at a time; what is reset, at once", async () => {
  const files = new Map<string, OpfsNode>();
  await withLog(files, async (log) => {
    for (let i = 0n; i < 24n; i++) await log.append(entries(i + 1n, 1, 100_000));
    assert.deepEqual(namesOf(files), ["log-0-1", "log-0-12", "log-0-23"]);
    await log.purge(11n);
    assert.deepEqual(namesOf(files), ["log-0-12", "log-0-23"]);
    await log.purge(20n);
    assert.deepEqual(await indicesOf(log), range(21n, 24n));
    assert.equal(log.byteLength, 400_000);
  });
  await withLog(files, async (log) => {
    assert.deepEqual(await indicesOf(log), range(21n, 24n));
    assert.equal(log.byteLength, 400_000);
    await log.reset(50n, 3n);
    assert.deepEqual(namesOf(files), ["log-1-51"]);
  });
});

test("OpfsLog: a purge finds its way out of a full quota, by removing segments first", async () => {
  const files = new Map<string, OpfsNode>();
  let isFull = false;
  const hook: OpfsHook = {
    ...UNTOUCHED,
    change({ verb, bytes }) {
      if (!isFull || verb !== "write" || bytes.length === 0) return;
      if (namesOf(files).length > 2) throw new DOMException("full", "QuotaExceededError");
    },
  };
  await withLog(files, async (log) => {
    for (let i = 0n; i < 24n; i++) await log.append(entries(i + 1n, 1, 100_000));
    isFull = true;
    await rejects(log.append(entries(25n, 1, 10)), "NO_SPACE");
    await log.purge(15n);
    assert.deepEqual(await indicesOf(log), range(16n, 24n));
    await log.append(entries(25n, 1, 10));
  }, hook);
  await withLog(files, async (log) => assert.deepEqual(await indicesOf(log), range(16n, 25n)));
});

for (const verb of ["write", "truncate", "flush"] as const) {
  test(`OpfsLog: a ${verb} that fails, whichever: nothing is acknowledged that is not there, and no more than that`, async () => {
    for (let doomed = 0, has = true; has; doomed++) {
      const files = new Map<string, OpfsNode>();
      let count = 0;
      const hook: OpfsHook = {
        ...UNTOUCHED,
        change(change) {
          if (change.verb === verb && count++ === doomed) throw new DOMException("it fails", "QuotaExceededError");
        },
      };
      let acknowledged = 0n;
      await withLog(files, async (log) => {
        for (let from = 1n; from < 14n; from++) {
          await log.append(entries(from, 1, 120_000)).then(() => acknowledged = from, () => {});
          if (acknowledged < from) break;
        }
        await log.append(entries(acknowledged + 1n, 1, 10)).then(() => acknowledged++, (error) => {
          assert.include(["NO_SPACE", "UNAVAILABLE"], error.code);
        });
      }, hook).catch((error) => assert.equal(error.code, "NO_SPACE")); // the opening
      await withLog(files, async (log) => {
        // One whose sync failed may be there all the same; nothing was appended behind it.
        if (verb === "flush" && log.lastIndex === acknowledged + 1n) acknowledged++;
        assert.deepEqual(await indicesOf(log), range(1n, acknowledged));
        await log.append(entries(acknowledged + 1n, 1, 10));
      });
      has = count > doomed;
    }
  });
}

test("OpfsLog: an older segment that has changed is said when it is read; what is behind it is there, and the purge goes on", async () => {
  const files = new Map<string, OpfsNode>();
  await withLog(files, async (log) => {
    for (let i = 0n; i < 24n; i++) await log.append(entries(i + 1n, 1, 100_000));
  });
  const directory = (files.get("app") as Map<string, OpfsNode>).get("log") as Map<string, OpfsNode>;
  (directory.get("log-0-12") as { bytes: Uint8Array }).bytes[150_000]! ^= 1;
  await withLog(files, async (log) => {
    const read: bigint[] = [];
    const error = await rejects(async () => {
      for await (const { index } of log.entries(1n)) read.push(index);
    }, "CORRUPT");
    assert.match(error.message, /log-0-12 is damaged from entry 13 on/);
    assert.deepEqual(read, range(1n, 12n));
    await rejects(log.purge(15n), "CORRUPT");
    await log.purge(22n);
    assert.deepEqual(await indicesOf(log), [23n, 24n]);
  });
});

test("OpfsLog: a segment in the middle that is missing is said", async () => {
  const files = new Map<string, OpfsNode>();
  await withLog(files, async (log) => {
    for (let i = 0n; i < 24n; i++) await log.append(entries(i + 1n, 1, 100_000));
  });
  ((files.get("app") as Map<string, OpfsNode>).get("log") as Map<string, OpfsNode>).delete("log-0-12");
  const error = await rejects(withLog(files, () => Promise.resolve()), "CORRUPT");
  assert.match(error.message, /the segment before it ends with entry 11/);
});

test("OpfsLog: one at a time; the next one has it once it is closed; only where it can be synced", () => {
  const root = memoryOpfs(new Map(), UNTOUCHED);
  return withOpfs(root, async () => {
    const first = await OpfsLog.open("log", { group: "shop" });
    await rejects(OpfsLog.open("log"), "BUSY");
    const waiting = OpfsLog.open("log", { wait: new AbortController().signal });
    await first.append(entries(1n, 2, 10));
    await first.close();
    await rejects(first.append(entries(3n, 1, 10)), "CLOSED");
    const second = await waiting;
    assert.deepEqual([second.lastIndex, second.group], [2n, "shop"]);
    await second.close();
    await rejects(OpfsLog.open("log", { group: "other" }), "FORBIDDEN");
    await (await OpfsLog.open("log")).close(); // its lock was given back
    await rejects(OpfsLog.open(".."), "MALFORMED");
  });
});

test("OpfsLog: a file that a killed worker still has is waited for: its lock was freed first", async () => {
  const files = new Map<string, OpfsNode>();
  await withLog(files, (log) => log.append(entries(1n, 2, 10)));
  const file = await (await (await memoryOpfs(files, UNTOUCHED).getDirectoryHandle("app")).getDirectoryHandle("log"))
    .getFileHandle("log-0-1");
  const killed = await file.createSyncAccessHandle!();
  let tries = 0;
  const hook: OpfsHook = {
    ...UNTOUCHED,
    before(verb, path) {
      if (verb === "find" && path.endsWith("/log-0-1") && ++tries === 3) killed.close();
    },
  };
  await withLog(files, async (log) => assert.equal(log.lastIndex, 2n), hook);
  assert.equal(tries, 3);
});
