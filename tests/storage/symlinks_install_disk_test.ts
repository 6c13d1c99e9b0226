// Symbolic links, and a pipe, that somebody puts into an install: it takes nothing from behind them, and writes nothing there.

import { spawnSync } from "node:child_process";
import { lstat, rename, rm, symlink } from "node:fs/promises";
import type { SnapshotManifest } from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { assert, rejects, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { contentOf, namesIn, save } from "../support/directory_storage.ts";
import { beside, MANIFEST } from "./outside.ts";
import { numberOf, writeChunk } from "../support/installs.ts";

/** The manifest of {@linkcode contentOf} 3, to be installed. */
function manifestOfThree(): Promise<SnapshotManifest> {
  return inTemp(async (directory) => {
    const storage = await DirectoryStorage.open(directory);
    await save(storage, 3n);
    const reader = await storage.open();
    await storage.close();
    return reader.manifest;
  });
}

test("links: an install that is gone on with takes nothing from behind links, and writes nothing there", () =>
  beside(async (storage, root, outside) => {
    const manifest = await manifestOfThree();
    const { state } = contentOf(3n);
    const first = await storage.install(manifest);
    await first.prepare();
    for (const [name, content] of Object.entries(contentOf(3n))) {
      if (name !== "state") await writeChunk(first, name, 0, content);
    }
    await writeChunk(first, "state", 0, state!.slice(0, 262_144));
    await first.close();
    const [place] = (await namesIn(root)).filter((name) => name.startsWith("install-"));
    const path = `${root}/${place}`;
    // The same bytes: they would be taken, were the link followed.
    for (const name of ["state", "a/b"]) {
      await rename(`${path}/${name}`, `${path}.was`);
      await symlink(`${path}.was`, `${path}/${name}`);
      const before = await lstat(`${path}.was`);
      const again = await storage.install(manifest);
      await again.prepare();
      assert.isFalse(again.has(numberOf(again, name, 0)), name);
      for (let i = 0; i < manifest.file(name).chunks!.count; i++) {
        await writeChunk(again, name, i, contentOf(3n)[name]!.slice(i * 262_144, (i + 1) * 262_144));
      }
      await again.close();
      assert.equal((await lstat(`${path}.was`)).mtimeMs, before.mtimeMs);
      assert.isTrue((await lstat(`${path}/${name}`)).isFile());
    }
    await rm(`${path}/${MANIFEST}`);
    await symlink(`${outside}/b`, `${path}/${MANIFEST}`);
    await symlink(`${outside}/c`, `${path}/${MANIFEST}.tmp`);
    const last = await storage.install(manifest);
    await last.prepare(); // begins anew
    assert.isFalse(last.has(numberOf(last, "state", 0)));
    await last.close();
  }));

test("links: an install that is replaced, and a directory in it, while it is being received", () =>
  beside(async (storage, root, outside) => {
    const manifest = await manifestOfThree();
    const install = await storage.install(manifest);
    await install.prepare();
    const [place] = (await namesIn(root)).filter((name) => name.startsWith("install-"));
    await symlink(outside, `${root}/${place}/a`);
    await rejects(writeChunk(install, "a/b", 0, contentOf(3n)["a/b"]!), "CORRUPT");
    await rename(`${root}/${place}`, `${root}/../was`);
    await symlink(outside, `${root}/${place}`);
    await rejects(writeChunk(install, "state", 0, contentOf(3n).state!.slice(0, 262_144)), "CORRUPT");
    await install.close();
    assert.deepEqual(await storage.unfinished(), []);
    const again = await storage.install(manifest); // the link makes way
    await again.prepare();
    await writeChunk(again, "a/b", 0, contentOf(3n)["a/b"]!);
    await again.close();
  }));

test("links: a pipe in the place of a file of an install does not hold it up", () =>
  beside(async (storage, root) => {
    const manifest = await manifestOfThree();
    const first = await storage.install(manifest);
    await first.prepare();
    await first.close();
    const [place] = (await namesIn(root)).filter((name) => name.startsWith("install-"));
    assert.equal(spawnSync("mkfifo", [`${root}/${place}/state`]).status, 0);
    const again = await storage.install(manifest);
    await again.prepare(); // to open a pipe waits for whoever opens its other end
    assert.isFalse(again.has(numberOf(again, "state", 0)));
    await rejects(writeChunk(again, "state", 0, contentOf(3n).state!.slice(0, 262_144)), "UNAVAILABLE");
    await again.close();
  }));
