import { runtime } from "./runtimes.ts";

/** The last date on which `nodejs_compat` is not on by itself. */
const COMPATIBILITY_DATE = "2026-08-03";

/** What runs a bundled suite in workerd: a program and its arguments. */
export async function runWorkerd(suite: string, build: string, nodejsCompat: boolean): Promise<[string, string[]]> {
  const config = `${build}/workerd-${nodejsCompat ? "nodejs" : "plain"}.capnp`;
  await Deno.writeTextFile(
    config,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [( name = "main", worker = (
    modules = [( name = "suite", esModule = embed "${suite.slice(build.length + 1)}" )],
    compatibilityDate = "${COMPATIBILITY_DATE}",
    compatibilityFlags = [${nodejsCompat ? `"nodejs_compat"` : ""}]
  ))]
);
`,
  );
  return [await runtime("workerd"), ["test", config]];
}
