// The runtimes, as what runs a suite's tests.

import { parseXml, XmlElement } from "@rgrove/parse-xml";
import { BUILD, imports, LOCK, nodeProgram, workerdProgram } from "./program.ts";
import { runtime } from "./runtimes.ts";
import type { Suite } from "./suite.ts";
import { workerdCommand } from "./workerd.ts";

/**
 * Node's flags. The heap of tests is small and what they hold beside it large: each 64 MiB of buffers that come and go
 * would have all of the heap marked, a third of the processor's time.
 */
const FLAGS: Readonly<Record<"node22" | "node24" | "bun", readonly string[]>> = {
  node22: ["--disable-warning=ExperimentalWarning", "--initial-heap-size=256"],
  node24: [
    "--disable-warning=ExperimentalWarning",
    "--initial-heap-size=256",
    "--external-memory-accounted-in-global-limit",
  ],
  bun: [],
};

/** A suite that runs `deno test`. */
export function onDeno(
  title: string,
  files: readonly string[],
  { config = [LOCK], env = {} }: { readonly config?: readonly string[]; readonly env?: Record<string, string> } = {},
): Suite {
  return {
    title,
    runtime: "deno",
    files,
    async run({ filter, files, times }, run) {
      const name = `${BUILD}/${title.replaceAll(/\W+/g, "-")}`;
      const report = `${name}.xml`;
      // Types are what `deno task check` is for.
      const outcome = await run(Deno.execPath(), [
        ...["test", "--quiet", "--no-check", "--allow-all", "--sanitize-ops", "--sanitize-resources", ...config],
        // Whatever leaks fails a test; to note where it began takes a third of the time, and is for one file.
        ...(files.length > 1 ? ["--reporter=dot"] : ["--trace-leaks"]),
        ...(times === true ? [`--junit-path=${report}`] : []),
        ...(filter === undefined ? [] : ["--filter", filter]),
        ...(files.length > 1 ? [await oneModule(name, files)] : files),
      ], env);
      return times === true ? { ...outcome, times: timesOf(await Deno.readTextFile(report)) } : outcome;
    },
  };
}

/** Deno gives each file a world of its own and loads all of the library into it: a third of the processor's time. */
async function oneModule(name: string, files: readonly string[]): Promise<string> {
  await Deno.mkdir(BUILD, { recursive: true });
  await Deno.writeTextFile(`${name}.ts`, imports(files).join("\n"));
  return `${name}.ts`;
}

/** How long each test took, out of Deno's report. */
function timesOf(report: string): [name: string, duration: number][] {
  return parseXml(report).root!.children.flatMap((suite) =>
    !(suite instanceof XmlElement)
      ? []
      : suite.children.flatMap((it): [string, number][] =>
        it instanceof XmlElement && it.name === "testcase"
          ? [[it.attributes["name"]!, Number(it.attributes["time"]) * 1000]]
          : []
      )
  );
}

/**
 * A suite that runs one module of its tests on Node or Bun.
 *
 * @param program the module's name in `.build`: suites of the same tests share it
 */
export function onNodeOrBun(
  title: string,
  name: "node22" | "node24" | "bun",
  program: string,
  files: readonly string[],
): Suite {
  return {
    title,
    runtime: name,
    files,
    async run(selection, run) {
      return await run(await runtime(name), [...FLAGS[name], await nodeProgram(program, selection)]);
    },
  };
}

/** A suite that runs one module of its tests in workerd. */
export function onWorkerd(title: string, nodejsCompat: boolean, files: readonly string[]): Suite {
  return {
    title,
    runtime: nodejsCompat ? "workerd-nodejs" : "workerd",
    files,
    async run(selection, run) {
      const program = await workerdProgram(nodejsCompat ? "workerd-nodejs" : "workerd", selection);
      const [path, args] = await workerdCommand(program, { nodejsCompat });
      return await run(path, args);
    },
  };
}
