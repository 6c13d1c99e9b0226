// Suites that need more than the runtimes: a server, a browser.

import type { Outcome } from "./run.ts";

/** Runs a program, shows what it prints, and takes the counts from its last line of them: `N passed, N failed`. */
export type Run = (
  name: string,
  program: string,
  args: readonly string[],
  env?: Record<string, string>,
) => Promise<Outcome>;

/** A suite, and what it needs. */
export interface Service {
  /** What it needs, for a person: `nats-server (apt-get install nats-server)`. */
  readonly needs: string;
  /** Whether that is here. */
  installed(): Promise<boolean>;
  /** Gets it: from npm into `.runtimes`, or Debian's packages. */
  install(): Promise<void>;
  /** Runs the suite; what it starts is stopped by then. */
  run(run: Run): Promise<Outcome[]>;
}

/** The directories below `tests/` of these suites: no other runs what is in them. */
export const SERVICES = ["edge", "browser", "jetstream", "s3"] as const;

/** Loads the suite of a directory. */
export async function service(name: typeof SERVICES[number]): Promise<Service> {
  return (await import(`./${name}/suite.ts`)).suite;
}
