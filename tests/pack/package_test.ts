// The npm package as it is installed: what is in it, what tools say of it, and how large what is made with it is.

import { assert, test } from "../support/harness.ts";
import { runtime } from "../suites/runtimes.ts";
import { testGuides } from "./guides.ts";
import { command } from "./npm_package.ts";
import { packed, tool, TOOLS } from "./project.ts";

async function filesOf(directory: string, below = ""): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(`${directory}/${below}`)) {
    if (isDirectory) found.push(...await filesOf(directory, `${below}${name}/`));
    else found.push(`${below}${name}`);
  }
  return found;
}

test("package: it has what it needs, and nothing of the tests, of JSR, or of the machine that made it", async () => {
  const { root } = await packed();
  const files = await filesOf(root);
  assert.isEmpty(files.filter((file) => /(^|\/)tests\/|_test\.|\.ts$/.test(file) && !file.endsWith(".d.ts")));
  for (const file of files.filter((file) => /\.(js|map|d\.ts)$/.test(file))) {
    const text = await Deno.readTextFile(`${root}/${file}`);
    const code = file.endsWith(".map") ? JSON.stringify(JSON.parse(text).sources) : text;
    assert.notMatch(code, /from "(@std|@jsr|jsr:|npm:|file:)|file:\/\/\/(?!DIR)|sourceMappingURL=data:/, file);
    assert.notInclude(code, Deno.cwd(), file);
    if (file.endsWith(".js") && !file.startsWith("bin/")) assert.include(files, `${file}.map`);
  }
  const manifest = JSON.parse(await Deno.readTextFile(`${root}/package.json`));
  assert.strictEqual(manifest.sideEffects, false);
  assert.deepEqual(manifest.bin, { snapstream: "./bin/snapstream.js" });
  assert.isString(manifest.engines.node);
  assert.isNotEmpty(manifest.description);
  assert.isNotEmpty(manifest.keywords);
  const all = { ...manifest.dependencies, ...manifest.peerDependencies };
  assert.isEmpty(Object.keys(all).filter((name) => name.includes("std")));
  const own = Object.keys(manifest.dependencies);
  assert.isEmpty(own.filter((name) => /^@nats-io|^@opentelemetry|^preact$|^uplot$/.test(name)), "not for everybody");
  assert.hasAllKeys(manifest.peerDependenciesMeta, Object.keys(manifest.peerDependencies));
});

test("package: what only Node has a use for is in the build for Node only", async () => {
  const { root } = await packed();
  const files = (await filesOf(root)).filter((file) => file.endsWith(".js"));
  const having = [];
  for (const file of files) if (/undici/.test(await Deno.readTextFile(`${root}/${file}`))) having.push(file);
  assert.match(having.join(" "), /^node\/chunks\/\w+\.js$/);
});

/** The entries by the types that they need. */
const ANYWHERE = ["", "/extend", "/object", "/durable-object", "/opfs", "/formats", "/cbor", "/page"];
const ON_NODE = ["/fs", "/sqlite", "/serve", "/testing", "/cli", "/protobuf"];

const WORLDS: Readonly<Record<string, { types: string[]; lib: string[]; entries: string[] }>> = {
  "types of Node only": { types: ["node"], lib: ["es2024"], entries: [...ANYWHERE, ...ON_NODE] },
  "types of the DOM only": { types: [], lib: ["es2022", "dom", "dom.iterable"], entries: ANYWHERE },
  "types of Workers only": { types: ["@cloudflare/workers-types"], lib: ["es2022"], entries: ANYWHERE },
};

for (const version of Object.keys(TOOLS).filter((name) => name.startsWith("ts"))) {
  for (const [world, { types, lib, entries }] of Object.entries(WORLDS)) {
    for (const [module, moduleResolution] of [["nodenext", "nodenext"], ["esnext", "bundler"]] as const) {
      if (moduleResolution === "bundler" && ["ts5.8", "ts5.9"].includes(version)) continue; // both ends do
      test(`package: its types compile with TypeScript ${version.slice(2)}, ${moduleResolution}, ${world}`, async () => {
        const project = await packed();
        const name = `${version}-${moduleResolution}-${types.join().replaceAll(/\W/g, "")}`;
        const source = entries.map((entry, i) =>
          `import * as it${i} from "@snapstream/snapstream${entry}"; export { it${i} };\n`
        );
        await Deno.writeTextFile(`${project.directory}/${name}.ts`, source.join(""));
        await Deno.writeTextFile(
          `${project.directory}/${name}.json`,
          JSON.stringify({
            compilerOptions: {
              ...{ types, lib, module, moduleResolution, target: "es2022", strict: true, noEmit: true },
              ...{ exactOptionalPropertyTypes: true, skipLibCheck: false },
            },
            files: [`${name}.ts`],
          }),
        );
        await tool(project, `${version}/lib/tsc.js`, "-p", `${name}.json`);
      });
    }
  }
}

test("package: where its README points is in it, with the guides", async () => {
  const { root } = await packed();
  const readme = await Deno.readTextFile(`${root}/README.md`);
  const links = [...readme.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)].map(([, path]) => path!);
  assert.include(links, "mod.d.ts");
  for (const link of links) await Deno.stat(`${root}/${link}`);
  assert.include(await Deno.readTextFile(`${root}/mod.d.ts`), "## A state machine of your own");
});

