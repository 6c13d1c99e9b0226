// What the program says to arguments that are wrong, to output that nobody takes, and to somebody who interrupts it.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, open, readdir } from "node:fs/promises";
import process from "node:process";
import { assert, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { command, run, runHere, saveParts, serving, start, text } from "./support.ts";

const COMMANDS = ["ls", "inspect", "verify", "cat", "extract", "diff", "copy", "pull", "push", "archive", "unarchive"]
  .concat(["convert", "restore", "prune", "serve", "log", "follow", "backup", "take", "status", "watch"])
  .concat("completions");
/** Those whose result is bytes or a script. */
const NO_JSON = ["cat", "archive", "completions"];

test("cli: the help of a command says what each option does, and the exit codes", async () => {
  for (const [i, name] of COMMANDS.entries()) {
    const help = text(await runHere(["help", name]));
    if (i === 0) assert.strictEqual(text(await run(["help", name])), help, "a process says the same");
    const [usage = "", ...lines] = help.split("\n");
    for (const [, option] of usage.matchAll(/--([a-z-]+)/g)) {
      assert.isTrue(lines.some((line) => line.startsWith(`  --${option} `)), `${name} --${option}`);
    }
    assert.strictEqual(usage.includes("[--json]"), !NO_JSON.includes(name), usage);
    assert.match(help, /\nExit codes: 0 .* 1 .* 2 .* 3 .* 130 .*\n$/);
    assert.isEmpty(help.split("\n").filter((line) => line.length > 120), name);
  }
});

const WRONG: readonly (readonly [message: RegExp, ...args: string[]])[] = [
  [/There is no command "lss": did you mean ls\?/, "lss"],
  [/There is no command "pul": did you mean pull\?/, "pul"],
  [/There is no command "frobnicate" \(/, "frobnicate"],
  [/There is no option --jsn: did you mean --json\?/, "ls", "PLACE", "--jsn"],
  [/There is no option -x \(/, "ls", "PLACE", "-x"],
  [/--keep is there twice/, "prune", "PLACE", "--keep", "2", "--keep=1"],
  [/--json is there twice/, "ls", "PLACE", "--json", "--json"],
  [/--port/, "serve", "PLACE", "--port"],
  [/--page/, "serve", "PLACE", "--port", "0", "--page=yes"],
  [/not both/, "restore", "PLACE", "NEW", "--index", "5", "--time", "2026-01-01T00:00:00Z"],
  [/for backups/, "restore", "PLACE", "5", "--time", "2026-01-01T00:00:00Z"],
  [/There is no option --json /, "cat", "PLACE", "info.txt", "--json"],
  [/URL is no address of a server/, "pull", "http://", "NEW"],
  [/"nats:\/\/…" is no address of a bucket/, "ls", "nats://user:secret@127.0.0.1:99999/b"],
  [/127\.0\.0\.1 has no query or fragment/, "ls", "nats://user:secret@127.0.0.1:4/b?token=secret"],
  [/A percent sign in an address of a bucket is %25/, "ls", "nats://user:%zz@127.0.0.1:4/b"],
  [/A percent sign in an address of a bucket is %25/, "ls", "s3://b/%zz"],
  [/b has no user, port or fragment: credentials are in the environment/, "ls", "s3://key:secret@b/p"],
  [/b has no user, port or fragment/, "copy", "PLACE", "s3://b/p#x"],
  [/"wss:\/\/…" is an address of a kind that is not known here/, "ls", "wss://user:secret@127.0.0.1/b"],
  [/"gs:\/\/…" is an address of a kind that is not known here/, "copy", "PLACE", "gs://key:secret@b/p"],
  [/"file:\/\/…" is no address of a file here/, "ls", "file://user:secret@host/x"],
  [/Argument 1 is empty/, "ls", ""],
  [/Argument 2 is empty/, "extract", "PLACE", ""],
  [/Argument 2 is empty/, "copy", "PLACE", "", "--json"],
  [/Argument 1 is empty/, "unarchive", ""],
];

test("cli: wrong arguments are named, what was meant is guessed, and nothing is done", () =>
  inTemp(async (directory) => {
    const place = `${directory}/a`;
    await saveParts(place, 1n, [1]);
    await saveParts(place, 2n, [2]);
    for (const [i, [message, ...args]] of WRONG.entries()) {
      const given = args.map((one) => one === "PLACE" ? place : one === "NEW" ? `${directory}/new` : one);
      const { code, stderr } = await (i === 0 ? run : runHere)(given);
      assert.strictEqual(code, 2, args.join(" "));
      assert.match(stderr, message);
      assert.notInclude(stderr, "secret");
      assert.lengthOf(stderr.trimEnd().split("\n"), 1);
    }
    assert.deepEqual(await readdir(directory), ["a"]);
    assert.lengthOf(JSON.parse(text(await runHere(["ls", place, "--json"]))).snapshots, 2);
    assert.strictEqual(
      (await runHere(["restore", `${directory}/a`, `${directory}/new/below`])).code,
      1,
      "it is no backup",
    );
    assert.deepEqual(await readdir(directory), ["a"], "what was made for it is gone");
  }));

test("cli: with --json a failure is JSON, too", () =>
  inTemp(async (directory) => {
    await saveParts(`${directory}/a`, 1n, [1]);
    const failures = [
      ["NOT_FOUND", 1, "ls", `${directory}/nowhere`, "--json"],
      ["NOT_FOUND", 1, "ls", `${directory}/a#7`, "--json"],
      ["NOT_FOUND", 1, "log", directory, "--json"],
      ["UNAVAILABLE", 1, "status", "http://127.0.0.1:4", "--json"],
      ["WRONG_USE", 2, "prune", `${directory}/a`, "--json"],
      ["WRONG_USE", 2, "inspect", "--json"],
      ["MALFORMED", 3, "unarchive", `${directory}/b`, "--json"],
    ] as const;
    for (const [name, code, ...args] of failures) {
      const outcome = await (args[0] === "unarchive" ? run : runHere)(args); // it reads standard input
      const { error } = JSON.parse(text(outcome));
      assert.deepEqual([error.code, outcome.code], [name, code], outcome.stderr);
      assert.strictEqual(outcome.stderr, `snapstream: ${error.message}\n`);
    }
  }));

test("cli: names that are options, and names of any other sort, are names behind --", () =>
  inTemp(async (directory) => {
    const place = `${directory}/with space, 100%\nand #7`;
    await mkdir(place);
    await saveParts(`${place}/--json`, 1n, [1]);
    for (const name of [`${place}/--json`, `file://${encodeURI(place).replace("#", "%23")}/--json`]) {
      const listed = await runHere(["ls", "--json", "--", name]);
      assert.strictEqual(listed.code, 0, listed.stderr);
      assert.lengthOf(JSON.parse(text(listed)).snapshots, 1);
    }
  }));

test("cli: output that cannot be written is a failure", async () => {
  if (!existsSync("/dev/full")) return; // Linux has it
  await inTemp(async (directory) => {
    await saveParts(`${directory}/a`, 1n, [1]);
    for (const args of [["ls", `${directory}/a`], ["ls", `${directory}/a`, "--json"], ["archive", `${directory}/a`]]) {
      const [program, ...rest] = command(...args);
      const full = await open("/dev/full", "w");
      const child = spawn(program!, rest, { stdio: ["ignore", full.fd, "pipe"] });
      let stderr = "";
      child.stderr!.on("data", (part) => stderr += part);
      const code = await new Promise((resolve) => child.on("close", resolve));
      await full.close();
      assert.strictEqual(code, 1, args.join(" "));
      assert.match(stderr, /^snapstream: [^\n]*no space left on device[^\n]*\n$/i);
    }
  });
});

test("cli: what runs until Ctrl-C ends when nobody reads it any more", () =>
  inTemp(async (directory) => {
    await saveParts(`${directory}/a`, 1n, [1]);
    const server = await serving([`${directory}/a`]);
    const watching = start(["watch", server.url, "--interval", "1", "--json"]);
    const ended = new Promise((resolve) => watching.on("close", resolve));
    await new Promise((resolve) => watching.stdout.once("data", resolve));
    watching.stdout.destroy();
    assert.strictEqual(await ended, 0);
    await server.stop();
  }));

test("cli: who interrupts it before it is done gets 130, or 143, and nothing is left behind", () =>
  inTemp(async (directory) => {
    for (const [signal, expected] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
      const child = start(["unarchive", `${directory}/${signal}`, "--json"]); // waits for its input
      const ended = new Promise((resolve) => child.on("close", resolve));
      let stdout = "";
      child.stdout.on("data", (part) => stdout += part);
      while (!existsSync(`${directory}/${signal}/.lock`)) await new Promise((resolve) => setImmediate(resolve));
      process.kill(child.pid!, signal);
      assert.strictEqual(await ended, expected);
      assert.strictEqual(JSON.parse(stdout).error.code, "CANCELLED");
      assert.deepEqual((await readdir(`${directory}/${signal}`)).filter((name) => name !== ".lock"), []);
    }
  }));

test("cli: the completions of bash are bash's", () =>
  inTemp(async () => {
    const script = text(await run(["completions", "bash"]));
    const asked = `COMP_WORDS=(snapstream serve --p); COMP_CWORD=2; _snapstream; echo "\${COMPREPLY[@]}"`;
    const bash = spawn("bash", ["-c", `${script}\n${asked}`]);
    let stdout = "";
    bash.stdout.on("data", (part) => stdout += part);
    const code = await new Promise((resolve) => bash.on("close", resolve));
    assert.deepEqual([code, stdout], [0, "--port --page\n"]);
  }));
