/**
 * Cases for storages: quarantine.
 *
 * @module
 */

import { check, fails, same } from "./check.ts";
import { type AddCase, bytes, save } from "./storage_kit.ts";

/** Adds the cases of quarantine. */
export function quarantineCases(add: AddCase): void {
  add("who listens is told of what is quarantined", async (storage, { spoil }) => {
    if (spoil === undefined) return;
    await save(storage, 1n, { state: bytes(10, 1) });
    await save(storage, 2n, { state: bytes(10, 2) });
    await spoil(1n);
    await spoil(2n);
    const told: bigint[] = [];
    const end = storage.onQuarantine((index) => void told.push(index));
    storage.onQuarantine(() => {
      throw new Error("the listener's own affair");
    });
    check(await storage.quarantine(2n, "found bad"), "it is quarantined");
    same(told.join(), "2", "told");
    end();
    check(await storage.quarantine(1n, "found bad"), "the other is quarantined too");
    same(told.join(), "2", "told after it was ended");
  });

  add("what is good is not quarantined, whoever says that it is bad", async (storage) => {
    await save(storage, 1n, { state: bytes(300_000, 1) });
    await save(storage, 2n, { state: bytes(300_000, 2) });
    const told: bigint[] = [];
    storage.onQuarantine((index) => void told.push(index));
    check(!await storage.quarantine(2n, "a rumour"), "it is not quarantined");
    check(!await storage.quarantine(7n, "a rumour"), "nor is what is not here");
    same(told.length, 0, "told");
    same((await storage.quarantined()).length, 0, "what is quarantined");
    same((await storage.list()).map(({ meta }) => meta.lastIncludedIndex).join(), "2,1", "what is there");
    await fails(() => storage.restore(2n), "NOT_FOUND");
    same((await storage.unreadable()).length, 0, "what cannot be read");
  });

  add("what is quarantined is not opened any more; the one before it is", async (storage, { spoil }) => {
    if (spoil === undefined) return;
    await save(storage, 1n, { state: bytes(10, 1) });
    await save(storage, 2n, { state: bytes(10, 2) });
    await spoil(2n);
    const reader = await storage.open();
    check(await storage.quarantine(2n, "a test"), "it is quarantined");
    await fails(() => storage.open(2n), "NOT_FOUND");
    await reader.close();
    const older = await storage.open();
    same(older.meta.lastIncludedIndex, 1n, "index");
    await older.close();
    check(await storage.quarantine(2n, "once more"), "it is quarantined still");
    same((await storage.quarantined()).map(({ index }) => index).join(), "2", "what is quarantined");
    await fails(() => storage.restore(2n), "CORRUPT"); // it is still bad
    await save(storage, 2n, { state: bytes(10, 3) }); // can be taken again
    await fails(() => storage.restore(2n), "BUSY");
    check((await (await storage.open()).verify().result).ok, "the one that was taken again is good");
  });
}
