// A pull of the newest snapshot at or before an index or a time.

import { MemoryStorage, pull } from "../../mod.ts";
import { assert, closing, noise, pieces, rejects, test } from "../support/harness.ts";
import { sourceOf, type TestSource } from "../support/servers.ts";

/** Three sources: of all snapshots, of the older ones, and of none. */
async function inWorld(
  work: (sources: readonly TestSource[], take: (at: bigint | number) => Promise<bigint>) => Promise<void>,
): Promise<void> {
  const storages = [new MemoryStorage({ retain: 9 }), new MemoryStorage({ retain: 9 }), new MemoryStorage()];
  for (const [index, createdAt] of [[2n, 1000], [5n, 2000], [9n, 3000]] as const) {
    for (const storage of storages.slice(0, index === 9n ? 1 : 2)) {
      const writer = await storage.create();
      await pieces(noise(100_000, Number(index))).pipeTo(writer.file("state"));
      await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: [], createdAt, writer: "test" });
    }
  }
  const sources = storages.map((storage, i) => sourceOf(`s${i}`, storage));
  await work(sources, async (at) => {
    const here = closing(new MemoryStorage());
    return (await pull(here, sources, { at, retryFor: 0 }).result).snapshot.meta.lastIncludedIndex;
  });
  for (const it of [...sources, ...storages]) await it.close();
}

test("pull at: an index, and a time", () =>
  inWorld(async (_, take) => {
    const cases = [[2n, 2n], [4n, 2n], [5n, 5n], [8n, 5n], [9n, 9n], [99n, 9n], [1000, 2n], [2999, 5n], [
      1e15,
      9n,
    ]] as const;
    for (const [at, index] of cases) assert.equal(await take(at), index, String(at));
    for (const at of [1n, 0, 999]) await rejects(take(at), "NOT_FOUND");
  }));

test("pull at: not with an index, and not older than what is here", () =>
  inWorld(async (sources, take) => {
    const here = new MemoryStorage();
    await rejects(pull(here, sources, { at: 3n, index: 2n }).result, "MALFORMED");
    await pull(here, sources, { at: 5n }).result;
    await rejects(pull(here, sources, { at: 4n }).result, "STALE");
    assert.isTrue((await pull(here, sources, { at: 6n })).upToDate);
    assert.equal(await take(9n), 9n);
    await here.close();
  }));

test("pull at: a source whose list says another time than the manifest", () =>
  inWorld(async (_, take) => {
    const storage = new MemoryStorage();
    const writer = await storage.create();
    await writer.commit({ lastIncludedIndex: 7n, lastIncludedTerm: 1n, peers: [], createdAt: 5000 });
    const lying = sourceOf("lying", storage, async (request, _count, answer) => {
      const response = await answer();
      if (!request.url.endsWith("/snapshots")) return response;
      return new Response((await response.text()).replace(/(?<="createdAt":)5000/, "50"), response);
    }, true);
    const here = closing(new MemoryStorage());
    await rejects(pull(here, [lying], { at: 100, retryFor: 0 }).result, "MALFORMED");
    assert.deepEqual(await here.list(), []);
    await lying.close();
    await storage.close();
    assert.equal(await take(2n), 2n);
  }));
