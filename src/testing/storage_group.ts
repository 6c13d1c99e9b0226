/**
 * Cases for storages: groups.
 *
 * @module
 */

import { unarchive } from "../snapshot/mod.ts";
import { fails, same } from "./check.ts";
import { type AddCase, bytes, type MakeStorage, missingOf, offered, read, save, streamOf } from "./storage_kit.ts";

/** Adds the cases of groups. */
export function groupCases(add: AddCase, make: MakeStorage): void {
  add("a group: every snapshot says it, and what comes from elsewhere must be of it", async (storage) => {
    storage.bindGroup("users");
    same(storage.group, "users", "the group");
    same((await save(storage, 10n, { state: bytes(10, 1) })).meta.group, "users", "group of what is saved");
    for (const group of ["orders", undefined, "Users", "users "]) {
      const { whole, manifest } = await offered(make, 20n, group);
      await fails(() => unarchive(streamOf(whole), storage).result, "FORBIDDEN");
      await fails(() => storage.install(manifest), "FORBIDDEN");
      const raw = await storage.create({ raw: true });
      await fails(() => raw.commit({ ...manifest.meta, lastIncludedIndex: 20n }), "FORBIDDEN");
      same(storage.installing, undefined, "an install");
      same((await storage.unfinished()).length, 0, "unfinished installs");
      same((await storage.list()).map(({ meta }) => meta.lastIncludedIndex).join(), "10", "what is there");
    }
    await fails(() => save(storage, 11n, {}, "orders"), "FORBIDDEN");
    const { whole } = await offered(make, 20n, "users");
    same((await unarchive(streamOf(whole), storage).result).meta.group, "users", "group of what was taken in");
    storage.bindGroup("users");
    await fails(() => storage.bindGroup("orders"), "FORBIDDEN");
    for (const wrong of ["", "a\0b", "\ud800", "x".repeat(256), "ü".repeat(128), null, 5]) {
      await fails(() => storage.bindGroup(wrong as string), "MALFORMED");
    }
    same(storage.group, "users", "the group after that");
  });

  add("a group: not told one, a storage is of the group of what is there, which may be none", async (storage) => {
    await unarchive(streamOf((await offered(make, 10n, "users")).whole), storage).result;
    same(storage.group, undefined, "it was told none");
    for (const group of ["orders", undefined]) {
      const { whole, manifest } = await offered(make, 20n, group);
      await fails(() => unarchive(streamOf(whole), storage).result, "FORBIDDEN");
      await fails(() => storage.install(manifest), "FORBIDDEN");
    }
    same((await save(storage, 11n, {})).meta.group, "users", "group of what is saved");
    await fails(() => save(storage, 12n, {}, "orders"), "FORBIDDEN");

    const { storage: plain, cleanUp } = await make();
    try {
      await unarchive(streamOf((await offered(make, 10n, undefined)).whole), plain).result;
      const { whole, manifest } = await offered(make, 20n, "users");
      await fails(() => unarchive(streamOf(whole), plain).result, "FORBIDDEN");
      await fails(() => plain.install(manifest), "FORBIDDEN");
      same((await save(plain, 11n, {})).meta.group, undefined, "none stays none");
      same((await save(plain, 12n, {}, "users")).meta.group, "users", "until a save says it");
      await unarchive(streamOf(whole), plain).result;
    } finally {
      await plain.close();
      await cleanUp();
    }
  });

  add("a group: of two that come to an empty storage at once, the first says it", async (storage) => {
    const { storage: theirs, cleanUp } = await make();
    try {
      await save(theirs, 20n, { state: bytes(70_000, 20) }, "users");
      const reader = await theirs.open();
      const install = await storage.install(reader.manifest);
      await install.prepare();
      for (const { number, name, start, end } of missingOf(install)) {
        await install.write(number, await read(reader.file(name, { start, end, raw: true })));
      }
      await reader.close();
      await save(storage, 10n, { state: bytes(10, 1) }, "orders");
      await fails(() => install.commit(), "FORBIDDEN");
      await install.close();
    } finally {
      await theirs.close();
      await cleanUp();
    }
    const [only, ...more] = await storage.list();
    same(`${only?.meta.lastIncludedIndex} ${only?.meta.group} ${more.length}`, "10 orders 0", "what is there");
  });

  add(
    "a group: what lies there of another is left as it is, and what has none is the storage's own",
    async (storage) => {
      await save(storage, 3n, { state: bytes(10, 3) });
      await save(storage, 50n, { state: bytes(10, 5) }, "orders");
      storage.bindGroup("users");
      const indices = async () => (await storage.list()).map(({ meta }) => meta.lastIncludedIndex).join();
      same(await indices(), "3", "its own");
      const reader = await storage.open();
      same(reader.meta.lastIncludedIndex, 3n, "the newest");
      await reader.close();
      await fails(() => storage.open(50n), "FORBIDDEN");
      await storage.quarantine(50n, "not found bad at all");
      for (const index of [4n, 5n, 60n, 61n]) await save(storage, index, { state: bytes(10, 7) });
      same(await indices(), "61,60", "two are kept");
      await fails(() => storage.open(50n), "FORBIDDEN"); // neither retired nor quarantined
      const { whole } = await offered(make, 62n, "orders");
      await fails(() => unarchive(streamOf(whole), storage).result, "FORBIDDEN");
    },
  );
}
