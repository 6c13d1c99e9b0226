import { runtime } from "./runtimes.ts";

/** From this date on `nodejs_compat` is on unless it is switched off. */
const COMPATIBILITY_DATE = "2026-08-04";

/** What runs a bundled suite in workerd: a program and its arguments. */
export async function runWorkerd(suite: string, build: string, nodejsCompat: boolean): Promise<[string, string[]]> {
  const flag = nodejsCompat ? "nodejs_compat" : "no_nodejs_compat";
  const config = `${build}/workerd-${flag}.capnp`;
  await Deno.writeTextFile(
    config,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [( name = "main", worker = (
    modules = [( name = "suite", esModule = embed "${suite.slice(build.length + 1)}" )],
    compatibilityDate = "${COMPATIBILITY_DATE}",
    compatibilityFlags = ["${flag}"]
  ))]
);
`,
  );
  return [await runtime("workerd"), ["test", config]];
}