const PROGRAM = `
import { KeyValueMachine, MemoryLog, MemoryStorage, Replica, utf8Codec } from "@snapstream/snapstream";
import { cborCodec } from "@snapstream/snapstream/cbor";
import { DirectoryStorage } from "@snapstream/snapstream/fs";
import { S3Bucket } from "@snapstream/snapstream/object";
import { storageConformance } from "@snapstream/snapstream/testing";

const storage = await DirectoryStorage.open(process.argv[2]);
const machine = new KeyValueMachine(utf8Codec());
const replica = await Replica.open({ machine, log: new MemoryLog(), storage });
await replica.propose(machine.put("hello", "world"));
const { snapshot } = await replica.snapshot();
await replica.close();
console.log(
  [snapshot?.meta.lastIncludedIndex, cborCodec().name, typeof S3Bucket, storageConformance.length].join(),
);
`;

for (const name of ["node22", "node24", "bun"] as const) {
  test(`package: a program of a user runs on ${name}, and says nothing that it was not told to say`, async () => {
    const { directory } = await packed();
    await Deno.writeTextFile(`${directory}/program.js`, PROGRAM);
    const args = [`${directory}/program.js`, `${directory}/snapshots-${name}`];
    const { code, stdout, stderr } = await new Deno.Command(await runtime(name), { args, cwd: directory }).output();
    const decoder = new TextDecoder();
    assert.deepEqual([code, decoder.decode(stdout), decoder.decode(stderr)], [0, "1,cbor,function,1\n", ""]);
  });
}

/** Opens a replica whose triggers have timers, one of them after a save that has failed, and closes nothing. */
const UNCLOSED = `
import { KeyValueMachine, MemoryLog, MemoryStorage, Replica, utf8Codec } from "LIBRARY";
const machine = new KeyValueMachine(utf8Codec());
const storage = new MemoryStorage();
const replica = await Replica.open({ machine, log: new MemoryLog(), storage, triggers: { interval: 60_000 } });
await replica.propose(machine.put("hello", "world"));
storage.create = () => Promise.reject(new Error("not now"));
await replica.snapshot().result.catch((error) => console.log(error.message));
`;

for (const name of ["node24", "bun", "deno"] as const) {
  test(`package: a replica that is not closed keeps no process alive: ${name}`, async () => {
    const { directory } = await packed();
    const library = name === "deno" ? new URL("../../mod.ts", import.meta.url).href : "@snapstream/snapstream";
    const program = `${directory}/unclosed-${name}.js`;
    await Deno.writeTextFile(program, UNCLOSED.replace("LIBRARY", library));
    const deno = ["run", "--quiet", "--no-check", `--config=${new URL("../../deno.json", import.meta.url).pathname}`];
    const { code, stdout } = await new Deno.Command(name === "deno" ? Deno.execPath() : await runtime(name), {
      args: name === "deno" ? [...deno, "--no-lock", program] : [program],
      cwd: directory,
    }).output(); // it never ends if a timer holds it
    assert.deepEqual([code, new TextDecoder().decode(stdout)], [0, "not now\n"]);
  });
}

test("package: the command is there", async () => {
  const project = await packed();
  const { bin } = JSON.parse(await Deno.readTextFile(`${project.root}/package.json`));
  const link = await Deno.realPath(`${project.directory}/node_modules/.bin/snapstream`);
  assert.strictEqual(link, await Deno.realPath(`${project.root}/${bin.snapstream}`));
  assert.match(await tool(project, "@snapstream/snapstream/bin/snapstream.js", "help"), /serve/);
  const old = `data:text/javascript,Object.defineProperty(process.versions, "node", { value: "20.19.0" })`;
  const { code, stderr } = await new Deno.Command(await runtime("node24"), {
    args: ["--import", old, link],
    cwd: project.directory,
  }).output();
  const said = "snapstream needs Node 22.13 or newer, and this is 20.19.0\n";
  assert.deepEqual([code, new TextDecoder().decode(stderr)], [1, said]);
});

