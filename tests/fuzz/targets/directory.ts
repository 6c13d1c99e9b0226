// A directory of snapshots in which somebody has changed files, and put links that lead out of it.

import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import { MemoryStorage, SnapshotManifest } from "../../../mod.ts";
import { DirectoryStorage } from "../../../src/storage/directory/storage.ts";
import { concat, equal, u32 } from "../../../src/stream/mod.ts";
import type { Random } from "../../support/random.ts";
import { noise } from "../../support/harness.ts";
import { mutate } from "../mutate.ts";
import { type Field, treeOf } from "../protobuf.ts";
import { law, must, type Target } from "../target.ts";
import { checkFile, contentOf } from "./content.ts";
import { MANIFEST, mutateManifest } from "./manifest.ts";
import { chunksOf, commitFiles, cut, FILES, META, reading } from "./samples.ts";
import { missingOf } from "../../support/installs.ts";

const MANIFEST_FILE = "__raft_snapshot_meta";
const NEWER = { ...FILES, more: [noise(50, 20)], "d/deep/er": [noise(30, 21)] };
/** What somebody could put into a root, beside what is there. */
const NAMES = [
  ...[
    "temp",
    "temp/x",
    "trash-1",
    "trash-1/x",
    "snapshot_00000000000000000009",
    "snapshot_1",
    ".lock",
    "install-7-00000000",
  ],
  ...["corrupt-1-1", "install-9-abcdef00", "snapshot_00000000000000000000", "other"],
];

/** Everything below a directory, in order: directories, links and files with what is in them. */
function tree(root: string, below = ""): Map<string, string | Uint8Array> {
  const found = new Map<string, string | Uint8Array>();
  for (const name of readdirSync(root + below).sort()) {
    const path = `${below}/${name}`;
    const stat = lstatSync(root + path);
    if (stat.isSymbolicLink()) found.set(path, "link");
    else if (!stat.isDirectory()) found.set(path, new Uint8Array(readFileSync(root + path)));
    else {
      found.set(path, "directory");
      for (const [inner, what] of tree(root, path)) found.set(inner, what);
    }
  }
  return found;
}

/** Makes what {@linkcode tree} has found. */
function plant(root: string, files: ReadonlyMap<string, string | Uint8Array>): void {
  for (const [path, what] of files) {
    if (typeof what === "string") mkdirSync(root + path, { recursive: true });
    else writeFileSync(root + path, what);
  }
}

/** What is outside, which nobody may change: with times, so that writing the same is seen, too. */
function fingerprint(outside: string): string {
  const parts: string[] = [];
  for (const [path, what] of tree(outside)) {
    const { mtimeMs, ino, mode } = lstatSync(outside + path);
    parts.push(`${path} ${mtimeMs} ${ino} ${mode} ${typeof what === "string" ? what : what.join()}`);
  }
  return parts.join("\n");
}

/** Changes something in a root. */
async function spoil(root: string, outside: string, random: Random, manifests: readonly Field[][]): Promise<void> {
  const all = tree(root);
  const files = [...all].filter(([, what]) => typeof what !== "string") as [string, Uint8Array][];
  const [path, bytes] = random.pick(files.length > 0 ? files : [["/none", new Uint8Array(0)]]);
  const directories = [...all.keys()].filter((it) => all.get(it) === "directory");
  const directory = random.pick(directories.length > 0 ? directories : ["/none"]);
  const what = random.below(10);
  try {
    if (what < 3) {
      const manifest = random.pick(files.filter(([path]) => path.endsWith(MANIFEST_FILE)));
      if (manifest === undefined) return;
      const changed = await mutateManifest(manifest[1].subarray(4), random, manifests);
      const framed = random.chance(0.2) ? mutate(manifest[1], random) : concat([u32(changed.length), changed]);
      writeFileSync(root + manifest[0], framed);
    } else if (what < 5) writeFileSync(root + path, mutate(bytes, random));
    else if (what === 5) rmSync(root + random.pick([path, directory]), { recursive: true, force: true });
    else if (what === 6) { // a link to the same, out there
      const linked = random.chance(0.6) ? path : directory;
      const target = `${outside}/copy${random.below(2 ** 30)}`;
      renameSync(root + linked, target);
      symlinkSync(target, root + linked);
    } else if (what === 7) {
      const linked = `/${random.pick(NAMES)}`;
      rmSync(root + linked, { recursive: true, force: true });
      symlinkSync(`${outside}/${random.pick(["secret", "dir", "nothing", "dir/f"])}`, root + linked);
    } else if (what === 8) renameSync(root + directory, `${root}/${random.pick(NAMES)}`);
    else {
      rmSync(root + path);
      mkdirSync(root + path);
    }
  } catch (error) {
    if (!("code" in (error as object))) throw error; // what was chosen cannot be done there
  }
}

/** Whether a path, or a directory on the way to it, is a link. */
function isLinked(root: string, path: string): boolean {
  for (let at = path; at !== "."; at = dirname(at)) {
    if (lstatSync(`${root}/${at}`, { throwIfNoEntry: false })?.isSymbolicLink()) return true;
  }
  return false;
}

