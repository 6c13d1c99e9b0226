/**
 * Redis: RDB files.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { crc64, type RunningCrc } from "../bytes/crc.ts";
import { PieceReader } from "../bytes/piece_reader.ts";
import { readBlocks, readExactly, readStart, type SourceFiles, withFile } from "../files.ts";
import type { Format, FormatEntry } from "../format.ts";
import { ForeignReader, type RunningCheck, type Verification } from "../reader.ts";
import { MAX_VERSION, RdbParser } from "./rdb.ts";

/** The name of the file in the snapshot. */
const FILE = "dump.rdb";
const HEAD = 9;
const TRAILER = 8;
/** The version from which on there is a CRC. */
const WITH_CRC = 5;

async function versionOf(files: SourceFiles): Promise<number | undefined> {
  const start = new TextDecoder().decode(await readStart(files, files.entries[0]!.name, HEAD));
  return /^REDIS\d{4}$/.test(start) ? Number(start.slice(5)) : undefined;
}

/** Opens the keys of a file. */
class OpenRdb {
  readonly parser: RdbParser;
  readonly reader: PieceReader;
  readonly crc: RunningCrc = crc64("jones");
  /** The number of bytes that were read. */
  read = 0;

  constructor(files: SourceFiles, version: number, signal?: AbortSignal) {
    const { name, size } = files.entries[0]!;
    const end = Math.max(version < WITH_CRC ? size : size - TRAILER, HEAD);
    this.reader = new PieceReader(this.#pieces(readBlocks(files, name, 0, end, { signal })), name);
    this.parser = new RdbParser(this.reader, name);
  }

  async *#pieces(blocks: AsyncGenerator<Uint8Array, void, undefined>): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const bytes of blocks) {
      this.crc.update(bytes);
      const head = Math.max(HEAD - this.read, 0);
      this.read += bytes.length;
      yield bytes.subarray(head);
    }
  }
}

async function versionKnown(files: SourceFiles): Promise<number> {
  const version = await versionOf(files);
  const { name } = files.entries[0]!;
  if (version === undefined) {
    throw new SnapshotError("MALFORMED", `${JSON.stringify(name)} is no RDB file`, { file: name });
  }
  if (version >= 1 && version <= MAX_VERSION) return version;
  throw new SnapshotError(
    "UNSUPPORTED",
    `${JSON.stringify(name)} is of RDB version ${version}; up to ${MAX_VERSION} are known`,
    {
      file: name,
      expected: MAX_VERSION,
      actual: version,
    },
  );
}

/** The CRC at the end; 0 if it was turned off. */
async function trailerOf(files: SourceFiles, version: number): Promise<bigint> {
  const { name } = files.entries[0]!;
  if (version < WITH_CRC) return 0n;
  const bytes = await withFile(files, name, async (file) => {
    if (file.size > HEAD + TRAILER) return await readExactly(file, file.size - TRAILER, file.size, name);
    throw new SnapshotError("CORRUPT", `${JSON.stringify(name)} was cut short`, { file: name });
  });
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
}

async function verify(files: SourceFiles, version: number, run: Verification): Promise<void> {
  await run.attempt(FILE, async () => {
    const { name } = files.entries[0]!;
    const rdb = new OpenRdb(files, version, run.signal);
    const counts = new Map<string, number>();
    let counted = 0;
    try {
      for await (const { type, database } of rdb.parser.keys(false)) {
        const what = `database ${database}, ${type}`;
        if (counts.size < 1000) counts.set(what, (counts.get(what) ?? 0) + 1);
        if (rdb.read > counted) run.tracker.add(rdb.read - counted);
        counted = rdb.read;
      }
      run.tracker.add(rdb.read - counted);
    } finally {
      await rdb.reader.close();
    }
    for (const [what, count] of counts) run.checked(`${what}: ${count} keys`);
    compareCrc(name, await trailerOf(files, version), rdb.crc.value);
  });
}

function compareCrc(name: string, expected: bigint, actual: bigint): void {
  if (expected === 0n || expected === actual) return;
  throw new SnapshotError("CORRUPT", `${JSON.stringify(name)} does not have its CRC-64: it was changed or damaged`, {
    file: name,
    expected,
    actual,
  });
}

/** Compares the CRC of all but the trailer with that. */
function runningCrc(name: string, size: number, trailer: bigint): RunningCheck {
  const crc = crc64("jones");
  let left = size - TRAILER;
  return {
    update(bytes) {
      crc.update(bytes.subarray(0, left));
      left = Math.max(left - bytes.length, 0);
    },
    end: () => compareCrc(name, trailer, crc.value),
  };
}

async function* entries(
  files: SourceFiles,
  version: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<FormatEntry, void, undefined> {
  const rdb = new OpenRdb(files, version, signal);
  try {
    for await (const { database, key, value, expires } of rdb.parser.keys(true)) {
      if (value === undefined) continue;
      yield { space: String(database), key, value, ...(expires !== undefined && { expires }) };
    }
  } finally {
    await rdb.reader.close();
  }
}

/**
 * Redis's RDB files. `entries` gives strings as bytes, and hashes as pairs of bytes, behind which stands when the field
 * expires, if it does; others are passed over.
 */
export const redis: Format = {
  system: "redis",
  async detect(files) {
    if (files.isDirectory || files.entries.length === 0) return undefined;
    const version = await versionOf(files);
    return version === undefined
      ? undefined
      : { system: "redis", sure: "certain", description: `Redis RDB, version ${version}` };
  },
  async list(files) {
    await versionKnown(files);
    return [{ index: 1n, term: 0n, ...files.entries[0]! }];
  },
  async open(files, index) {
    const version = await versionKnown(files);
    const { name, size } = files.entries[0]!;
    if (index !== undefined && index !== 1n) {
      throw new SnapshotError("NOT_FOUND", "An RDB file has no index: it counts as 1", { index });
    }
    const rdb = new OpenRdb(files, version);
    const keys = rdb.parser.keys(false);
    try {
      await keys.next(); // what is said of the server stands before the first key
    } catch (error) {
      if (!(error instanceof SnapshotError) || error.code === "UNAVAILABLE") throw error; // verify says what is wrong
    } finally {
      await keys.return();
      await rdb.reader.close();
    }
    const trailer = size >= HEAD + TRAILER + 1 ? await trailerOf(files, version) : 0n;
    const hasCrc = trailer !== 0n;
    return await ForeignReader.of({
      system: "redis",
      meta: { lastIncludedIndex: 1n, lastIncludedTerm: 0n, peers: [] },
      files: [{
        name: FILE,
        size,
        read: (start, end, options) => readBlocks(files, name, start, end, options),
        ...(hasCrc && { check: () => runningCrc(name, size, trailer) }),
      }],
      details: { version, aux: rdb.parser.aux, hasCrc },
      checked: ["that all keys can be parsed", ...(hasCrc ? ["the CRC-64 at its end"] : [])],
      unchecked: hasCrc ? [] : ["keys and values: the CRC-64 was turned off, or is of before Redis 2.6"],
      verify: (verification) => verify(files, version, verification),
      entries: ({ signal }) => entries(files, version, signal),
    });
  },
};
