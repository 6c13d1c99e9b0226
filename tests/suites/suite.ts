// A suite: test files, and the program that runs them.

/** What a suite gave. */
export interface Outcome {
  readonly passed: number;
  readonly failed: number;
  /** All that it printed. */
  readonly output: string;
  /** How long its tests took, in milliseconds, where it was asked to say so. */
  readonly times: readonly (readonly [name: string, duration: number])[];
}

/** Which tests are run, and what is said of them. */
export interface Selection {
  /** The test files, as paths from the project's root. */
  readonly files: readonly string[];
  /** Only tests that have this in their name. */
  readonly filter?: string | undefined;
  /** Say how long each takes. */
  readonly times?: boolean | undefined;
}

/** Runs a program of tests, and takes the counts from its last line of them: `N passed, N failed`. */
export type Run = (program: string, args: readonly string[], env?: Record<string, string>) => Promise<Outcome>;

/** Test files, and what runs them. */
export interface Suite {
  /** For a person: `Node 24, disk`. */
  readonly title: string;
  /** What it runs on: `deno`, `node22`, `node24`, `bun`, `workerd`, `workerd-nodejs`, `chromium`. */
  readonly runtime: string;
  /** The test files that belong to it. */
  readonly files: readonly string[];
  /** Says why it cannot run here, if it cannot: then it is skipped, and its tests counted. */
  lacks?(): string | undefined;
  /** Runs tests: its own, or any others that its runtime can run. */
  run(selection: Selection, run: Run): Promise<Outcome>;
}

/** A suite that is to be run. */
export interface Planned {
  readonly suite: Suite;
  /** Its files, or some of them. */
  readonly files: readonly string[];
  /** See {@linkcode Group.waits}. */
  readonly waits: boolean;
}

/** Suites that are asked for by one name, `deno task test:NAME`, and what they need beside the runtimes. */
export interface Group {
  readonly name: string;
  /** What it needs, for a person: `nats-server (apt-get install nats-server)`. */
  readonly needs?: string;
  /** Whether that is here. */
  installed?(): Promise<boolean>;
  /** Gets it: into `.runtimes`, or Debian's packages. */
  install?(): Promise<void>;
  /** Gets it only where the group is named: it takes too long for a run of all. */
  readonly onRequest?: boolean;
  /** Its suites mostly wait, for servers: one of them at a time runs beside those that keep the processors busy. */
  readonly waits?: boolean;
  /** Its suites, of all test files. */
  suites(files: readonly string[]): readonly Suite[];
}
