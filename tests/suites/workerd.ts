// How workerd runs a program of tests.

import { runtime } from "./runtimes.ts";

/** The last date on which `nodejs_compat` is not on by itself. */
const COMPATIBILITY_DATE = "2026-08-03";

/** How workerd is set up. */
export interface WorkerdOptions {
  /** With what it has of Node. */
  readonly nodejsCompat?: boolean;
  /** With this machine as the network. */
  readonly network?: boolean;
}

/** The command that runs a program: its path and its arguments. */
export async function workerdCommand(
  program: string,
  { nodejsCompat = false, network = false }: WorkerdOptions = {},
): Promise<[program: string, args: string[]]> {
  const module = program.slice(program.lastIndexOf("/") + 1);
  const config = `${program}${nodejsCompat ? "-nodejs" : ""}.capnp`;
  const services = network ? `, ( name = "internet", network = ( allow = ["private", "local"] ) )` : "";
  await Deno.writeTextFile(
    config,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [( name = "main", worker = (
    modules = [( name = "suite", esModule = embed "${module}" )],
    compatibilityDate = "${COMPATIBILITY_DATE}",
    compatibilityFlags = [${nodejsCompat ? `"nodejs_compat"` : ""}]
  ))${services}]
);
`,
  );
  return [await runtime("workerd"), ["test", config]];
}
