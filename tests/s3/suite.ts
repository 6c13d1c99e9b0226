// The suite of S3: moto's server, which is a double of it, and servers that people run.

import { existsSync } from "node:fs";
import { serviceOf } from "../suites/files.ts";
import { onDeno } from "../suites/runners.ts";
import { BUILD, bundle, imports, onNode, onWorkerd } from "../suites/program.ts";
import { runtime, RUNTIMES } from "../suites/runtimes.ts";
import type { Group, Selection, Suite } from "../suites/suite.ts";
import { workerdCommand } from "../suites/workerd.ts";
import { moto, type S3Kind, s3rver, seaweedfs, versitygw } from "../support/s3_kinds.ts";

/** The tests that run on each runtime: every bucket's. */
const EVERYWHERE = ["tests/s3/s3_test.ts"];
/** The tests of what is relied upon, for each kind of server. */
const ON_EACH = ["tests/s3/history_test.ts", "tests/s3/s3_test.ts", "tests/s3/storage_test.ts"];
/** The tests of a server that does not do what is relied upon. */
const UNHEEDING = ["tests/s3/unheeding_test.ts"];
/** The servers that not every machine can have. */
const OTHERS = [versitygw, seaweedfs, s3rver];

/** The group. Each of its suites has a server of its own. */
export const suite: Group = {
  name: "s3",
  waits: true,
  needs: "moto's S3 server (pip install moto)",
  installed: () => Promise.resolve(moto.installed() && OTHERS.every((kind) => kind.installed() || lacks(kind))),
  async install() {
    for (const kind of [moto, ...OTHERS]) {
      if (kind.installed()) continue;
      console.error(`Installing ${kind.title} into .runtimes …`);
      await kind.install().catch(async (error) => {
        if (kind === moto) throw error;
        await Deno.writeTextFile(lackingPath(kind), String(error.message));
      });
    }
  },
  suites: (files) => [
    onServer(moto, "S3, Deno", files.filter((file) => serviceOf(file) === "s3" && !UNHEEDING.includes(file))),
    onServer(versitygw, "S3 of versitygw, Deno", ON_EACH),
    onServer(seaweedfs, "S3 of SeaweedFS, Deno", ON_EACH),
    onServer(s3rver, "S3 of s3rver, Deno", UNHEEDING),
    ...(["node24", "bun"] as const).map((name): Suite => ({
      title: `S3, ${name === "bun" ? "Bun" : "Node 24"}`,
      runtime: name,
      files: EVERYWHERE,
      run: (selection, run) =>
        withServer(
          moto,
          async (server) =>
            await run(await runtime(name), [await program(name, "deno", server, selection, onNode(selection))]),
        ),
    })),
    {
      title: "S3, workerd",
      runtime: "workerd",
      files: EVERYWHERE,
      run: (selection, run) =>
        withServer(moto, async (server) => {
          const path = await program("workerd", "browser", server, selection, onWorkerd(selection));
          return await run(...await workerdCommand(path, { network: true }));
        }),
    },
  ],
};

/** Tests on Deno, with a server of a kind. */
function onServer(kind: S3Kind, title: string, files: readonly string[]): Suite {
  return {
    ...onDeno(title, files),
    lacks: () => kind.installed() ? undefined : `${kind.title}: ${lacks(kind) ?? "it is not installed"}`,
    run: (selection, run) =>
      withServer(kind, (server) => onDeno(title, selection.files, { env: { S3_SERVER: server } }).run(selection, run)),
  };
}

/** Where it is said why a server cannot be had on this machine. */
function lackingPath({ title }: S3Kind): string {
  return `${RUNTIMES}/no ${title}`;
}

/** Why a server cannot be had on this machine, if that was tried. */
function lacks(kind: S3Kind): string | undefined {
  return existsSync(lackingPath(kind)) ? Deno.readTextFileSync(lackingPath(kind)) : undefined;
}

/** Runs something with a server, which it is told of as JSON. */
async function withServer<T>(kind: S3Kind, work: (server: string) => Promise<T>): Promise<T> {
  const { stop, ...server } = await kind.start();
  try {
    return await work(JSON.stringify({ ...server, kind: kind.title }));
  } finally {
    await stop();
  }
}

/** One module of tests, which know where the server is. */
async function program(
  name: string,
  platform: "deno" | "browser",
  server: string,
  { files }: Selection,
  end: readonly string[],
): Promise<string> {
  const where = `${BUILD}/s3-${name}-server.ts`;
  await Deno.mkdir(BUILD, { recursive: true });
  await Deno.writeTextFile(where, `Object.assign(globalThis, { S3_SERVER: ${server} });`);
  return await bundle(`s3-${name}`, platform, [`import "${where}";`, ...imports(files), ...end]);
}
