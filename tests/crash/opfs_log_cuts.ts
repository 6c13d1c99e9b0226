// The worker, the browser or the machine dies while a log in OPFS is written: of what was not synced any part may be
// missing. What is found is what was there before it, or all of it; of entries that were appended together, the first.

import type { LogEntry } from "../../mod.ts";
import { type OpfsDirectory, OpfsLog } from "../../src/opfs.ts";
import { assert, noise } from "../support/harness.ts";
import { copyOf, memoryOpfs, type OpfsChange, type OpfsNode, UNTOUCHED, withOpfs } from "../support/memory_opfs.ts";
import { Random } from "../support/random.ts";

type Bytes = Uint8Array<ArrayBuffer>;
type Files = Map<string, OpfsNode>;

const SECTOR = 512;
/** States of one change that are looked at, beside those that tend to hurt. */
const AT_RANDOM = 6;

/** What was looked at. */
export interface OpfsCuts {
  /** States in which a crash left the files. */
  cuts: number;
  /** Bytes that were changed. */
  flips: number;
}

/** What a log has: of each entry one line. */
interface Content {
  readonly first: bigint;
  readonly group: string | undefined;
  readonly base: string;
  readonly entries: readonly string[];
}

async function contentOf(log: OpfsLog): Promise<Content> {
  const entries: string[] = [];
  let bytes = 0;
  for await (const { index, term, data } of log.entries(log.firstIndex)) {
    entries.push(`${index} ${term} ${data.length} ${data[0]} ${data.at(-1)}`);
    bytes += data.length;
  }
  assert.equal(log.byteLength, bytes);
  assert.equal(log.lastIndex, log.firstIndex + BigInt(entries.length) - 1n);
  const base = (await log.digest(log.firstIndex - 1n))!;
  return { first: log.firstIndex, group: log.group, base: base.toString(), entries };
}

/** Opens the log that files have. */
function opened<T>(
  files: Files,
  work: (log: OpfsLog) => Promise<T>,
  hooked = memoryOpfs(files, UNTOUCHED),
): Promise<T> {
  return withOpfs(hooked, async () => {
    const log = await OpfsLog.open("log");
    try {
      return await work(log);
    } finally {
      await log.close();
    }
  });
}

/** The files of the log, as a crash may leave them: those that are durable, and changes of one that are not. */
class Crashes {
  readonly root: Files = new Map();
  readonly #random: Random;
  readonly #share: number;
  /** By path, the bytes that were synced last. */
  readonly #durable = new Map<string, Bytes>();
  readonly #pending = new Map<string, OpfsChange[]>();
  #states: Files[] = [];

  constructor(random: Random, share: number) {
    this.#random = random;
    this.#share = share;
  }

