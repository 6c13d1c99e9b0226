// The tab dies, or an operation fails, at operations of the file system all over the life of a log. In a dedicated
// worker: in a page there is none.

import type { LogEntry } from "../../../mod.ts";
import { opfsRoot } from "../../../src/opfs/mod.ts";
import { type OpfsDirectory, OpfsLog } from "../../../src/opfs.ts";
import { assert, noise, test } from "../../support/harness.ts";
import { type Fate, FaultyOpfs } from "./faulty_opfs.ts";
import { freshDirectory, removeDirectory } from "./kit.ts";

function entries(from: bigint, count: number, size: number): LogEntry[] {
  return Array.from({ length: count }, (_, i) => ({ index: from + BigInt(i), term: 1n, data: noise(size, i + 1) }));
}

/** Does something while the origin's root is another. */
async function withRoot<T>(root: OpfsDirectory, work: () => Promise<T>): Promise<T> {
  const { storage } = navigator as unknown as { storage: { getDirectory?: () => Promise<OpfsDirectory> } };
  storage.getDirectory = () => Promise.resolve(root);
  try {
    return await work();
  } finally {
    delete storage.getDirectory; // that of its prototype is there again
  }
}

/** What a log is told; after each, the entries that it has. */
const CHANGES: readonly (readonly [change: (log: OpfsLog) => Promise<void>, first: bigint, last: bigint])[] = [
  [(log) => log.append(entries(1n, 3, 700)), 1n, 3n],
  [(log) => log.append(entries(4n, 5, 220_000)), 1n, 8n],
  [(log) => log.append(entries(9n, 1, 20)), 1n, 9n],
  [(log) => log.purge(8n), 9n, 9n],
  [(log) => log.append(entries(10n, 2, 3000)), 9n, 11n],
  [(log) => log.reset(50n, 1n), 51n, 50n],
  [(log) => log.append(entries(51n, 1, 10)), 51n, 51n],
];

/** Does all that, and lets one operation of the file system have a fate; returns whether there was one so late. */
async function suffer(fate: Fate, doomed: number): Promise<boolean> {
  const directory = freshDirectory();
  let [operations, done] = [0, 0];
  const faulty = new FaultyOpfs((_, changes) => changes && ++operations === doomed ? fate : "passes");
  await withRoot(faulty.directory(await opfsRoot()), async () => {
    const log = await OpfsLog.open(directory);
    try {
      for (const [change] of CHANGES) {
        await change(log);
        done++;
      }
    } finally {
      await log.close();
    }
  }).catch(() => {});
  await faulty.bury();
  const log = await OpfsLog.open(directory);
  try {
    const found: bigint[] = [];
    for await (const { index } of log.entries(log.firstIndex)) found.push(index);
    const has = `${log.firstIndex} to ${found.at(-1) ?? log.firstIndex - 1n}`;
    const [first, last] = done === 0 ? [1n, 0n] : CHANGES[done - 1]!.slice(1) as [bigint, bigint];
    const [, nextFirst, nextLast] = CHANGES[done] ?? CHANGES.at(-1)!;
    const allowed = [`${first} to ${last}`, `${nextFirst} to ${nextLast}`];
    // Of entries that were appended together the first may be there.
    for (let part = last; first === nextFirst && part < nextLast; part++) allowed.push(`${first} to ${part}`);
    assert.include(allowed, has, `${fate}, operation ${doomed}`);
    await log.append([{ index: log.lastIndex + 1n, term: 1n, data: new Uint8Array(1) }]);
  } finally {
    await log.close();
  }
  await removeDirectory(directory);
  return operations >= doomed;
}

/** Each takes some operations, and all together all of them. */
const FATES: readonly Fate[] = ["fails", "dies before", "dies after", "dies halfway"];

for (const [i, fate] of ("document" in globalThis ? [] : FATES).entries()) {
  test(`crash states of a log: the operation ${fate}, and nothing that was acknowledged is lost`, async () => {
    let count = 0;
    for (let doomed = i + 1; await suffer(fate, doomed); doomed += FATES.length - 1) count++;
    assert.isAbove(count, 8);
  });
}
