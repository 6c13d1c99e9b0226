// The table of tests/README.md: how many tests there are, and where they run. `deno task table` writes it, and
// `deno task check` fails if it is not what the code says.

import { kindOf, serviceOf, testFiles } from "./files.ts";
import { allGroups } from "./groups.ts";
import { BUILD, LOCK, ROOT } from "./program.ts";

const README = `${ROOT}tests/README.md`;
const [BEGIN, END] = ["<!-- made by `deno task table` -->", "<!-- the end of what it makes -->"];

/** How many tests each of these files has; none is run. */
export async function countTests(files: readonly string[]): Promise<Map<string, number>> {
  const entry = `${BUILD}/count.ts`;
  await Deno.mkdir(BUILD, { recursive: true });
  await Deno.writeTextFile(
    entry,
    `let count = 0;
Deno.test = () => count++;
const counts = {};
for (const file of ${JSON.stringify(files)}) {
  count = 0;
  await import("${ROOT}" + file);
  counts[file] = count;
}
console.log(JSON.stringify(counts));
Deno.exit(0);
`,
  );
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--allow-all", "--no-check", LOCK, entry],
    cwd: ROOT,
  }).output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`The tests cannot be counted:\n${decoder.decode(stderr)}`);
  return new Map(Object.entries(JSON.parse(decoder.decode(stdout).trim().split("\n").at(-1)!)));
}

/** The table, as Markdown. */
async function table(): Promise<string> {
  const files = await testFiles();
  const counts = await countTests(files);
  const sum = (some: readonly string[]) => some.reduce((sum, file) => sum + counts.get(file)!, 0);
  const groups = (await allGroups()).map((group) => ({ group, suites: group.suites(files) }));
  const rows = groups.flatMap(({ group, suites }) =>
    suites.map(({ title, files }) => [`\`test:${group.name}\``, title, files.length, files.length > 0 ? sum(files) : 1])
  );
  const kinds = Map.groupBy(files, (file) => serviceOf(file) ?? kindOf(file)!);
  return [
    `${sum(files)} tests in ${files.length} files:`,
    "",
    ...markdown(
      ["kind, or folder", "files", "tests"],
      [...kinds].map(([kind, some]) => [kind, some.length, sum(some)]),
    ),
    "",
    `Where they run, ${rows.reduce((sum, row) => sum + (row[3] as number), 0)} runs in all:`,
    "",
    ...markdown(["task", "suite", "files", "tests"], rows),
  ].join("\n");
}

/** A table as `deno fmt` has it. */
function markdown(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] {
  const cells = [head, ...rows.map((row) => row.map(String))];
  const widths = head.map((_, i) => Math.max(...cells.map((row) => row[i]!.length)));
  const line = (row: readonly string[]) => `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...cells.slice(1).map(line)];
}

/** What the README should be. */
export async function readmeWithTable(): Promise<{ readonly is: string; readonly should: string }> {
  const is = await Deno.readTextFile(README);
  const [begin, end] = [is.indexOf(BEGIN), is.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`tests/README.md has no place for the table: ${BEGIN} … ${END}`);
  return { is, should: `${is.slice(0, begin)}${BEGIN}\n\n${await table()}\n\n${is.slice(end)}` };
}

if (import.meta.main) await Deno.writeTextFile(README, (await readmeWithTable()).should);
