// What the package exports, as `deno doc` says it.

import { assert } from "./harness.ts";

const ROOT = new URL("../../", import.meta.url);

/** A name that is exported, as far as the tests look at it. */
export interface Documented {
  readonly name: string;
  readonly declarations: readonly {
    /** What it is made of: its members and their types. */
    readonly def?: unknown;
    readonly kind: string;
    readonly jsDoc?: {
      readonly doc?: string;
      readonly tags?: readonly { readonly kind: string; readonly doc?: string }[];
    };
  }[];
}

/** The entries of the package, and their files. */
export async function entries(): Promise<[name: string, path: string][]> {
  const { exports } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  return Object.entries(exports as Record<string, string>);
}

/** Returns the symbols that an entry exports. */
export async function symbolsOf(path: string): Promise<Documented[]> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", "--no-lock", path],
    cwd: ROOT,
  }).output();
  assert.isTrue(success, new TextDecoder().decode(stderr));
  const { nodes } = JSON.parse(new TextDecoder().decode(stdout)) as {
    nodes: Record<string, { symbols: Documented[] }>;
  };
  return Object.values(nodes).flatMap(({ symbols }) => symbols);
}
