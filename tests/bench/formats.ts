// Verifying snapshots of other systems, beside the Go programs that wrote their formats, in the same rounds: a
// FileSnapshotStore, an archive as Consul's, a database of etcd; and metadata of Flink of 10,000 states. Each is verified
// by a process of its own, which says how long it took, and the peak of its memory.
//
// formats [MIB = 1024] [ROUNDS = 3]

import { execFile } from "node:child_process";
import { copyFile, mkdir, stat, truncate, writeFile } from "node:fs/promises";
import process from "node:process";
import { promisify } from "node:util";
import type { SnapshotReader } from "../../mod.ts";
import { type WritableSystem, writeFormat } from "../../src/formats.ts";
import { defaultDisk } from "../../src/fs/mod.ts";
import { writeFiles } from "../../src/format/disk/mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { inTemp } from "../support/temp.ts";
import { allOutput, startModule } from "./child.ts";
import { flinkMetadata } from "./flink_metadata.ts";
import { median, repeated, report, Rounds } from "./report.ts";

const MiB = 1024 * 1024;
const SIZE = Number(process.argv[2] ?? 1024) * MiB;
const ROUNDS = Number(process.argv[3] ?? 3);
const STATES = 10_000;
/** The project's root: of a bundle too, which lies one folder below it. */
const ROOT = new URL(import.meta.url.endsWith(".mjs") ? ".." : "../..", import.meta.url).pathname;
const run = promisify(execFile);

/** Bytes that are compressed to half of them, as a state of texts and numbers is. */
function halfRandom(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let x = 1;
  for (let i = 0; i < length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    bytes[i] = 97 + (x & 15);
  }
  return bytes;
}

/** A snapshot whose state is a block over and over, which none of the checks notices. */
async function snapshotOf(size: number, root: string): Promise<SnapshotReader> {
  const storage = await DirectoryStorage.open(root);
  const writer = await storage.create();
  await repeated(halfRandom(16 * MiB - 1), size).pipeTo(writer.file("state"));
  await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: ["n1:1:0:0"] });
  return await storage.open();
}

/** What a process says that verified something. */
interface Said {
  readonly seconds: number;
  readonly peak: number;
}

const verify = async (...path: string[]) => JSON.parse(await allOutput(startModule("formats_child", ...path))) as Said;

/** The judge of the tests, built where there is Go. */
async function judge(): Promise<string | undefined> {
  if (!await run("go", ["version"]).then(() => true, () => false)) return undefined;
  const target = `${ROOT}/.runtimes/peers`;
  await mkdir(target, { recursive: true });
  await run("go", ["build", "-mod=readonly", "-o", `${target}/judge`, "."], { cwd: `${ROOT}/tests/interop/go` });
  return `${target}/judge`;
}

await inTemp(async (directory) => {
  const go = await judge();
  const paths: Record<string, string> = {};
  const reader = await snapshotOf(SIZE, `${directory}/ours`);
  for (const [what, system] of [["store", "hashicorp"], ["archive", "consul"]] as [string, WritableSystem][]) {
    paths[what] = `${directory}/${what}`;
    await writeFiles(defaultDisk(), paths[what], writeFormat(reader, { system }));
  }
  await reader.close();
  if (go !== undefined) {
    paths.db = `${directory}/db`;
    await run(go, ["db-fill", paths.db, String(Math.floor(SIZE * 0.72))]); // the rest are the pages around the values
    // etcdutl does not look at the digest: without it both check the same.
    paths["db, pages alone"] = `${directory}/pages`;
    await copyFile(paths.db, paths["db, pages alone"]);
    await truncate(paths["db, pages alone"], (await stat(paths.db)).size - 32);
  }
  await mkdir(`${directory}/flink`);
  await writeFile(`${directory}/flink/_metadata`, flinkMetadata(STATES));
  const peaks: Record<string, number[]> = {};
  const ours = (what: string, path: string) => async () => {
    const { seconds, peak } = await verify(path);
    (peaks[what] ??= []).push(peak);
    return seconds;
  };
  const works: Record<string, () => Promise<number>> = {};
  for (const [what, path] of Object.entries(paths)) {
    works[what] = ours(what, path);
    if (go === undefined) continue;
    const args = ["verify", what.split(",")[0]!, path];
    works[`Go, ${what}`] = async () => (JSON.parse((await run(go, args)).stdout) as Said).seconds;
  }
  works.flink = ours("flink", `${directory}/flink`);
  if (paths.db !== undefined) works["SHA-256 alone"] = async () => (await verify(paths.db!, "sha256")).seconds;
  const rounds = new Rounds();
  await rounds.run(ROUNDS, works);
  // The same modules, at work on next to nothing.
  const own = (await verify(`${ROOT}/tests/fixtures/redis/small.rdb`)).peak;
  report("formats", "the runtime's own memory", own, "MiB");
  for (const what of Object.keys(paths)) {
    report("formats", `verify, ${what}`, SIZE / MiB / rounds.median(what), "MiB/s");
    if (`Go, ${what}` in works) {
      const ratio = rounds.ratio(`Go, ${what}`, what);
      if (what !== "db") {
        report("formats", `${what} / Go's`, ratio, "x", { atLeast: what.startsWith("db") ? 0.7 : 1 });
      } else {
        // Go does not hash it. Hashing alone takes about as long as all that Go does.
        report("formats", "db / Go's, which does not look at its SHA-256", ratio, "x");
        const hash = rounds.ratio("SHA-256 alone", "db");
        report("formats", "db / Go's and SHA-256 alone, one after the other", ratio + hash, "x", { atLeast: 0.7 });
      }
    }
    report("formats", `memory above that, ${what}`, median(peaks[what]!) - own, "MiB", { atMost: 64 });
  }
  report("formats", `verify, Flink's metadata of ${STATES} states`, rounds.median("flink"), "s", { atMost: 1 });
  report("formats", "memory above that, flink", median(peaks.flink!) - own, "MiB", { atMost: 64 });
  rounds.reportNoise("formats");
});
