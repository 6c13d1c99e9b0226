// The real programs, as judges: built once, and asked what they make of a snapshot.

import { existsSync } from "node:fs";

/** Where they are built. */
export const JUDGES: string = new URL("../../.runtimes/interop", import.meta.url).pathname;
/** A judge, and what it is built of. */
interface Judge {
  readonly name: string;
  readonly sources: readonly string[];
  build(directory: string, target: string): Promise<void>;
}

async function run(program: string, args: readonly string[], cwd: string): Promise<void> {
  const command = new Deno.Command(program, { args: [...args], cwd, stdout: "inherit", stderr: "inherit" });
  const { success } = await command.output().catch((error) => {
    throw new Error(`There is no ${program}, which builds ${cwd}`, { cause: error });
  });
  if (!success) throw new Error(`${program} could not build ${cwd}`);
}

/** A program in Java: what Maven gets, and its own classes. */
const inJava = (name: string, ...mains: readonly string[]): Judge => ({
  name,
  sources: ["pom.xml", ...mains.map((main) => `${main}.java`)],
  async build(directory, target) {
    await run("mvn", ["-q", "-B", "dependency:build-classpath", `-Dmdep.outputFile=${target}/classpath`], directory);
    const path = await Deno.readTextFile(`${target}/classpath`);
    await run(
      "javac",
      ["-nowarn", "-d", `${target}/classes`, "-cp", path, ...mains.map((main) => `${main}.java`)],
      directory,
    );
  },
});

const ALL: readonly Judge[] = [
  {
    name: "go",
    sources: ["go.mod", "go.sum", "main.go"],
    build: (directory, target) => run("go", ["build", "-mod=readonly", "-o", `${target}/judge`, "."], directory),
  },
  inJava("java", "Judge"),
  inJava("flink", "Job", "Updates"),
];

const directoryOf = ({ name }: Judge) => new URL(`${name}/`, import.meta.url).pathname;

/** The sources that a judge was built of: a file that is written last has them. */
async function sourcesOf(judge: Judge): Promise<string> {
  const texts = judge.sources.map((name) => Deno.readTextFile(`${directoryOf(judge)}${name}`));
  return (await Promise.all(texts)).join("\n");
}

async function isBuilt(judge: Judge): Promise<boolean> {
  const whole = `${JUDGES}/${judge.name}/whole`;
  return existsSync(whole) && await Deno.readTextFile(whole) === await sourcesOf(judge);
}

/** Whether all are there, built of these sources. */
export async function judgesInstalled(): Promise<boolean> {
  return (await Promise.all(ALL.map(isBuilt))).every((it) => it);
}

/** Builds those that are not there: hashicorp/raft, raft-snapshot and etcd; JRaft and Ratis; a job of Flink. */
export async function buildJudges(): Promise<void> {
  for (const judge of ALL) {
    if (await isBuilt(judge)) continue;
    const target = `${JUDGES}/${judge.name}`;
    await Deno.mkdir(`${target}/classes`, { recursive: true });
    await judge.build(directoryOf(judge), target);
    await Deno.writeTextFile(`${target}/whole`, await sourcesOf(judge));
  }
}

/** Runs a program, which says one line of JSON. */
async function ask(program: string, args: readonly string[]): Promise<Record<string, unknown>> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args: [...args] }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (!success) throw new Error(`${args.join(" ")}: ${text(stderr)}`);
  return JSON.parse(text(stdout).trim().split("\n").at(-1)!) as Record<string, unknown>;
}

/** Asks the judge in Go. */
export function askGo(...args: readonly (string | number)[]): Promise<Record<string, unknown>> {
  return ask(`${JUDGES}/go/judge`, args.map(String));
}

/** Opened for programs that look into the classes of Java. */
const OPENED = ["java.nio", "java.lang", "java.util", "sun.nio.ch"].map((name) =>
  `--add-opens=java.base/${name}=ALL-UNNAMED`
);

async function askJava(
  name: string,
  main: string,
  args: readonly (string | number)[],
): Promise<Record<string, unknown>> {
  const path = `${JUDGES}/${name}/classes:${(await Deno.readTextFile(`${JUDGES}/${name}/classpath`)).trim()}`;
  return await ask("java", [...OPENED, "-cp", path, main, ...args.map(String)]);
}

/** Asks JRaft, or Ratis. */
export function askRaft(...args: readonly (string | number)[]): Promise<Record<string, unknown>> {
  return askJava("java", "Judge", args);
}

/** Has Flink run the job, and save it. */
export function askFlink(...args: readonly (string | number)[]): Promise<Record<string, unknown>> {
  return askJava("flink", "Job", args);
}

/** Has Flink change what is in a RocksDB, and save it between. */
export function askFlinkUpdates(...args: readonly (string | number)[]): Promise<Record<string, unknown>> {
  return askJava("flink", "Updates", args);
}

/** The state that every judge writes, a piece of it. */
export function statePart(start: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) {
    const at = start + i;
    bytes[i] = Math.imul(at, at) + Math.floor(at / 251);
  }
  return bytes;
}
