// The npm package: what `deno pack` makes, made into what npm's users expect. `deno task pack` writes it; the tests of
// the package install it.

import { ROOT } from "../suites/program.ts";
import { installPackages, RUNTIMES } from "../suites/runtimes.ts";

/** The oldest Node that has all that is used. */
const LEAST_NODE = [22, 13];

/** What package.json says beside what `deno pack` writes into it. */
const ABOUT = {
  description: "Snapshots of state machines as Web Streams: taken without a pause, verified chunk by chunk, durable, " +
    "and shipped over fetch between Deno, Node, Bun, Workers and browsers",
  keywords: [
    ...["snapshot", "state-machine", "raft", "replication", "web-streams", "backup", "restore", "log-compaction"],
    ...["braft", "ratis", "flink", "durable-objects", "cloudflare-workers", "object-storage", "s3", "r2", "opfs"],
    ...["jetstream", "sqlite", "rocksdb", "deno", "bun"],
  ],
  engines: { node: `>=${LEAST_NODE.join(".")}` },
  sideEffects: false,
  bin: { snapstream: "./bin/snapstream.js" },
};

/** Packages that only users of one entry have, because they hand over a connection or generated code of theirs. */
const OPTIONAL_PEERS = ["@nats-io/jetstream", "@nats-io/kv", "@nats-io/nats-core", "@nats-io/transport-node"]
  .concat("@opentelemetry/api");

/** What stands for a package of @std where npm installs it, which has none: the same of Node's own. */
const INSTEAD: Readonly<Record<string, (names: string) => string>> = {
  "@std/path": (names) => `import {${names}} from "node:path";`,
  "@std/crypto/timing-safe-equal": (names) => `import {${names}} from "node:crypto";`,
  "@std/fs": (names) => {
    if (names.trim() !== "ensureDir") throw new Error(`There is nothing that stands for${names}of @std/fs`);
    return `import { mkdir } from "node:fs/promises"; const ensureDir = (path) => mkdir(path, { recursive: true });`;
  },
};

const ESBUILD = { esbuild: "esbuild@0.28.2" };
/**
 * Modules that do something of their own on Node only, which has a build of its own: what they are for everybody else,
 * so that no page and no Worker has to load it.
 */
const ELSEWHERE: Readonly<Record<string, string>> = {
  "src/stream/fetch_bytes.js": "export const fetchBytes = (request) => fetch(request);",
};
/** The folder of what is made for Node. */
const NODE = "node";
/** Says which Node is needed, where an older one would say that some module of its own is not there. */
const BIN = `#!/usr/bin/env node
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < ${LEAST_NODE[0]} || major === ${LEAST_NODE[0]} && minor < ${LEAST_NODE[1]}) {
  console.error("snapstream needs Node ${LEAST_NODE.join(".")} or newer, and this is " + process.versions.node);
  process.exit(1);
}
await import("../${NODE}/src/cli/main.js");
`;

/**
 * Puts the modules together for Node, which needs a millisecond for each file that it opens: what all entries share is
 * in chunks, so that a class is the same class whatever entry it comes from. Bundlers take the single modules.
 */
async function bundleForNode(root: string, { exports }: Manifest): Promise<void> {
  await installPackages("esbuild", "esbuild", ESBUILD);
  await command(`${RUNTIMES}/esbuild/node_modules/.bin/esbuild`, [
    ...Object.values(exports).map((entry) => entry.default),
    ...["--bundle", "--splitting", "--format=esm", "--packages=external", "--platform=node", "--target=node22"],
    "--keep-names", // a class that makes itself by a static method is `_Replica` otherwise, where somebody prints one
    ...["--sourcemap", "--log-level=warning", `--outdir=${NODE}`, "--outbase=.", "--chunk-names=chunks/[hash]"],
  ], root);
}

/**
 * Makes the package.
 *
 * @param directory where to, which must exist
 * @returns the path of the tarball
 */
