// A second tab: it reads beside the one that has the storage open, or waits until that is closed. OPFS is in memory
// here; tests/browser has the browser's own.

import { archive } from "../../mod.ts";
import { OpfsStorage } from "../../src/opfs.ts";
import { assert, bytesOf, noise, rejects, test, turns } from "../support/harness.ts";
import { copyOf, memoryOpfs, type OpfsNode, withOpfs } from "../support/memory_opfs.ts";
import { save } from "../support/samples.ts";

function inOpfs(work: (root: Map<string, OpfsNode>) => Promise<void>): Promise<void> {
  const root = new Map<string, OpfsNode>();
  return withOpfs(memoryOpfs(root, { before: () => {}, bytes: (_, bytes) => bytes }), () => work(root));
}

test("OPFS, read-only: a second tab reads what there is, beside the first, and changes nothing", () =>
  inOpfs(async (root) => {
    const first = await OpfsStorage.open("app/snapshots");
    await save(first, 7n, { state: noise(300_000, 1) });
    const writer = await first.create(); // a place that an opening would sweep
    const before = copyOf(root);
    const second = await OpfsStorage.open("app/snapshots", { readOnly: true });
    const third = await OpfsStorage.open("app/snapshots", { readOnly: true });
    assert.deepEqual((await second.list()).map(({ meta }) => meta.lastIncludedIndex), [7n]);
    const reader = await second.open();
    assert.deepEqual(await bytesOf(reader.file("state")), noise(300_000, 1));
    assert.isTrue((await reader.verify()).ok);
    await archive(reader).cancel();
    await rejects(save(second, 8n, { state: noise(10, 1) }), "FORBIDDEN");
    await rejects(second.install(reader.manifest), "STALE");
    await reader.close();
    await Promise.all([second.close(), third.close()]);
    assert.deepEqual(copyOf(root), before);
    await writer.abort();
    await save(first, 8n, { state: noise(10, 1) }); // it has its lock still
    await first.close();
  }));

test("OPFS, read-only: what is damaged is named, and stays where it is", () =>
  inOpfs(async (root) => {
    const first = await OpfsStorage.open("snapshots");
    await save(first, 1n, { state: noise(3000, 1) });
    await first.close();
    for (const node of walk(root)) if ("bytes" in node && node.bytes.length === 3000) node.bytes = node.bytes.slice(1);
    const before = copyOf(root);
    const second = await OpfsStorage.open("snapshots", { readOnly: true });
    assert.deepEqual(await second.list(), []);
    assert.deepEqual(second.damaged.map(({ index }) => index), [1n]);
    await second.close();
    assert.deepEqual(copyOf(root), before);
  }));

test("OPFS, read-only: what is not there is not made", () =>
  inOpfs(async (root) => {
    await rejects(OpfsStorage.open("snapshots", { readOnly: true }), "NOT_FOUND");
    assert.strictEqual(root.size, 0);
  }));

test("OPFS: a second tab that waits has the storage as soon as the first is closed, or when it gives up is told so", () =>
  inOpfs(async () => {
    const first = await OpfsStorage.open("snapshots");
    await rejects(OpfsStorage.open("snapshots"), "BUSY");
    const stop = new AbortController();
    const impatient = rejects(OpfsStorage.open("snapshots", { wait: stop.signal }), "CANCELLED");
    let isOpen = false;
    const opening = OpfsStorage.open("snapshots", { wait: new AbortController().signal }).then((it) => {
      isOpen = true;
      return it;
    });
    await turns();
    assert.isFalse(isOpen);
    stop.abort();
    await impatient;
    await rejects(OpfsStorage.open("snapshots", { wait: stop.signal }), "CANCELLED");
    await first.close();
    const second = await opening;
    await save(second, 1n, { state: noise(10, 1) });
    await second.close();
  }));

function* walk(node: Map<string, OpfsNode>): Generator<OpfsNode> {
  for (const below of node.values()) {
    yield below;
    if (below instanceof Map) yield* walk(below);
  }
}
