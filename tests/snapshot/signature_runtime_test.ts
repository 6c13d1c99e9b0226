import {
  archive,
  ed25519Signer,
  ed25519Verifier,
  MemoryStorage,
  openRemote,
  pull,
  push,
  snapshotHandler,
  streamedArchive,
  type TrustedKey,
  unarchive,
} from "../../mod.ts";
import { assert, noise, pieces, rejects, test } from "../support/harness.ts";
import { save } from "../support/samples.ts";

const newKeys = async () => await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]) as CryptoKeyPair;

/** A storage whose snapshots are signed, and the keys. */
async function signing(createdAt?: number) {
  const keys = await newKeys();
  const storage = new MemoryStorage({ signer: ed25519Signer(keys) });
  const writer = await storage.create();
  await pieces(noise(300_000, 1)).pipeTo(writer.file("state"));
  const meta = { lastIncludedIndex: 9n, lastIncludedTerm: 1n, peers: [] };
  await writer.commit({ ...meta, ...(createdAt !== undefined && { createdAt }) });
  return { storage, keys, publicKey: keys.publicKey };
}

test("signature: of a key that is trusted, as a CryptoKey and raw; not of another, nor of none", async () => {
  const { storage, publicKey } = await signing();
  const { manifest } = await storage.open();
  const raw = new Uint8Array(await crypto.subtle.exportKey("raw", publicKey));
  const other = { publicKey: (await newKeys()).publicKey };
  for (const trusted of [[{ publicKey }], [other, { publicKey: raw }]]) await ed25519Verifier(trusted).verify(manifest);
  await rejects(ed25519Verifier([other]).verify(manifest), "FORBIDDEN");
  await rejects(ed25519Verifier([]).verify(manifest), "FORBIDDEN");
  const unsigned = new MemoryStorage();
  await save(unsigned, 1n, {});
  await rejects(ed25519Verifier([{ publicKey }]).verify((await unsigned.open()).manifest), "FORBIDDEN");
  await Promise.all([storage.close(), unsigned.close()]);
});

test("signature: no bit of it, nor of what it is of, can be changed", async () => {
  const { storage, publicKey } = await signing();
  const { manifest } = await storage.open();
  const verifier = ed25519Verifier([{ publicKey }]);
  const signature = manifest.meta.signature!;
  for (let i = 0; i < signature.length; i++) {
    const changed = signature.slice();
    changed[i]! ^= 1 << (i % 8);
    const meta = { ...manifest.meta, signature: changed };
    await verifier.verify({ index: 9n, digest: manifest.digest, meta }).then(
      () => assert.fail(`byte ${i}`),
      ({ code }) => assert.include(["FORBIDDEN", "CORRUPT"], code),
    );
  }
  const digest = manifest.digest.slice();
  digest[0]! ^= 1;
  await rejects(verifier.verify({ index: 9n, digest, meta: manifest.meta }), "CORRUPT");
  for (const cut of [signature.subarray(1), signature.subarray(0, 72), new Uint8Array(0)]) {
    const meta = { ...manifest.meta, signature: cut };
    await rejects(verifier.verify({ index: 9n, digest: manifest.digest, meta }), "FORBIDDEN");
  }
  await storage.close();
});

test("signature: a key is replaced", async () => {
  const old = await signing(1000);
  const { manifest } = await old.storage.open();
  const next = await signing();
  const trusted: TrustedKey[] = [{ publicKey: next.publicKey }, { publicKey: old.publicKey, until: 2000 }];
  const verifier = ed25519Verifier(trusted);
  await verifier.verify(manifest);
  await verifier.verify((await next.storage.open()).manifest);
  trusted[1] = { publicKey: old.publicKey, until: 999 };
  await rejects(verifier.verify(manifest), "FORBIDDEN");
  trusted.pop(); // seen at once
  await rejects(verifier.verify(manifest), "FORBIDDEN");
  await Promise.all([old.storage.close(), next.storage.close()]);
});

