// Snapshots of other systems on the command line, as the clumsiest of its users names them.

import { cp, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import process from "node:process";
import { gzipSync } from "node:zlib";
import { serveBraft } from "../../src/braft.ts";
import { openFormat } from "../../src/formats.ts";
import { sourceFiles } from "../../src/fs.ts";
import { FIXTURES } from "../support/format_files.ts";
import { assert, closing, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { run, runHere, serving, text } from "./support.ts";

const RDB = `${FIXTURES}/redis/small.rdb`;

test("cli: what another system wrote is served, and pulled; of a node of braft what it offers", () =>
  inTemp(async (directory) => {
    const server = await serving([RDB]);
    const pulled = await run(["pull", server.url, `${directory}/pulled`]);
    assert.match(text(pulled), /^snapshot 1: /, pulled.stderr);
    assert.strictEqual(await server.stop(), 0);
    const reader = await openFormat(await sourceFiles(`${FIXTURES}/braft/names/storage`));
    const node = closing(await serveBraft({ port: 0 }));
    const uri = node.offer(reader);
    const copied = await runHere(["pull", uri, `${directory}/copied`, "--json"]);
    assert.deepInclude(JSON.parse(text(copied)), { index: "77" }, copied.stderr);
    assert.strictEqual((await runHere(["verify", `${directory}/copied`])).code, 0);
    assert.strictEqual((await runHere(["pull", uri, uri, `${directory}/both`])).code, 2);
    await reader.close();
  }));

test("cli: what cannot be written for another system is no damage, and is not made", () =>
  inTemp(async (directory) => {
    const convert = (from: string, format: string) =>
      runHere(["convert", `${FIXTURES}/${from}`, `${directory}/${format}`, "--format", format]);
    const several = await convert("flink/2.1-heap", "ratis");
    assert.deepEqual([several.code, /has 4 files/.test(several.stderr)], [1, true], several.stderr);
    const members = await convert("consul/small.snap", "etcd-snap");
    assert.deepEqual([members.code, /is no member of etcd/.test(members.stderr)], [1, true], members.stderr);
    assert.isEmpty(await readdir(directory));
    assert.strictEqual((await convert("redis/small.rdb", "etcd-snap")).code, 0);
    assert.strictEqual((await runHere(["verify", `${directory}/etcd-snap`])).code, 0, "though Redis has no terms");
  }));

test("cli: a directory with snapshots of two systems is opened as neither; each of its parts is", () =>
  inTemp(async (directory) => {
    for (const part of ["flink/2.1-heap", "hashicorp/small"]) {
      await cp(`${FIXTURES}/${part}`, `${directory}/${part.split("/")[0]}`, { recursive: true });
    }
    const { code, stderr } = await runHere(["ls", directory]);
    assert.deepEqual(
      [code, /several systems, flink and hashicorp: name the directory/.test(stderr)],
      [1, true],
      stderr,
    );
    for (const part of ["flink", "hashicorp"]) {
      assert.strictEqual((await runHere(["ls", `${directory}/${part}`])).code, 0);
    }
  }));

test("cli: damage ends with 3 and nothing is made of it; what is only packed, or a link to nothing, with 1", () =>
  inTemp(async (directory) => {
    const bytes = new Uint8Array(await readFile(RDB));
    const files: Record<string, Uint8Array> = {
      "packed twice": gzipSync(await readFile(`${FIXTURES}/consul/small.snap`)),
      "packed": gzipSync(bytes),
      "packed, and short": gzipSync(bytes.subarray(0, 10)),
    };
    for (const [name, content] of Object.entries(files)) await writeFile(`${directory}/${name}`, content);
    await symlink("/nowhere", `${directory}/link`);
    for (const name of [...Object.keys(files), "link"]) {
      const { code, stderr } = await runHere(["verify", `${directory}/${name}`]);
      assert.strictEqual(code, 1, `${name}: ${stderr}`);
    }
    await writeFile(`${directory}/damaged`, bytes.with(60, 0xff));
    await mkdir(`${directory}/made`);
    for (const args of [["extract", `${directory}/made/x`], ["convert", `${directory}/made/y`, "--format", "ratis"]]) {
      const [name, ...more] = args;
      assert.strictEqual((await runHere([name!, `${directory}/damaged`, ...more])).code, 3, name);
    }
    assert.strictEqual((await runHere(["archive", `${directory}/damaged`])).code, 3);
    assert.isEmpty(await readdir(`${directory}/made`));
    await symlink(`${process.cwd()}/${RDB}`, `${directory}/dump.rdb`);
    assert.strictEqual((await runHere(["verify", `${directory}/dump.rdb`])).code, 0, "a link that somebody names");
  }));
