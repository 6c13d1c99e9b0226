// Tables and logs of RocksDB of which bytes were changed, mostly with their checks made anew: what stands behind a check
// is parsed, too.

import { maskedCrc } from "../../../src/format/bytes/crc.ts";
import { Layout } from "../../../src/format/flink/layout.ts";
import { familiesOf, recordsOf } from "../../../src/format/flink/rocksdb/log.ts";
import { Table } from "../../../src/format/flink/rocksdb/table.ts";
import { fixture, inMemory } from "../../support/format_files.ts";
import { BYTES, mutate } from "../mutate.ts";
import type { Target } from "../target.ts";

/** Bytes of a seed; where a check is, and of which bytes it is. */
interface Seed {
  readonly bytes: Uint8Array;
  readonly checks: readonly { readonly at: number; readonly from: number; readonly to: number }[];
}

/** The blocks of a table are one behind the other, each with its compression and its check. */
function blocksOf(bytes: Uint8Array): Seed["checks"] {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const checks: { at: number; from: number; to: number }[] = [];
  for (let from = 0, to = 1; to + 4 <= bytes.length; to++) {
    if (maskedCrc(bytes.subarray(from, to)) !== view.getUint32(to, true)) continue;
    checks.push({ at: to, from, to });
    from = to += 4;
  }
  return checks;
}

/** The records of a log that is shorter than a block of one: check, length, type, bytes. */
function recordsIn(bytes: Uint8Array): Seed["checks"] {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const checks: { at: number; from: number; to: number }[] = [];
  for (let at = 0; at < bytes.length;) {
    const to = at + 7 + view.getUint16(at + 4, true);
    checks.push({ at, from: at + 6, to });
    at = to;
  }
  return checks;
}

function isLog(bytes: Uint8Array): boolean {
  try {
    return bytes.length > 100 && [...recordsOf(bytes, "log")].length > 0;
  } catch {
    return false;
  }
}

/** Whatever is taken is read to its end; whatever is refused, is refused with a `SnapshotError`. */
export const rocksdb: Target = {
  name: "formats-rocksdb",
  share: 4,
  codes: ["CORRUPT", "MALFORMED", "UNSUPPORTED"],
  prepare() {
    const all = Object.values(fixture("flink/1.20-rocksdb") as Record<string, Uint8Array>);
    const logs: Seed[] = all.filter(isLog).map((bytes) => ({ bytes, checks: recordsIn(bytes) }));
    const tables: Seed[] = all.map((bytes) => bytes.length < 10_000 ? { bytes, checks: blocksOf(bytes) } : undefined)
      .filter((seed) => seed !== undefined && seed.checks.length > 1) as Seed[];
    if (logs.length === 0 || tables.length === 0) throw new Error("The fixture has no logs, or no tables");
    return async (random) => {
      const isTable = random.chance(0.7);
      const { bytes, checks } = random.pick(isTable ? tables : logs);
      let changed = bytes.slice();
      if (random.chance(0.2)) changed = mutate(bytes, random).slice();
      else {
        for (let times = random.pick([1, 1, 2, 4]); times > 0; times--) {
          const { from, to } = random.pick(checks);
          changed[from + random.below(to - from)] = random.chance(0.5) ? random.pick(BYTES) : random.below(256);
        }
        const view = new DataView(changed.buffer);
        for (const { at, from, to } of checks) view.setUint32(at, maskedCrc(changed.subarray(from, to)), true);
      }
      if (!isTable) return void familiesOf(changed, "log");
      const handle = { path: "table", relative: true, size: changed.length };
      const layout = new Layout(inMemory({ table: changed }, "job"), { metadata: "_metadata", path: "" });
      const table = await Table.open(layout, handle, undefined);
      await table.check();
      await Array.fromAsync(table.entries());
    };
  },
};