test("signature: with it a manifest may come from anyone; without, from nobody", async () => {
  const { storage, publicKey } = await signing();
  const verifier = ed25519Verifier([{ publicKey }]);
  const handler = snapshotHandler(storage, { allowWrites: true });
  const unsigned = new MemoryStorage();
  await save(unsigned, 9n, { state: noise(10, 1) });
  const liar = snapshotHandler(unsigned, { allowWrites: true });
  const sources = [
    { url: "http://liar", fetch: liar },
    { url: "http://anyone", fetch: handler, chunksOnly: true },
  ];
  const here = new MemoryStorage();
  const errors: string[] = [];
  await pull(here, sources, { verifier, onSourceError: ({ code }) => errors.push(code) }).result;
  assert.deepEqual(errors.slice(0, 1), ["FORBIDDEN"]);
  await verifier.verify((await here.open()).manifest); // it keeps its signature
  await rejects(pull(new MemoryStorage(), sources.slice(0, 1), { verifier }).result, "FORBIDDEN");
  await rejects(openRemote(sources[0]!, { verifier }), "FORBIDDEN");
  await (await openRemote(sources[1]!, { verifier })).close();
  await Promise.all([handler.close(), liar.close(), here.close(), unsigned.close(), storage.close()]);
});

test("signature: of archives, described and streamed; refused by who takes them in before there is a snapshot", async () => {
  const { storage, keys, publicKey } = await signing();
  const verifier = ed25519Verifier([{ publicKey }]);
  const reader = await storage.open();
  const meta = { lastIncludedIndex: 9n, lastIncludedTerm: 1n, peers: [] };
  const write: Parameters<typeof streamedArchive>[1] = (writer) => pieces(noise(1000, 1)).pipeTo(writer.file("a"));
  const other = ed25519Signer(await newKeys());
  const streams = {
    described: [archive(reader), true],
    streamed: [streamedArchive(meta, write, { signer: ed25519Signer(keys) }), true],
    "by another": [streamedArchive(meta, write, { signer: other }), false],
    unsigned: [streamedArchive(meta, write), false],
  } as const;
  for (const [what, [stream, isTrusted]] of Object.entries(streams)) {
    const there = new MemoryStorage();
    const { result } = unarchive(stream, there, { verifier });
    if (isTrusted) await result;
    else await rejects(result, "FORBIDDEN");
    const list = await there.list();
    assert.strictEqual(list.length, isTrusted ? 1 : 0, what);
    if (isTrusted) await verifier.verify((await there.open()).manifest);
    await there.close();
  }
  const there = new MemoryStorage();
  const handler = snapshotHandler(there, { allowWrites: true, verifier });
  const init = { method: "PUT", body: streamedArchive(meta, write), duplex: "half" } as RequestInit;
  const response = await handler(new Request("http://there/snapshots/9", init));
  assert.deepEqual([response.status, (await response.json()).code], [403, "FORBIDDEN"]);
  await Promise.all([handler.close(), there.close(), storage.close()]);
});

test("signature: a verifier that gives false, as Web Crypto does, has refused the snapshot wherever it is asked", async () => {
  const { storage } = await signing();
  const verifier = { verify: () => Promise.resolve(false) as Promise<unknown> as Promise<void> };
  const handler = snapshotHandler(storage);
  const source = { url: "http://there", fetch: handler };
  const reader = await storage.open();
  const [here, limited] = [new MemoryStorage(), new MemoryStorage({ verifier })];
  const taking = snapshotHandler(here, { allowWrites: true, verifier });
  const target = { url: "http://here", fetch: taking };
  const meta = { lastIncludedIndex: 9n, lastIncludedTerm: 1n, peers: [] };
  const write: Parameters<typeof streamedArchive>[1] = (writer) => pieces(noise(1000, 1)).pipeTo(writer.file("a"));
  const ways: Readonly<Record<string, () => PromiseLike<unknown>>> = {
    pull: () => pull(here, [source], { verifier }),
    "pull into a storage that has it": () => pull(limited, [source]),
    openRemote: () => openRemote(source, { verifier }),
    push: () => push(reader, target, { verifier }),
    "push to who has it": () => push(reader, target),
    unarchive: () => unarchive(archive(reader), here, { verifier }),
    "unarchive what is streamed": () => unarchive(streamedArchive(meta, write), here, { verifier }),
    "unarchive into a storage that has it": () => unarchive(archive(reader), limited),
  };
  for (const [way, go] of Object.entries(ways)) {
    const error: { code?: string } = await Promise.resolve(go()).then(() => ({}), (error) => error);
    assert.strictEqual(error.code, "FORBIDDEN", way);
  }
  assert.deepEqual([await here.list(), await limited.list()], [[], []]);
  for (const it of [reader, handler, taking, here, limited, storage]) await it.close();
});
