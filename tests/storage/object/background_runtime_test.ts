// What fails in the background is counted, told, and done again.

import { archive, SnapshotError, unarchive } from "../../../mod.ts";
import type { FailingTask } from "../../../src/extend.ts";
import { MemoryBucket } from "../../../src/object.ts";
import { assert, noise, rejects, test } from "../../support/harness.ts";
import { openStorage, save } from "../../support/object_storage.ts";
import { overriding } from "../../support/overriding.ts";

const refused = () => Promise.reject(new SnapshotError("FORBIDDEN", "you may not do that"));

test("object storage: a collection that fails is counted, said at the tenth time in a row, and made again", async () => {
  const inner = new MemoryBucket();
  let mayList = false;
  const bucket = overriding(inner, {
    list: (options) => mayList || options?.prefix !== "packs/" ? inner.list(options) : refused(),
  });
  const warnings: string[] = [];
  const told: FailingTask[] = [];
  const storage = await openStorage(bucket, {
    onWarning: ({ message }) => warnings.push(message),
    onFailing: (task) => told.push(task),
  });
  let index = 0n;
  const commit = async () => {
    await save(storage, ++index, { state: noise(3000, Number(index)) });
    await storage.collect().catch(() => {}); // waits for the one after the commit
  };
  await commit();
  await commit();
  assert.deepEqual(storage.failing(), [], "nothing was retired yet");
  for (let failures = 1; failures <= 21; failures++) {
    await commit();
    assert.deepEqual(storage.failing().map(({ task, failures }) => [task, failures]), [["collect", failures]]);
    assert.match(warnings.at(-1)!, new RegExp(`could not be deleted, ${failures} times in a row: .*you may not`));
  }
  assert.equal(warnings.length, 21, "each is a warning");
  assert.deepEqual(told.map(({ task, failures }) => `${task} ${failures}`), ["collect 10", "collect 20"]);
  assert.equal(told[0]!.since, told[1]!.since, "since the first of them");
  mayList = true;
  await commit();
  assert.deepEqual(storage.failing(), []);
  mayList = false;
  await commit();
  assert.equal(storage.failing()[0]?.failures, 1, "counted anew");
  await storage.close();
});

test("object storage: what is left of an install that cannot be deleted is told, and waited for by close", async () => {
  const source = await openStorage(new MemoryBucket());
  await save(source, 5n, { state: noise(3000, 1) });
  const reader = await source.open();
  const inner = new MemoryBucket();
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  const bucket = overriding(inner, {
    async delete(keys, options) {
      if (!keys.some((key) => key.startsWith("installs/"))) return await inner.delete(keys, options);
      await held;
      return await refused();
    },
  });
  const warnings: string[] = [];
  const storage = await openStorage(bucket, { onWarning: ({ message }) => warnings.push(message) });
  await unarchive(archive(reader), storage).result;
  release();
  await rejects(storage.collect(), "FORBIDDEN");
  assert.match(warnings.join(), /What is left of an install could not be deleted.*1 times in a row/);
  assert.deepEqual(storage.failing().map(({ task }) => task), ["release"]);
  await storage.close();
  await reader.close();
  await source.close();
});

test("object storage: closing waits for what it does in the background", async () => {
  const source = await openStorage(new MemoryBucket());
  await save(source, 5n, { state: noise(3000, 1) });
  const reader = await source.open();
  const inner = new MemoryBucket();
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  let isDeleted = false;
  const bucket = overriding(inner, {
    async delete(keys, options) {
      const isInstall = keys.some((key) => key.startsWith("installs/"));
      if (isInstall) await held;
      await inner.delete(keys, options);
      isDeleted ||= isInstall;
    },
  });
  const storage = await openStorage(bucket, { grace: 3600_000 });
  await unarchive(archive(reader), storage).result;
  let isClosed = false;
  const closing = storage.close().then(() => isClosed = true);
  await new Promise((resolve) => setTimeout(resolve)); // all that does not wait for the bucket is done by then
  assert.isFalse(isClosed);
  release();
  await closing;
  assert.isTrue(isDeleted);
  await reader.close();
  await source.close();
});