test("package: NATS is not installed for those who use none, and who opens a log in it is told what to install", async () => {
  const { directory } = await packed();
  await Deno.writeTextFile(
    `${directory}/nats.js`,
    `import { JetStreamBucket, JetStreamLog } from "@snapstream/snapstream/jetstream";
     const connection = new Proxy({}, { get: (_, name) => name === "then" ? undefined : () => ({}) });
     const opened = [JetStreamLog.open(connection, { stream: "a", member: "b" }), JetStreamBucket.open(connection, { bucket: "a" })];
     for (const open of opened) await open.catch(({ code, message }) => console.log(code, message));`,
  );
  for (const name of ["node24", "bun"] as const) {
    const said = await command(await runtime(name), [`${directory}/nats.js`], directory);
    assert.lengthOf(
      said.match(/^UNSUPPORTED .*install @nats-io\/nats-core, @nats-io\/jetstream and @nats-io\/kv/gm)!,
      2,
    );
  }
});

/** The packages that the core opens; what hashes at once where there is no native module. */
const OPENED = ["@noble/hashes/sha2.js"];

test("package: on Node, an import of the library opens few files, and hardly another package", async () => {
  const { root } = await packed();
  const seen = new Set<string>();
  const visit = async (file: string) => {
    if (seen.has(file)) return;
    seen.add(file);
    for (
      const [, from] of (await Deno.readTextFile(file)).matchAll(/^(?:import|export|\}) ?(?:[^"';]*from )?"([^"]+)"/gm)
    ) {
      if (OPENED.includes(from!)) continue;
      assert.match(from!, /^\.{1,2}\//, `${file} imports ${from}`);
      await visit(new URL(from!, `file://${file}`).pathname);
    }
  };
  await visit(`${root}/node/mod.js`);
  assert.isAtLeast(seen.size, 2);
  assert.isAtMost(seen.size, 30);
});

/** Bytes, minified and with gzip, of what is made with the package; within 5 %. */
const SIZES: Readonly<Record<string, readonly [source: string, bytes: number]>> = {
  "a CowMap": [`export { CowMap } from "@snapstream/snapstream";`, 2640],
  "a pull into memory": [`export { MemoryStorage, pull } from "@snapstream/snapstream";`, 35_800],
  "a handler": [`export { snapshotHandler } from "@snapstream/snapstream";`, 27_000],
  "the room of the example": [
    `export { DurableReplica } from "@snapstream/snapstream/durable-object";
     export { ObjectStorage, R2BindingBucket } from "@snapstream/snapstream/object";`,
    88_900,
  ],
};

async function gzipped(bytes: Uint8Array<ArrayBuffer>): Promise<number> {
  return (await new Response(new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"))).bytes()).length;
}

for (const [what, [source, expected]] of Object.entries(SIZES)) {
  test(`package: the size of ${what}, with esbuild`, async () => {
    const { directory } = await packed();
    const name = `${directory}/size-${expected}`;
    await Deno.writeTextFile(`${name}.js`, source);
    const flags = ["--bundle", "--minify", "--format=esm", "--platform=neutral", "--log-level=error"];
    await command(`${directory}/node_modules/esbuild/bin/esbuild`, [
      ...[`${name}.js`, ...flags, `--outfile=${name}.out.js`],
    ], directory);
    const size = await gzipped(await Deno.readFile(`${name}.out.js`));
    assert.isAtMost(size, expected * 1.05, "it has grown");
    assert.isAtLeast(size, expected * 0.95, "it has shrunk: say so here");
  });
}

const COW_MAP =
  `import { CowMap } from "@snapstream/snapstream"; export default { fetch: () => new Response(new CowMap().size) };`;
/** The most that a bundler may make of a program that uses one class, minified and with gzip. */
const SHAKEN = 4000;

test("package: Vite leaves out what is not used", async () => {
  const project = await packed();
  await Deno.writeTextFile(`${project.directory}/shaken.js`, COW_MAP);
  await Deno.writeTextFile(
    `${project.directory}/vite.config.js`,
    `export default { build: { lib: { entry: "shaken.js", formats: ["es"], fileName: "shaken" }, outDir: "vite-out" } };`,
  );
  await tool(project, "vite/bin/vite.js", "build", "--minify", "--logLevel", "error");
  assert.isAtMost(await gzipped(await Deno.readFile(`${project.directory}/vite-out/shaken.js`)), SHAKEN);
});

test("package: wrangler leaves out what is not used", async () => {
  const project = await packed();
  await Deno.writeTextFile(`${project.directory}/shaken.js`, COW_MAP);
  const config = { name: "shaken", main: "shaken.js", compatibility_date: "2025-09-01" };
  await Deno.writeTextFile(`${project.directory}/wrangler.json`, JSON.stringify(config));
  const args = ["deploy", "--dry-run", "--minify", "--outdir", "wrangler-out", "--config", "wrangler.json"];
  await tool(project, "wrangler/bin/wrangler.js", ...args);
  assert.isAtMost(await gzipped(await Deno.readFile(`${project.directory}/wrangler-out/shaken.js`)), SHAKEN);
});

testGuides();
