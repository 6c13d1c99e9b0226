// The table of systems in src/README.md, cell by cell, of a fixture of each: what is detected, shown, verified, read,
// listed and written.

import {
  blobFiles,
  detectFormat,
  openFormat,
  type SourceFiles,
  type System,
  SYSTEMS,
  WRITABLE_SYSTEMS,
  type WritableSystem,
  writeFormat,
} from "../../src/formats.ts";
import { type Contents, filesOf, fixture } from "../support/format_files.ts";
import { assert, bytesOf, noise, rejects, test } from "../support/harness.ts";

/** What a row says. */
interface RowOfTable {
  readonly path: string;
  /** The details that `inspect` shows. */
  readonly details: readonly string[];
  /** What `verify` has checked. */
  readonly checked: RegExp;
  /** What it says that the format has no checksum of. */
  readonly unchecked?: RegExp;
  /** The spaces of its entries; none of a state that is opaque. */
  readonly spaces?: readonly string[];
}

const TABLE: Readonly<Record<System, RowOfTable>> = {
  hashicorp: {
    ...{ path: "hashicorp/small/snapshots/3-10-1795289823797", details: ["servers", "configurationIndex"] },
    ...{ checked: /CRC-64 and the size/, unchecked: /^meta\.json has no checksum/ },
  },
  consul: {
    ...{ path: "consul/small.snap", details: ["servers", "configurationIndex", "sealed"] },
    ...{ checked: /SHA-256 of meta\.json and state\.bin/, unchecked: /header of gzip/ },
  },
  etcd: {
    ...{ path: "etcd/snap.db", details: ["members", "revision", "clusterVersion", "leases", "buckets"] },
    ...{ checked: /SHA-256 at its end/, spaces: ["key"] },
  },
  "etcd-snap": {
    ...{ path: "etcd/0000000000000002-000000000000000b.snap", details: ["voters", "learners"] },
    checked: /CRC-32C of state, index, term and members/,
  },
  ratis: {
    ...{ path: "ratis/small", details: ["peers", "log", "retained"] },
    ...{ checked: /MD5 of the state/, unchecked: /^term and index are in the file's name only/ },
  },
  redis: {
    ...{ path: "redis/small.rdb", details: ["version", "aux"] },
    ...{ checked: /CRC-64 at its end/, spaces: ["0", "3"] },
  },
  sqlite: {
    ...{ path: "sqlite/small.db", details: ["pageSize", "encoding", "wal", "tables"] },
    ...{ checked: /no page is in two places/, unchecked: /SQLite has no checksums/, spaces: ["people", "kv"] },
  },
  flink: {
    ...{ path: "flink/2.1-heap", details: ["operators", "missing"] },
    ...{ checked: /each key is in the key group/, unchecked: /^content: / },
    spaces: ["numbers/position", "keyed/rules", "keyed/count"],
  },
  jraft: {
    ...{ path: "jraft", details: ["learners", "checksums"] },
    ...{ checked: /frame of the manifest/, unchecked: /^the content and the sizes of the files/ },
  },
  braft: {
    ...{ path: "braft/names/storage", details: ["checksums"] },
    ...{ checked: /frame of the manifest/, unchecked: /^the content and the sizes of the files/ },
  },
};

const nameOf = (path: string) => path === "jraft" ? "snapshot_10" : path.split("/").at(-1)!;

/** The fixture; of JRaft's with files, of which it has the manifest only. */
function filesOfRow({ path }: RowOfTable): SourceFiles {
  const more = path === "jraft" ? { data: noise(9, 1), "small.txt": noise(3, 2) } : {};
  const contents = fixture(path);
  return filesOf(contents instanceof Uint8Array ? contents : { ...contents, ...more } as Contents, nameOf(path));
}

test("formats, table: each system that can be read has a row", () => {
  assert.sameMembers(Object.keys(TABLE), [...SYSTEMS]);
});

for (const [system, row] of Object.entries(TABLE) as [System, RowOfTable][]) {
  test(`formats, table: what is said of ${system}: detect, inspect, verify, read, entries`, async () => {
    const files = filesOfRow(row);
    assert.deepInclude(await detectFormat(files), { system, sure: "certain" });
    const reader = await openFormat(files);
    assert.includeMembers(Object.keys(reader.details), [...row.details]);
    const { ok, checked, unchecked } = await reader.verify().result;
    assert.isTrue(ok);
    assert.match(checked.join("\n"), new RegExp(row.checked, "m"));
    if (row.unchecked === undefined) assert.isEmpty(unchecked);
    else assert.match(unchecked.join("\n"), new RegExp(row.unchecked, "m"));
    for (const { name, source } of reader.manifest.files) {
      if (source === "reference") continue;
      const whole = await bytesOf(reader.file(name));
      assert.lengthOf(whole, await reader.size(name));
      const [start, end] = [whole.length >> 2, (whole.length >> 2) * 3];
      assert.deepEqual(await bytesOf(reader.file(name, { start, end })), whole.slice(start, end), name);
    }
    if (row.spaces === undefined) await rejects(Array.fromAsync(reader.entries()), "UNSUPPORTED");
    else {
      const found = new Set((await Array.fromAsync(reader.entries())).map(({ space }) => space));
      assert.includeMembers([...found], [...row.spaces]);
      const [space] = row.spaces;
      for await (const entry of reader.entries({ space: space! })) assert.strictEqual(entry.space, space);
    }
    await reader.close();
  });
}

for (const system of ["hashicorp", "consul", "ratis", "etcd-snap", "jraft"] satisfies WritableSystem[]) {
  test(`formats, table: ${system} is written from a snapshot of each system, and read again`, async () => {
    for (const row of Object.values(TABLE)) {
      const reader = await openFormat(filesOfRow(row));
      const [file] = reader.manifest.files.filter(({ source }) => source !== "reference").map(({ name }) => name);
      const written: Record<string, Blob> = {};
      let alone: Blob | undefined;
      try {
        for await (const { name, content } of writeFormat(reader, { system, file: file! })) {
          const blob = new Blob([await bytesOf(content) as Uint8Array<ArrayBuffer>]);
          if (name === "") alone = blob;
          else written[name] = blob;
        }
      } catch (error) {
        // Its members are none that the other system could have, and that is said.
        assert.match(String(error), /member|peer|server/, `${row.path}, for ${system}: ${error}`);
        continue;
      }
      const again = await openFormat(blobFiles(alone ?? written, "written"), { system });
      assert.isTrue((await again.verify().result).ok);
      assert.strictEqual(again.meta.lastIncludedIndex, reader.meta.lastIncludedIndex);
      await again.close();
      await reader.close();
    }
  });
}

test("formats, table: no other system can be written", async () => {
  assert.sameMembers([...WRITABLE_SYSTEMS], ["hashicorp", "consul", "ratis", "etcd-snap", "jraft"]);
  const reader = await openFormat(filesOfRow(TABLE.redis));
  for (const system of SYSTEMS.filter((it) => !WRITABLE_SYSTEMS.some((other) => it === other))) {
    await rejects(Array.fromAsync(writeFormat(reader, { system: system as WritableSystem })), "MALFORMED");
  }
  await reader.close();
});