export const directory: Target = {
  name: "directory",
  share: 2,
  codes: ["CORRUPT", "MALFORMED", "UNSUPPORTED", "NOT_FOUND", "STALE", "FORBIDDEN", "BUSY"],
  async prepare() {
    const memory = new MemoryStorage();
    await commitFiles(memory, { ...META, lastIncludedIndex: 7n }, NEWER);
    const chunks = new Map<string, Uint8Array[]>();
    const newer: SnapshotManifest = await reading(memory, async (reader) => {
      for (const file of reader.manifest.files) chunks.set(file.name, cut(file, await contentOf(reader, file.name)));
      return reader.manifest;
    });
    const made = mkdtempSync(`${tmpdir()}/snapstream-fuzz-`);
    const template = await DirectoryStorage.open(`${made}/root`, { durability: "none", retain: 5 });
    await commitFiles(template, { ...META, lastIncludedIndex: 3n }, { a: FILES["a"]!, "d/same": FILES["d/same"]! });
    await commitFiles(template, META, FILES);
    const begun = await template.install(newer);
    await begun.prepare();
    await begun.write(newer.content.firstChunk("more"), chunks.get("more")![0]!);
    await begun.close();
    await template.close();
    const files = tree(`${made}/root`);
    const { createdAt: _, ...bare } = META;
    const plain = await SnapshotManifest.of({ ...bare, lastIncludedIndex: 4n }, [{ name: "plain" }]); // as braft's are
    files.set("/snapshot_00000000000000000004", "directory");
    files.set(`/snapshot_00000000000000000004/${MANIFEST_FILE}`, plain.framed);
    files.set("/snapshot_00000000000000000004/plain", noise(20, 30));
    rmSync(made, { recursive: true });
    const manifests = [...files].flatMap(([path, bytes]) =>
      path.endsWith(MANIFEST_FILE) ? [treeOf((bytes as Uint8Array).subarray(4), MANIFEST)!] : []
    );

    /** Writes a snapshot upon what is there. */
    async function goOn(storage: DirectoryStorage, random: Random): Promise<void> {
      if (random.chance(0.5)) {
        const install = await storage.install(newer);
        try {
          await install.prepare();
          for (const { number, name, chunk } of missingOf(install)) {
            await install.write(number, chunks.get(name)![chunk]!);
          }
          await install.commit();
        } finally {
          await install.close();
        }
        return;
      }
      const writer = await storage.create();
      try {
        await writer.reuse(newer.files.filter(({ name }) => name in FILES).slice(0, 1 + random.below(4)));
        await chunksOf([noise(9, 9)]).pipeTo(writer.file("new/file"));
        await writer.commit({ ...META, lastIncludedIndex: 8n });
      } finally {
        await writer.abort();
      }
    }

    return async (random) => {
      const base = mkdtempSync(`${tmpdir()}/snapstream-fuzz-`);
      const [root, outside] = [`${base}/root`, `${base}/outside`];
      mkdirSync(`${outside}/dir`, { recursive: true });
      mkdirSync(root);
      writeFileSync(`${outside}/secret`, "secret");
      writeFileSync(`${outside}/dir/f`, "f");
      plant(root, files);
      const isLate = random.chance(0.3);
      const times = random.pick([1, 1, 2, 3]);
      const spoilAll = async () => {
        for (let i = 0; i < times; i++) await spoil(root, outside, random, manifests);
        return fingerprint(outside);
      };
      let before = isLate ? "" : await spoilAll();
      let storage: DirectoryStorage | undefined;
      let failure: { readonly error: unknown } | undefined;
      const trying = async (work: () => Promise<void>) => await work().catch((error) => void (failure ??= { error }));
      try {
        storage = await DirectoryStorage.open(root, { durability: random.chance(0.1) ? "full" : "none", retain: 5 });
        const opened = storage;
        for (const { error } of opened.damaged) failure ??= { error };
        if (isLate) before = await spoilAll();
        for (const { meta: { lastIncludedIndex: index } } of await opened.list()) {
          await trying(async () => {
            const reader = await opened.open(index);
            try {
              for (const { name, chunks, source } of reader.manifest.files) {
                const place = `snapshot_${String(index).padStart(20, "0")}/${name}`;
                if (!isLate && source !== "reference") {
                  const stat = lstatSync(`${root}/${place}`);
                  law(stat.isFile() && (chunks?.size ?? stat.size) === stat.size, `${place} was looked at on opening`);
                }
                const bytes = await contentOf(reader, name);
                law(!isLinked(root, place), `${place} is read, and is a link`);
                if (reader.verified === "chunks") await checkFile(reader.manifest, name, bytes);
              }
              await reader.verify().result;
            } finally {
              await reader.close();
            }
          });
        }
        await trying(() => goOn(opened, random));
        const [newest] = await opened.list();
        if ((newest?.meta.lastIncludedIndex ?? 0n) >= 7n) {
          await must("it was committed", async () => {
            await reading(opened, async (reader) => {
              for (const { name } of reader.manifest.files) {
                await checkFile(reader.manifest, name, await contentOf(reader, name));
                const own = chunks.get(name);
                if (reader.manifest.index === 7n) {
                  law(equal(concat(own!), await contentOf(reader, name)), "it is right");
                }
              }
            });
          });
        }
      } catch (error) {
        failure ??= { error };
      } finally {
        await storage?.close();
        const after = fingerprint(outside);
        rmSync(base, { recursive: true });
        law(before === after || before === "", `something outside was changed:\n${before}\nis\n${after}`);
      }
      if (failure !== undefined) throw failure.error;
    };
  },
};
