// The guides of the modules' documentation: each snippet is one that is run (`tests/check.ts` runs them on Deno, the
// tests of the package as installed). Here those run that want something of the reader's, and the table of defaults is
// held against the code.

import { readFile, writeFile } from "node:fs/promises";
import process from "node:process";
import { projectFlags } from "../support/child.ts";
import { guideEntries, snippetsOf } from "../support/guides.ts";
import { assert, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";

const ROOT = process.cwd();

async function snippet(entry: string, has: string): Promise<string> {
  const found = (await snippetsOf(`${ROOT}/${entry}`)).filter(({ code }) => code.includes(has));
  assert.lengthOf(found, 1, `${entry} has one snippet with ${has}`);
  return found[0]!.code;
}

/** Runs a snippet with what its reader adds, and returns what it prints; of Deno, which has the project's import map. */
function run(code: string, end: string): Promise<string> {
  return inTemp(async (directory) => {
    await writeFile(`${directory}/guide.ts`, `${code}\n${end}`);
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-all", "--quiet", "--no-check", ...projectFlags(), `${directory}/guide.ts`],
      cwd: directory,
    }).output();
    assert.isTrue(success, new TextDecoder().decode(stderr));
    return new TextDecoder().decode(stdout).trim();
  });
}

/** RocksDB's addon ends Deno's process, and needs a database of the reader's: see `rocksEngine`. */
const WITHOUT = ["src/rocksdb.ts"];

test("guides: every entry has a snippet, and none is left out of what is run", async () => {
  const without: string[] = [];
  for (const entry of await guideEntries(ROOT)) {
    const snippets = await snippetsOf(`${ROOT}/${entry}`);
    if (snippets.length === 0) without.push(entry);
    for (const { flags } of snippets) assert.strictEqual(flags, "", `a snippet of ${entry} is not run`);
  }
  assert.deepEqual(without, WITHOUT);
});

test("guides: the table of triggers, retention and purge says the defaults of the code", async () => {
  const table = [...(await readFile(`${ROOT}/mod.ts`, "utf8")).matchAll(/^ \* \| `([\w.]+)`[^|]*\| `([^`]+)` \|/gm)];
  assert.lengthOf(table, 18);
  const sources = await Promise.all(
    ["executor/triggers", "executor/purge", "executor/options", "storage/storage_options", "transfer/server/options"]
      .map((name) => readFile(`${ROOT}/src/${name}.ts`, "utf8")),
  );
  const text = sources.join("\n");
  for (const [, option, value] of table) {
    const name = option!.split(".").at(-1);
    const defaults = [...text.matchAll(new RegExp(`@default \\{(.*)\\}\\n   \\*\\/\\n  readonly ${name}\\?:`, "g"))];
    assert.include(defaults.map(([, is]) => is), value, `the default of ${option}`);
  }
});

test("guides: moving from braft, a directory that braft wrote", async () => {
  if (!("Deno" in globalThis)) return;
  const end = `
    let read = 0;
    const machine: StateMachine = {
      apply() {},
      save: () => undefined,
      async load(reader) {
        for (const { name } of reader.manifest.files) read += (await new Response(reader.file(name)).bytes()).length;
      },
    };
    const replica = await fromBraft("joint", machine);
    const { index } = await replica.propose(new Uint8Array(1));
    console.log(read > 0, index);
    await replica.close();`;
  const joint = `${ROOT}/tests/fixtures/braft/joint/storage`;
  const copy = `import { cpSync } from "node:fs"; cpSync(${JSON.stringify(joint)}, "joint", { recursive: true });`;
  assert.strictEqual(await run(await snippet("src/braft.ts", "fromBraft"), copy + end), "true 2049n");
});

test("guides: moving from Flink, a savepoint that Flink wrote", async () => {
  if (!("Deno" in globalThis)) return;
  const savepoint = JSON.stringify(`${ROOT}/tests/fixtures/flink/1.20-canonical`);
  const end = `
    import { sourceFiles } from "@snapstream/snapstream/fs";
    const moved = await fromFlink(await sourceFiles(${savepoint}), "e7beec23fd9f6ed5e1b8395129d43728/text");
    console.log([...moved.values.entries()].map((entry) => entry.join("=")).sort().join());`;
  const said = await run(await snippet("src/formats.ts", "fromFlink"), end);
  assert.match(said, /^key-0=/);
  assert.lengthOf(said.split(","), 4);
});

/** A Durable Object's storage, on SQLite, and two lives of an object that has it. */
const OBJECT = `
import { DatabaseSync } from "node:sqlite";
import { MemoryBucket } from "@snapstream/snapstream/object";

const database = new DatabaseSync(":memory:");
let alarm: number | null = null;
const storage: DurableStorage = {
  sql: {
    exec(query, ...bindings) {
      if (/^\\s*CREATE/.test(query)) database.exec(query); // several statements
      const rows = /^\\s*CREATE/.test(query) ? [] : database.prepare(query).all(...bindings as string[]);
      return { toArray: () => rows };
    },
  },
  transactionSync(closure) {
    database.exec("SAVEPOINT it");
    try {
      const result = closure();
      database.exec("RELEASE it");
      return result;
    } catch (error) {
      database.exec("ROLLBACK TO it; RELEASE it");
      throw error;
    }
  },
  sync: () => Promise.resolve(),
  getAlarm: () => Promise.resolve(alarm),
  setAlarm: (time) => Promise.resolve(void (alarm = time)),
  deleteAlarm: () => Promise.resolve(void (alarm = null)),
};
const bucket = new MemoryBucket();
const said: string[] = [];
for (let life = 0; life < 2; life++) {
  let open = Promise.resolve() as Promise<unknown>;
  const state = { id: "a", storage, blockConcurrencyWhile: <T>(work: () => Promise<T>) => open = work() };
  const counter = new Counter(state as State, bucket);
  await open;
  for (let i = 0; i < 2; i++) said.push(await (await counter.fetch(new Request("http://counter/"))).text());
  await counter.alarm();
}
console.log(said.join(" "));
Deno.exit(); // the second life is as open as the first
`;

test("guides: the Durable Object counts on in its next life", async () => {
  if (!("Deno" in globalThis)) return;
  assert.strictEqual(await run(await snippet("src/durable_object.ts", "class Counter"), OBJECT), "1 2 3 4");
});
