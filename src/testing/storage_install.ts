/**
 * Cases for storages: archives and installs.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import { archive, type SnapshotReader, unarchive } from "../snapshot/mod.ts";
import { concat, equal } from "../stream/mod.ts";
import { check, fails, same } from "./check.ts";
import { type AddCase, bytes, type MakeStorage, manifestOf, missingOf, read, save, streamOf } from "./storage_kit.ts";

/** Adds the cases of archives and installs. */
export function installCases(add: AddCase, make: MakeStorage): void {
  add("an archive carries a snapshot over, and is all or nothing", async (storage) => {
    await save(storage, 3n, { "a/b": bytes(600_000, 1), c: bytes(5, 2) });
    const reader = await storage.open();
    const whole = await read(archive(reader));
    const { digest } = reader.manifest;
    await reader.close();
    const { storage: other, cleanUp } = await make();
    try {
      for (const length of [0, 5, 100, 300_000, whole.length - 1]) {
        await fails(
          () => unarchive(streamOf(whole.slice(0, length)), other).result,
          length < 9 ? length === 0 ? "MALFORMED" : "CORRUPT" : "CORRUPT",
        );
      }
      same((await other.list()).length, 0, "snapshots after archives that were cut short");
      const info = await unarchive(streamOf(whole), other).result;
      check(equal(info.digest, digest), "the digest is the same");
      const copy = await other.open(3n);
      check(equal(await read(copy.file("a/b")), bytes(600_000, 1)), "the content is the same");
      await fails(() => unarchive(streamOf(whole), other).result, "STALE");
    } finally {
      await other.close();
      await cleanUp();
    }
  });

  add("an install: verified, in any order, resumed, and nothing twice", async (storage) => {
    const old = bytes(1_500_000, 7);
    const content = old.slice();
    content.set(bytes(1000, 9), 300_000); // one chunk differs
    const manifest = await manifestOf(make, 20n, { state: content, same: old, tiny: bytes(5, 1) });
    await save(storage, 10n, { state: old });
    let install = await storage.install(manifest);
    await fails(() => storage.install(manifest), "BUSY");
    let reused = 0;
    await install.prepare({ onReused: (count) => reused += count });
    same(reused, 2 * old.length - 262_144, "bytes that were here");
    const missing = [...missingOf(install)];
    same(missing.map(({ name, chunk }) => `${name} ${chunk}`).join(), "state 1,tiny 0", "what is missing");
    const [middle, tiny] = missing.map(({ number }) => number) as [number, number];
    await fails(() => install.write(middle, old.slice(262_144, 2 * 262_144)), "CORRUPT");
    for (const none of [manifest.content.count, -1, 0.5, NaN]) await fails(() => install.write(none, old), "MALFORMED");
    await fails(() => install.commit(), "MALFORMED");
    await install.write(middle, content.slice(262_144, 2 * 262_144));
    await install.close();
    await fails(() => install.write(tiny, bytes(5, 1)), "CLOSED");

    install = await storage.install(manifest);
    await install.prepare();
    const left = [...missingOf(install)];
    check(left.length <= missing.length, "no more is missing than before");
    for (const { number, name, start, end } of left) {
      const whole = name === "tiny" ? bytes(5, 1) : name === "same" ? old : content;
      await install.write(number, whole.slice(start, end));
    }
    await install.commit();
    await install.close();
    const reader = await storage.open();
    same(reader.meta.lastIncludedIndex, 20n, "index");
    check(equal(reader.manifest.digest, manifest.digest), "the digest is the same");
    check(
      equal(await read(reader.file("state")), content) && equal(await read(reader.file("same")), old),
      "the content is right",
    );
    await fails(() => storage.install(manifest), "STALE");
  });

  add("an install: the same chunk is wanted once, and put wherever it belongs", async (storage) => {
    const [one, two] = [bytes(262_144, 3), bytes(262_144, 4)];
    const twice = concat([one, two, one, one]);
    const manifest = await manifestOf(make, 20n, { a: twice, b: one, c: concat([two, bytes(10, 5)]) });
    const install = await storage.install(manifest);
    let reused = 0;
    await install.prepare({ onReused: (_, chunks) => reused += chunks });
    let written = 0;
    for (const { number, name, start, end } of missingOf(install)) {
      const whole = name === "a" ? twice : name === "b" ? one : concat([two, bytes(10, 5)]);
      await install.write(number, whole.slice(start, end));
      written++;
    }
    same(written, 3, "chunks that are not the same");
    same(reused, 4, "chunks that are");
    await install.commit();
    await install.close();
    const reader = await storage.open();
    check(equal(await read(reader.file("a")), twice), "a");
    check(equal(await read(reader.file("b")), one), "b");
    check((await reader.verify().result).ok, "it verifies");
  });

  add("an install: what has come can be read, and nothing else; also while it becomes a snapshot", async (storage) => {
    const content = bytes(1_000_000, 7);
    const manifest = await manifestOf(make, 20n, { state: content });
    same(storage.installing, undefined, "an install before it is begun");
    const install = await storage.install(manifest);
    check(storage.installing === install, "the install that is open is known");
    await install.prepare();
    await install.write(1, content.slice(262_144, 2 * 262_144));
    check(install.has(1) && !install.has(0), "which chunks are here");
    const part = await read(install.file("state", { start: 262_150, end: 300_000 }));
    check(equal(part, content.slice(262_150, 300_000)), "what has come");
    await fails(() => read(install.file("state", { start: 262_143, end: 262_145 })), "NOT_FOUND");
    await fails(() => read(install.file("other")), "NOT_FOUND");
    install.expect(0, true);
    same(install.held().bytes[0], 0b0010, "which chunks are here");
    same(install.expected().bytes[0], 0b0011, "which chunks are here or expected");
    for (const i of [0, 2, 3]) await install.write(i, content.slice(i * 262_144, (i + 1) * 262_144));
    const reading = install.file("state").getReader();
    const first = (await reading.read()).value!;
    await install.commit();
    same(storage.installing, undefined, "an install after it was committed");
    const parts = [first];
    for (;;) {
      const { done, value } = await reading.read();
      if (done) break;
      parts.push(value);
    }
    check(equal(concat(parts), content), "reading goes on");
    await install.close();
  });

  add("an install's check can refuse it: it stays to be resumed, unless it would be refused again", async (storage) => {
    const files = { state: bytes(600_000, 1), tiny: bytes(5, 1) };
    const manifest = await manifestOf(make, 20n, files);
    await save(storage, 10n, { state: bytes(10, 1) });
    const receive = async (look: (reader: SnapshotReader) => Promise<void>) => {
      const install = await storage.install(manifest);
      try {
        await install.prepare();
        for (const { number, name, start, end } of missingOf(install)) {
          await install.write(number, files[name as keyof typeof files].slice(start, end));
        }
        return await install.commit({ check: look });
      } finally {
        await install.close();
      }
    };
    for (const code of ["UNAVAILABLE", "UNSUPPORTED", "FORBIDDEN", "MALFORMED", "TIMEOUT", "CORRUPT"] as const) {
      await fails(() => receive(() => Promise.reject(new SnapshotError(code, "not now"))), code);
      const isFinal = ["UNSUPPORTED", "MALFORMED", "CORRUPT"].includes(code);
      same((await storage.unfinished()).length, isFinal ? 0 : 1, `unfinished after ${code}`);
      same(
        (await storage.list()).map(({ meta }) => meta.lastIncludedIndex).join(),
        "10",
        `what is there after ${code}`,
      );
    }
    await receive(async (reader) => {
      check(equal(await read(reader.file("state")), files.state), "the content");
      check(equal(await read(reader.file("tiny")), files.tiny), "the other file");
      same((await storage.list()).length, 1, "snapshots meanwhile");
    });
    same((await storage.list()).map(({ meta }) => meta.lastIncludedIndex).join(), "20,10", "what is there then");
  });

  add("an install that was closed is known as unfinished", async (storage) => {
    const manifest = await manifestOf(make, 20n, { state: bytes(300_000, 7) });
    same((await storage.unfinished()).length, 0, "unfinished installs");
    const install = await storage.install(manifest);
    await install.prepare();
    await install.close();
    const [left] = await storage.unfinished();
    check(left !== undefined && equal(left.digest, manifest.digest), "the one that was closed");
    await fails(() => read(install.file("state")), "CLOSED");
  });
}
