// Makes src/page/gen/assets.ts of src/page/app: `deno task page`. With --check it only says whether that is up to date.

import plot from "uplot/dist/uPlot.min.css" with { type: "text" };
import { LOCK, ROOT } from "./suites/program.ts";

const APP = `${ROOT}src/page/app`;
const TARGET = `${ROOT}src/page/gen/assets.ts`;

/** Bundles the program, with the libraries that it uses. */
async function program(): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", LOCK, "--platform", "browser", "--minify", `${APP}/main.tsx`],
    cwd: ROOT,
  }).output();
  if (!success) throw new Error(`The page cannot be bundled:\n${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

/** The style sheet: uPlot's, and ours. */
async function style(): Promise<string> {
  const own = await Deno.readTextFile(`${APP}/style.css`);
  return `${plot.trim()}\n${own.replaceAll(/\s*\n\s*/g, "\n").trim()}\n`;
}

/** The module with all assets. */
export async function assetsModule(): Promise<string> {
  const assets = {
    html: (await Deno.readTextFile(`${APP}/index.html`)).replaceAll("\n", ""),
    css: await style(),
    js: await program(),
    icon: (await Deno.readTextFile(`${APP}/icon.svg`)).trim(),
  };
  const lines = [
    "// Made by `deno task page` of src/page/app, of Preact (MIT, Jason Miller) and of uPlot (MIT, Leon Sorokin).",
    "",
    "/** A file of the page, and its strong tag. */",
    "export interface Asset {",
    "  readonly text: string;",
    "  readonly tag: string;",
    "}",
    "",
    "/** The files of the page. */",
    'export const ASSETS: Readonly<Record<"html" | "css" | "js" | "icon", Asset>> = {',
  ];
  for (const [name, text] of Object.entries(assets)) {
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
    const tag = `"${new Uint8Array(digest).slice(0, 16).toHex()}"`;
    lines.push(`  ${name}: {`, `    tag: ${JSON.stringify(tag)},`, `    text: ${JSON.stringify(text)},`, "  },");
  }
  return [...lines, "};", ""].join("\n");
}

if (import.meta.main) await Deno.writeTextFile(TARGET, await assetsModule());
