// Snapshots of etcd, written by the real program.

import { KeyedState, stringKeys, utf8Codec } from "../../mod.ts";
import { detectFormat, openFormat } from "../../src/formats.ts";
import { sourceFiles } from "../../src/fs.ts";
import { cutsThatPass, filesOf, fixture, FIXTURES, flipsThatPass, verified } from "../support/format_files.ts";
import { assert, bytesOf, rejects, test } from "../support/harness.ts";

const SNAP = "0000000000000002-000000000000000b.snap";

test("formats, etcd: members, revision and index of a snapshot", async () => {
  const files = await sourceFiles(`${FIXTURES}/etcd/snap.db`);
  assert.deepInclude(await detectFormat(files), { system: "etcd", sure: "certain" });
  const reader = await openFormat(files);
  assert.strictEqual(reader.meta.lastIncludedIndex, 0x28n);
  const { members, revision, clusterVersion, buckets, hasDigest } = reader.details as Record<string, unknown>;
  assert.deepEqual([revision, clusterVersion, hasDigest], [37n, "3.4.0", true]);
  assert.deepInclude((members as object[])[0], {
    id: "2e1259d415f2a040",
    name: "n1",
    peerUrls: ["http://127.0.0.1:23800"],
  });
  assert.deepEqual(reader.meta.peers, ["http://127.0.0.1:23800"]);
  assert.includeMembers(buckets as string[], ["key", "lease", "meta", "auth"]);
  const { ok, unchecked } = await reader.verify().result;
  assert.isTrue(ok);
  assert.deepEqual(unchecked, []);
  assert.deepEqual(await bytesOf(reader.file("snapshot.db")), fixture("etcd/snap.db"));
  await reader.close();
});

test("formats, etcd: a learner is a member that does not vote, and no peer", async () => {
  const reader = await openFormat(await sourceFiles(`${FIXTURES}/etcd/learner.db`)); // of etcd 3.5.17
  assert.deepEqual(reader.meta.peers, ["http://localhost:2380"]);
  const members = reader.details.members as { peerUrls: string[]; suffrage: string }[];
  assert.deepEqual(members.map(({ peerUrls, suffrage }) => [...peerUrls, suffrage]), [
    ["http://127.0.0.1:9", "nonvoter"],
    ["http://localhost:2380", "voter"],
  ]);
  await reader.close();
});

test("formats, etcd: keys come revision by revision, a deleted one without a value", async () => {
  const reader = await openFormat(await sourceFiles(`${FIXTURES}/etcd/snap.db`));
  const text = (bytes: unknown) => bytes === undefined ? undefined : new TextDecoder().decode(bytes as Uint8Array);
  const state = new Map<string, string>();
  let count = 0;
  for await (const { key, value, space } of reader.entries()) {
    assert.strictEqual(space, "key");
    count++;
    if (value === undefined) state.delete(text(key)!);
    else state.set(text(key)!, text(value)!);
  }
  assert.strictEqual(count, 36);
  assert.strictEqual(state.size, 34);
  assert.isFalse(state.has("key7"));
  assert.strictEqual(state.get("key35"), "value number 35");
  const meta = await Array.fromAsync(reader.entries({ space: "meta" }));
  assert.deepEqual(meta.map(({ key }) => text(key)), ["consistent_index"]);
  await reader.close();
});

test("formats, etcd: its keys become keyed state of our own", async () => {
  const reader = await openFormat(await sourceFiles(`${FIXTURES}/etcd/snap.db`));
  const state = new KeyedState({ keys: stringKeys() });
  const values = state.value("value", utf8Codec());
  const text = new TextDecoder();
  for await (const { key, value } of reader.entries()) {
    const name = text.decode(key as Uint8Array);
    if (value === undefined) values.delete(name);
    else values.set(name, text.decode(value as Uint8Array));
  }
  await reader.close();
  assert.strictEqual(state.size, 34);
  assert.strictEqual(values.get("key35"), "value number 35");
});

test("formats, etcd: every change is found by the digest, and each length that it is cut to", async () => {
  const contents = fixture("etcd/snap.db") as Uint8Array;
  assert.deepEqual(await flipsThatPass(contents, undefined, "snap.db", 97), []);
  const passed = new Set<boolean>();
  for (let length = 0; length < contents.length; length += 211) {
    passed.add((await cutsOf(contents, length)).ok);
  }
  assert.deepEqual([...passed], [false]);
});

async function cutsOf(contents: Uint8Array, length: number) {
  try {
    return await verified(filesOf(contents.slice(0, length), "snap.db"));
  } catch {
    return { ok: false };
  }
}

test("formats, etcd: a database without the digest is read, and it is said that nothing protects its values", async () => {
  const database = (fixture("etcd/snap.db") as Uint8Array).slice(0, -32);
  const { ok, unchecked } = await verified(filesOf(database, "db"));
  assert.isTrue(ok);
  assert.lengthOf(unchecked, 1);
  // Pages that do not fit together are found all the same: numbers, kinds, order, and the checksum of the newest meta.
  for (const [page, byte] of [[3, 0], [3, 8], [5, 8], [3, 20], [0, 16]] as const) {
    const changed = database.slice();
    changed[page * 4096 + byte]! ^= 0xff;
    const reading = verified(filesOf(changed, "db")).catch(() => ({ ok: false }));
    // A meta page that is wrong leaves the older one, whose pages are the same here.
    assert.strictEqual((await reading).ok, page === 0, `${page}, ${byte}`);
  }
});

test("formats, etcd: a .snap file, each change of it, and each length that it is cut to", async () => {
  const files = await sourceFiles(`${FIXTURES}/etcd/${SNAP}`);
  assert.deepInclude(await detectFormat(files), { system: "etcd-snap", sure: "certain" });
  const reader = await openFormat(files);
  assert.deepEqual([reader.meta.lastIncludedIndex, reader.meta.lastIncludedTerm], [11n, 2n]);
  assert.deepEqual(reader.meta.peers, ["2e1259d415f2a040"]);
  const state = new TextDecoder().decode(await bytesOf(reader.file("state")));
  assert.hasAllKeys(JSON.parse(state), ["Root", "WatcherHub", "CurrentIndex", "Stats", "CurrentVersion"]);
  await rejects(async () => await Array.fromAsync(reader.entries()), "UNSUPPORTED");
  await reader.close();
  const contents = fixture(`etcd/${SNAP}`);
  assert.deepEqual(await flipsThatPass(contents, undefined, SNAP, 17), []);
  assert.deepEqual(await cutsThatPass((contents as Uint8Array).slice(0, 300), undefined, SNAP), []);
});
