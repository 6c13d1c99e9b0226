// The snippets of the guides: fences of TypeScript in the documentation of a module, or in a README.

import { readFile } from "node:fs/promises";

/** A snippet. */
export interface Snippet {
  /** What stands behind `ts` in its first line: nothing if it is to be run. */
  readonly flags: string;
  /** The program. */
  readonly code: string;
}

/**
 * The snippets of a module's documentation, which is its first comment, or of a README.
 *
 * @param path the file
 */
export async function snippetsOf(path: string): Promise<Snippet[]> {
  const text = await readFile(path, "utf8");
  const prose = path.endsWith(".md") ? text : text.slice(0, text.indexOf(" */\n")).replaceAll(/^ \*(?: |$)/gm, "");
  return [...prose.matchAll(/^```ts *(.*)\n([\s\S]*?)^```$/gm)].map(([, flags, code]) => ({
    flags: flags!,
    code: code!,
  }));
}

/**
 * The files that have guides: the README, and each entry but the program itself.
 *
 * @param root the project's directory
 */
export async function guideEntries(root: string): Promise<string[]> {
  const { exports } = JSON.parse(await readFile(`${root}/deno.json`, "utf8")) as { exports: Record<string, string> };
  const programs = ["./cli/main"];
  const paths = Object.entries(exports).filter(([entry]) => !programs.includes(entry)).map(([, path]) => path.slice(2));
  return ["README.md", ...paths];
}
