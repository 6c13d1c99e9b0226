// A log as a stream, and the segments of a backup: bytes changed, fields changed with their digests made right again.

import type { LogEntry } from "../../../mod.ts";
import { encodeSegment, openSegment, readSegment } from "../../../src/backup/segment.ts";
import { baseDigest } from "../../../src/log/chain.ts";
import { encodeBatch, encodeEnd, encodeHeader, encodeHeartbeat, LogReader } from "../../../src/log/mod.ts";
import { concat, equal } from "../../../src/stream/mod.ts";
import type { Random } from "../../support/random.ts";
import { mutate, someBytes, someNumber } from "../mutate.ts";
import { law, must, type Target } from "../target.ts";

const FIRST = 7n;
const PREVIOUS = baseDigest(FIRST - 1n, 2n);

/** Entries that follow one another, or nearly. */
function someEntries(random: Random, first: bigint): LogEntry[] {
  const isOdd = random.chance(0.2);
  let [index, term] = [first, 2n];
  return Array.from({ length: 1 + random.below(5) }, () => {
    if (random.chance(0.2)) term += 1n;
    const entry: LogEntry = {
      index: isOdd && random.chance(0.3) ? someNumber(random) & (1n << 62n) - 1n : index,
      term: isOdd && random.chance(0.3) ? 0n : term,
      data: someBytes(random, 40),
      ...(random.chance(0.5) && { time: random.below(1e9) }),
      ...(random.chance(0.2) && { configuration: { peers: ["a", "b"], ...(random.chance(0.5) && { oldPeers: [] }) } }),
    };
    index++;
    return entry;
  });
}

/** A stream, and the entries in it. */
function someStream(random: Random): { readonly bytes: Uint8Array; readonly entries: readonly LogEntry[] } {
  const parts = [
    encodeHeader({ group: random.pick([undefined, "users"]), first: FIRST, previous: PREVIOUS, term: 2n }),
  ];
  const entries: LogEntry[] = [];
  let [next, digest] = [FIRST, PREVIOUS];
  for (let i = random.below(4); i > 0; i--) {
    const some = someEntries(random, next);
    const batch = encodeBatch(some, digest);
    parts.push(batch.bytes);
    if (random.chance(0.3)) parts.push(encodeHeartbeat({ last: batch.last, term: TERM, time: TIME }));
    entries.push(...some);
    ({ digest } = batch);
    next = batch.last + 1n;
  }
  if (random.chance(0.8)) parts.push(encodeEnd({ last: next - 1n, digest }));
  return { bytes: concat(parts), entries };
}

/** The term and the time of every heartbeat. */
const [TERM, TIME] = [2n, 5];

/** What a reader hands on, given all pieces. */
function read(pieces: readonly Uint8Array[]): { readonly entries: LogEntry[]; readonly reader: LogReader } {
  const reader = new LogReader({ first: FIRST, previous: PREVIOUS, group: "users", source: "here" });
  const entries: LogEntry[] = [];
  for (const piece of pieces) {
    for (const record of reader.read(piece)) {
      if (record.kind === "batch") entries.push(...record.batch.entries);
      if (record.kind !== "heartbeat") continue;
      const { last, term, time } = record.heartbeat;
      law(last < reader.next && term === TERM && time === TIME, "a heartbeat is what was sent");
    }
  }
  return { entries, reader };
}

function cut(bytes: Uint8Array, random: Random): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 1 + random.below(60);
    pieces.push(bytes.subarray(at, end));
    at = end;
  }
  return pieces;
}

export const logStream: Target = {
  name: "log-stream",
  share: 60,
  codes: ["MALFORMED", "UNSUPPORTED", "CORRUPT", "STALE", "FORBIDDEN"],
  async prepare() {
    await Promise.resolve();
    return async (random) => {
      const { bytes, entries } = someStream(random);
      const isChanged = random.chance(0.6);
      const sent = isChanged ? mutate(bytes, random) : bytes;
      const { entries: taken, reader } = read(cut(sent, random));
      // A reader hands on nothing that the digests of the history do not prove.
      law(taken.length <= entries.length, "no more is taken than was sent");
      for (const [i, entry] of taken.entries()) {
        const { index, data, term, time } = entries[i]!;
        law(
          entry.index === index && entry.term === term && entry.time === time && equal(entry.data, data),
          `entry ${index} is what was sent`,
        );
        law(entry.index === FIRST + BigInt(i), "they follow one another");
      }
      if (!reader.isWhole) return;
      const object = await encodeSegment(sent, random.pick(["none", "gzip"]));
      const opened = await must("a segment is opened again", () => openSegment(object, "key"));
      law(equal(opened, sent), "and is the same");
      const options = { first: FIRST, previous: PREVIOUS, source: "key" };
      law([...readSegment(opened, options)].flatMap((batch) => batch.entries).length === taken.length, "all are in it");
      const other = mutate(object, random);
      if (equal(other, object)) return;
      law(await openSegment(other, "key").then(() => false, () => true), "a changed segment is refused");
    };
  },
};