  get directory(): OpfsDirectory {
    return memoryOpfs(this.root, { ...UNTOUCHED, change: (change) => this.#changed(change) });
  }

  /** The states since the last call. */
  take(): Files[] {
    const states = this.#states;
    this.#states = [];
    return states;
  }

  #changed(change: OpfsChange): void {
    const { path, verb } = change;
    const pending = this.#pending.get(path) ?? [];
    this.#pending.set(path, pending);
    this.#leave(path, pending);
    if (verb !== "flush") return void pending.push(change);
    // Before it returns any part of what it is to sync may be there; afterwards all of it is.
    this.#durable.set(path, applied(this.#durable.get(path) ?? new Uint8Array(0), pending, () => true));
    pending.length = 0;
  }

  /** Leaves the files, the durable part of one and any of its changes. */
  #leave(path: string, pending: readonly OpfsChange[]): void {
    if (pending.length === 0 || !this.#random.chance(this.#share)) return;
    const durable = this.#durable.get(path) ?? new Uint8Array(0);
    const parts: ((at: number) => boolean)[] = [() => false, () => true];
    const last = pending.at(-1)!;
    const end = last.at + last.bytes.length;
    for (let i = 0; i < AT_RANDOM; i++) {
      const upTo = last.at + this.#random.below(last.bytes.length + 1);
      const sectors = new Map<number, boolean>();
      parts.push((at) => at < upTo);
      parts.push((at) => {
        const sector = Math.floor(at / SECTOR);
        const there = sectors.get(sector) ?? this.#random.chance(0.6);
        sectors.set(sector, there);
        return there;
      });
    }
    if (end - last.at > SECTOR) parts.push((at) => at >= last.at + SECTOR);
    for (const isThere of parts) {
      const state = copyOf(this.root);
      nodeAt(state, path).bytes = applied(durable, pending, isThere);
      this.#states.push(state);
    }
  }
}

/** A file with those bytes of some changes that are there. */
function applied(durable: Bytes, changes: readonly OpfsChange[], isThere: (at: number) => boolean): Bytes {
  let bytes = durable.slice();
  for (const { verb, at, bytes: written } of changes) {
    if (verb === "truncate") {
      if (isThere(at)) bytes = bytes.slice(0, at);
      continue;
    }
    let length = bytes.length;
    for (let i = 0; i < written.length; i++) if (isThere(at + i)) length = Math.max(length, at + i + 1);
    const grown = new Uint8Array(length);
    grown.set(bytes);
    for (let i = 0; i < written.length; i++) if (isThere(at + i)) grown[at + i] = written[i]!;
    bytes = grown;
  }
  return bytes;
}

function nodeAt(root: Files, path: string): { bytes: Bytes } {
  let node: OpfsNode = root;
  for (const part of path.split("/").filter((part) => part !== "")) node = (node as Files).get(part)!;
  return node as { bytes: Bytes };
}

function entries(from: bigint, count: number, size: number): LogEntry[] {
  return Array.from(
    { length: count },
    (_, i) => ({ index: from + BigInt(i), term: 1n, data: noise(size, Number(from) + i), time: 1000 + i }),
  );
}

/** All that a log is told. */
const CHANGES: readonly ((log: OpfsLog) => Promise<void>)[] = [
  (log) => log.append(entries(1n, 3, 700)),
  (log) => log.append(entries(4n, 1, 10)),
  (log) => log.bindGroup("shop"),
  (log) => log.append(entries(5n, 4, 200_000)), // several records
  (log) => log.append(entries(9n, 5, 90_000)), // the segment is full then
  (log) => log.append(entries(14n, 2, 300)),
  (log) => log.purge(2n),
  (log) => log.purge(14n), // with the first segment
  (log) => log.append(entries(16n, 1, 3000)),
  (log) => log.purge(16n),
  (log) => log.append(entries(17n, 2, 100)),
  (log) => log.reset(50n, 1n),
  (log) => log.bindDigest(new Uint8Array(32).fill(7)),
  (log) => log.append(entries(51n, 3, 900)),
];

/** Cuts every change of a log, at a share of the places, and flips a share of the bytes that it leaves. */
export async function cutOpfsLog(seed: number, share: number, counts: OpfsCuts): Promise<void> {
  const random = new Random(seed);
  const crashes = new Crashes(random, share);
  await opened(crashes.root, async (log) => {
    let before = await contentOf(log);
    crashes.take();
    for (const change of CHANGES) {
      await change(log);
      const after = await contentOf(log);
      for (const state of crashes.take()) {
        await checkLeft(state, before, after);
        counts.cuts++;
      }
      await flipBytes(copyOf(crashes.root), after, random, share, counts);
      before = after;
    }
  }, crashes.directory);
}

/** What is left is what was, or what was to be; and it can be gone on with. */
async function checkLeft(state: Files, before: Content, after: Content): Promise<void> {
  const found = await opened(state, async (log) => {
    const content = await contentOf(log);
    await log.append(entries(log.lastIndex + 1n, 1, 40));
    return content;
  });
  const { entries: lines } = found;
  const isPart = after.first === before.first && after.base === before.base && after.group === before.group;
  const [least, most] = isPart ? [before.entries.length, after.entries.length] : [0, 0];
  const allowed = isPart ? [{ ...after, entries: after.entries.slice(0, lines.length) }] : [before, after];
  assert.deepInclude(allowed, found);
  if (isPart) assert.isTrue(least <= lines.length && lines.length <= most, `${lines.length} entries`);
  const again = await opened(state, contentOf);
  assert.deepEqual(again.entries.slice(0, -1), lines);
}

/** A byte that changes on the disk loses no entry silently, and none is other than it was. */
async function flipBytes(root: Files, right: Content, random: Random, share: number, counts: OpfsCuts): Promise<void> {
  for (const [name, node] of root.get("log") as Files) {
    const { bytes } = node as { bytes: Bytes };
    for (let i = 0; i < Math.ceil(12 * share); i++) {
      const at = random.below(bytes.length);
      const files = copyOf(root);
      nodeAt(files, `log/${name}`).bytes[at]! ^= 1 << random.below(8);
      counts.flips++;
      try {
        assert.deepEqual(await opened(files, contentOf), right);
      } catch (error) {
        assert.propertyVal(error, "code", "CORRUPT", `byte ${at} of ${name}`);
      }
    }
  }
}