export async function makePackage(directory: string): Promise<string> {
  const work = await Deno.makeTempDir();
  try {
    const raw = `${work}/raw.tgz`;
    await command(Deno.execPath(), ["pack", "--quiet", "--allow-dirty", "--output", raw], ROOT);
    await command("tar", ["-xzf", raw, "-C", work], work);
    const root = `${work}/package`;
    await Deno.remove(`${root}/tests`, { recursive: true });
    for await (const path of filesBelow(root)) {
      if (path.endsWith(".js")) await mend(path);
      else if (path.endsWith(".d.ts")) await nameLibraries(path);
    }
    await mendReadme(`${root}/README.md`);
    const manifest = JSON.parse(await Deno.readTextFile(`${root}/package.json`)) as Manifest;
    await bundleForNode(root, manifest);
    for (const [module, source] of Object.entries(ELSEWHERE)) await replace(`${root}/${module}`, source);
    await Deno.mkdir(`${root}/bin`);
    await Deno.writeTextFile(`${root}/bin/snapstream.js`, BIN);
    await Deno.chmod(`${root}/bin/snapstream.js`, 0o755);
    await Deno.writeTextFile(`${root}/package.json`, JSON.stringify(described(manifest), undefined, 2) + "\n");
    const args = ["pack", root, "--json", "--ignore-scripts", "--pack-destination", directory];
    const [{ filename }] = JSON.parse(await command("npm", args, work)) as [{ filename: string }];
    return `${directory}/${filename}`;
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly exports: Readonly<Record<string, { readonly types: string; readonly default: string }>>;
  readonly dependencies: Readonly<Record<string, string>>;
}

function described({ name, version, exports, dependencies, ...rest }: Manifest): unknown {
  const isPeer = ([name]: [string, string]) => OPTIONAL_PEERS.includes(name);
  const peers = Object.entries(dependencies).filter(isPeer);
  return {
    ...{ name, version, ...ABOUT, ...rest },
    exports: Object.fromEntries(
      Object.entries(exports).map(([entry, { types, default: module }]) => [
        entry,
        { types, node: module.replace(/^\.\//, `./${NODE}/`), default: module },
      ]),
    ),
    dependencies: Object.fromEntries(Object.entries(dependencies).filter((it) => !isPeer(it))),
    peerDependencies: Object.fromEntries(peers),
    peerDependenciesMeta: Object.fromEntries(peers.map(([name]) => [name, { optional: true }])),
  };
}

/** The end of a module: its source map. */
const INLINE_MAP = /\n\/\/# sourceMappingURL=data:application\/json;base64,([A-Za-z0-9+/=]+)\s*$/;

/** Takes the imports of @std out of a module, and its map into a file of its own that has no path of this machine. */
async function mend(path: string): Promise<void> {
  let source = await Deno.readTextFile(path);
  const map = INLINE_MAP.exec(source);
  source = source.replace(INLINE_MAP, "").replace(
    /\bimport \{([^}]*)\} from "(@std\/[^"]+)";/g, // on its line, so that the map stays right
    (_, names: string, from: string) => INSTEAD[from]?.(names) ?? fail(`${path} imports ${from}`),
  );
  if (/["'](@std|@jsr|jsr:|npm:|file:)/.test(source)) fail(`${path} imports what npm has not`);
  if (map !== null) {
    const name = path.slice(path.lastIndexOf("/") + 1);
    const content = JSON.parse(new TextDecoder().decode(Uint8Array.fromBase64(map[1]!)));
    content.sources = [name.replace(/\.js$/, ".ts")];
    await Deno.writeTextFile(`${path}.map`, JSON.stringify({ ...content, file: name }));
    source += `\n//# sourceMappingURL=${name}.map\n`;
  }
  await Deno.writeTextFile(path, source);
}

/** Puts another source in the place of a module's; nothing of it is in the sources of the library. */
async function replace(path: string, source: string): Promise<void> {
  const name = path.slice(path.lastIndexOf("/") + 1);
  await Deno.stat(path); // it is called otherwise, if it is not there
  await Deno.writeTextFile(path, `${source}\n//# sourceMappingURL=${name}.map\n`);
  await Deno.writeTextFile(
    `${path}.map`,
    JSON.stringify({ version: 3, file: name, sources: [], names: [], mappings: "" }),
  );
}

/** The guides of a module are in the types that it has in the package; what is not in the package is no link. */
async function mendReadme(path: string): Promise<void> {
  const readme = (await Deno.readTextFile(path))
    .replaceAll(/\]\(((?:src\/)?\w+)\.ts\)/g, "]($1.d.ts)")
    .replaceAll(/\[([^\]]*)\]\((?:tests|\.github)\/[^)]*\)/g, "`$1`");
  await Deno.writeTextFile(path, readme);
}

/** Types of Workers, and of older browsers, have no `AsyncDisposable`: who uses ours need not set `lib` for it. */
async function nameLibraries(path: string): Promise<void> {
  const source = await Deno.readTextFile(path);
  if (!/\b(AsyncDisposable|asyncDispose)\b/.test(source)) return;
  await Deno.writeTextFile(path, `/// <reference lib="esnext.disposable" />\n${source}`);
}

function fail(what: string): never {
  throw new Error(what);
}

async function* filesBelow(directory: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(directory)) {
    if (isDirectory) yield* filesBelow(`${directory}/${name}`);
    else yield `${directory}/${name}`;
  }
}

/** Runs a program, and returns what it prints. */
export async function command(program: string, args: readonly string[], cwd: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args: [...args], cwd }).output();
  const decoder = new TextDecoder();
  if (success) return decoder.decode(stdout);
  throw new Error(`${program} ${args.join(" ")} failed:\n${decoder.decode(stdout)}${decoder.decode(stderr)}`);
}
