// Snapshots over braft's FileService: frames as the real program sent them, a node as strict as braft's, and strangers.

import { connect, createServer, type Socket } from "node:net";
import { MemoryStorage, type SnapshotReader, type SnapshotStorage, Throttle } from "../../mod.ts";
import { pullBraft, serveBraft } from "../../src/braft.ts";
import {
  CODES,
  decodeGetFile,
  decodePart,
  decodeSegments,
  encodeError,
  encodeGetFile,
  encodePart,
  type Frame,
  FrameReader,
} from "../../src/braft/frames.ts";
import { openFormat } from "../../src/formats.ts";
import { sourceFiles } from "../../src/fs.ts";
import { toHex } from "../../src/stream/mod.ts";
import { commitFiles, META } from "../fuzz/targets/samples.ts";
import { FIXTURES } from "../support/format_files.ts";
import { assert, bytesOf, closing, noise, rejects, test } from "../support/harness.ts";

/** What a follower of braft sent for the file `Z`, and what the leader answered: brpc 1.17. */
const REQUEST = "50525043" + "00000037" + "00000021" +
  "0a1d0a1162726166742e46696c655365727669636512086765745f66696c652007" +
  "08bafbd7b5e999f8ffff0112015a1880800820002801";
const ANSWER = "50525043" + "00000025" + "00000010" + "12020800180020072811500058006200" + "08011005" +
  "0000000000000000" + "00000005" + "7570706572";
const READER = -34297080316486n;

function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.length; at += 7) yield bytes.subarray(at, at + 7);
}

async function frameOf(hex: string): Promise<Frame> {
  return (await new FrameReader(one(fromHex(hex))).next(1000))!;
}

test("braft: a request is byte for byte what a follower of braft sends, and an answer of its leader is read", async () => {
  const wanted = { reader: READER, name: "Z", count: 131_072n, offset: 0n, partly: true };
  assert.strictEqual(toHex(encodeGetFile(7n, wanted)), REQUEST);
  const request = await frameOf(REQUEST);
  assert.deepInclude(request, { correlation: 7n, service: "braft.FileService", method: "get_file" });
  assert.deepEqual(decodeGetFile(request.message), wanted);
  const { correlation, code, message, attachment } = await frameOf(ANSWER);
  assert.deepEqual([correlation, code, decodePart(message)], [7n, 0, { eof: true, size: 5 }]);
  assert.strictEqual(new TextDecoder().decode(decodeSegments(attachment, 0, 131_072, 5)), "upper");
});

test("braft: a frame that is longer than allowed is refused before it is read", async () => {
  const frame = encodePart(1n, 0n, true, [noise(2000, 1)]);
  assert.strictEqual((await new FrameReader(one(frame)).next(3000))!.attachment.length, 2012);
  await rejects(new FrameReader(one(frame)).next(1000), "MALFORMED");
});

test("braft: holes that a leader leaves out are zeros; a segment that was not asked for is refused", async () => {
  const segment = (offset: number, bytes: string) =>
    offset.toString(16).padStart(16, "0") + (bytes.length / 2).toString(16).padStart(8, "0") + bytes;
  const read = (hex: string, size?: number) => decodeSegments(fromHex(hex), 100, 8, size);
  assert.strictEqual(toHex(read(segment(102, "0a0b") + segment(105, "0c"), 8)), "00000a0b00" + "0c" + "0000");
  assert.strictEqual(toHex(read("", 3)), "000000");
  for (const bad of [segment(99, "01"), segment(107, "0102"), segment(103, "01") + segment(102, "01"), "0000"]) {
    await rejects(() => Promise.resolve(read(bad)), "MALFORMED");
  }
  await rejects(() => Promise.resolve(read(segment(100, "01"), 9)), "MALFORMED");
});

/** A snapshot of ours. */
async function sample(): Promise<SnapshotStorage> {
  const storage = new MemoryStorage();
  await commitFiles(storage, META, {
    "a/b": [1, 2, 3, 4, 5, 6, 7].map((seed) => noise(100_000, seed)),
    c: [noise(40, 9)],
    empty: [],
  });
  return storage;
}

async function contentOf(reader: SnapshotReader): Promise<Record<string, string>> {
  const all: Record<string, string> = {};
  for (const { name } of reader.manifest.files) all[name] = toHex(await bytesOf(reader.file(name)));
  return all;
}

test("braft: what we serve is copied: our own by its digest, and braft's as it is", async () => {
  const server = closing(await serveBraft({ port: 0 }));
  const storage = closing(await sample());
  const own = closing(await storage.open());
  const theirs = await openFormat(await sourceFiles(`${FIXTURES}/braft/names/storage`));
  for (const reader of [own, theirs]) {
    const copies = closing(new MemoryStorage());
    const operation = pullBraft(server.offer(reader), copies);
    const { meta, digest } = await operation.result;
    assert.strictEqual(meta.lastIncludedIndex, reader.meta.lastIncludedIndex);
    if (reader === own) assert.deepEqual(digest, own.manifest.digest);
    const copy = closing(await copies.open());
    assert.deepEqual(await contentOf(copy), await contentOf(reader));
    assert.deepEqual(copy.meta.peers, reader.meta.peers);
    for (const { name, checksum } of theirs.manifest.files) {
      if (reader === theirs && checksum !== undefined) assert.strictEqual(copy.info(name).checksum, checksum);
    }
    assert.isAtLeast(operation.progress.bytes, reader === own ? 700_040 : 1);
  }
  await theirs.close();
});

test("braft: an offer ends; a number, a name, a method or a size that there is not is refused in braft's numbers", async () => {
  const server = closing(await serveBraft({ port: 0 }));
  const storage = closing(await sample());
  const reader = closing(await storage.open());
  const uri = server.offer(reader);
  const id = BigInt(uri.slice(uri.lastIndexOf("/") + 1));
  const socket = connect(server.port, "127.0.0.1");
  const frames = new FrameReader(socket);
  const ask = async (wanted: Partial<Parameters<typeof encodeGetFile>[1]>, change = (hex: string) => hex) => {
    const request = { reader: id, name: "c", count: 10n, offset: 0n, partly: true, ...wanted };
    socket.write(fromHex(change(toHex(encodeGetFile(5n, request)))));
    return (await frames.next(1000))!;
  };
  const { message, attachment, code } = await ask({ offset: 35n });
  assert.deepEqual([code, decodePart(message)], [0, { eof: true, size: 5 }]);
  assert.deepEqual(decodeSegments(attachment, 35, 10, 5), noise(40, 9).subarray(35));
  assert.deepEqual(decodePart((await ask({ offset: 40n })).message), { eof: true, size: 0 });
  assert.deepEqual(decodePart((await ask({ name: "empty" })).message), { eof: true, size: 0 });
  assert.strictEqual((await ask({ reader: id + 1n })).code, CODES.noReader);
  assert.strictEqual((await ask({ name: "../c" })).code, CODES.notListed);
  assert.strictEqual((await ask({ count: 0n })).code, CODES.request);
  assert.strictEqual((await ask({ offset: -1n })).code, CODES.request);
  assert.strictEqual((await ask({ offset: 1n << 62n })).code, CODES.request);
  const text = (words: string) => toHex(new TextEncoder().encode(words));
  assert.strictEqual((await ask({}, (hex) => hex.replace(text("get_file"), text("put_file")))).code, CODES.noMethod);
  assert.strictEqual((await ask({}, (hex) => hex.replace(text("FileS"), text("RaftS")))).code, CODES.noService);
  assert.isTrue(server.withdraw(uri));
  assert.isFalse(server.withdraw(uri));
  assert.strictEqual((await ask({})).code, CODES.noReader);
  socket.destroy();
  const copies = closing(new MemoryStorage());
  await rejects(pullBraft(uri, copies).result, "NOT_FOUND");
});

test("braft: who sends what is no frame, or one that is too long, is cut off; others go on", async () => {
  const server = closing(await serveBraft({ port: 0 }));
  const storage = closing(await sample());
  const reader = closing(await storage.open());
  const uri = server.offer(reader);
  for (const bytes of ["47455420", "5052504300000004000000ff", "50525043ffffffff00000000", REQUEST.slice(0, 60)]) {
    const socket = connect(server.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.resume();
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    if (bytes === REQUEST.slice(0, 60)) socket.end(fromHex(bytes));
    else socket.write(fromHex(bytes + "00".repeat(12)));
    await closed;
  }
  const copies = closing(new MemoryStorage());
  assert.strictEqual((await pullBraft(uri, copies).result).meta.lastIncludedIndex, META.lastIncludedIndex);
});

/** What a node does with a request, before it answers as braft does. */
type Trick = (
  asked: { name: string; offset: number; count: number; number: number },
) => "drop" | "again" | "flip" | void;

/** A node that is as strict as braft: one file at a time, from its beginning, until its end was seen. */
async function strictNode(reader: SnapshotReader, trick: Trick = () => {}) {
  const contents = new Map<string, Uint8Array>();
  for (const { name } of reader.manifest.files) contents.set(name, await bytesOf(reader.file(name)));
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  let [current, seen, number] = ["", true, 0];
  const answerTo = (frame: Frame): Uint8Array | undefined => {
    const { name, offset, count } = decodeGetFile(frame.message);
    const error = (code: number) => encodeError(frame.correlation, code, "no");
    if (name === "__raft_snapshot_meta") return encodePart(frame.correlation, 0n, true, [reader.manifest.bytes]);
    if (name !== current) {
      if (!seen || offset > 0n) return error(22);
      [current, seen] = [name, false];
    }
    const [start, most] = [Number(offset), Number(count)];
    asked.push(`${name} ${start}`);
    const done = trick({ name, offset: start, count: most, number: number++ });
    if (done === "drop") return undefined;
    if (done === "again") return error(CODES.again);
    const content = contents.get(name)!;
    const bytes = content.slice(start, start + most);
    if (done === "flip") bytes[0]! ^= 1;
    seen = start + most >= content.length;
    return encodePart(frame.correlation, offset, seen, [bytes]);
  };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    void (async () => {
      const frames = new FrameReader(socket);
      for (let frame = await frames.next(9999); frame !== undefined; frame = await frames.next(9999)) {
        const answer = answerTo(frame);
        if (answer === undefined) return void socket.destroy();
        socket.write(answer);
      }
    })().catch(() => {}).finally(() => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    asked,
    uri: `remote://127.0.0.1:${(server.address() as { port: number }).port}/-5`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

test("braft: a node that breaks off, or is throttled, is asked again for that part, and for no other", async () => {
  const theirs = await openFormat(await sourceFiles(`${FIXTURES}/braft/names/storage`));
  const storage = closing(await sample());
  const own = closing(await storage.open());
  for (const reader of [own, theirs]) {
    const node = closing(
      await strictNode(
        reader,
        ({ number }) => number === 1 ? "drop" : number === 3 ? "again" : undefined,
      ),
    );
    const copies = closing(new MemoryStorage());
    await pullBraft(node.uri, copies).result;
    const copy = closing(await copies.open());
    assert.deepEqual(await contentOf(copy), await contentOf(reader));
    assert.strictEqual(node.asked.length - new Set(node.asked).size, 2, node.asked.join());
    assert.deepEqual([node.asked[1], node.asked[3]], [node.asked[2], node.asked[4]]);
  }
  await theirs.close();
});

test("braft: a wrong byte of a snapshot with digests is not taken in; what had come is not asked for again", async () => {
  const storage = closing(await sample());
  const reader = closing(await storage.open());
  const copies = closing(new MemoryStorage());
  {
    const node = closing(await strictNode(reader, ({ number }) => number === 4 ? "flip" : undefined));
    await rejects(pullBraft(node.uri, copies).result, "CORRUPT");
    assert.lengthOf(await copies.list(), 0);
  }
  const node = closing(await strictNode(reader));
  const operation = pullBraft(node.uri, copies);
  assert.deepEqual((await operation.result).digest, reader.manifest.digest);
  assert.isAbove(operation.progress.reused, 0);
  assert.notInclude(node.asked.slice(1), "a/b 0", "but for the byte that lets us into the file");
});

test("braft: a cancelled copy ends; a wrong address is MALFORMED", async () => {
  const storage = closing(await sample());
  const reader = closing(await storage.open());
  const abort = new AbortController();
  const node = closing(await strictNode(reader, ({ number }) => number === 2 ? (abort.abort(), "again") : undefined));
  const copies = closing(new MemoryStorage());
  await rejects(pullBraft(node.uri, copies, { signal: abort.signal }).result, "CANCELLED");
  for (const uri of ["remote://h/1", "remote://h:0/1", "remote://h:1/x", "http://h:1/1", `remote://h:1/${1n << 63n}`]) {
    await rejects(pullBraft(uri, copies).result, "MALFORMED");
  }
});

test("braft: a rate holds a copy, on either side", async () => {
  const storage = closing(await sample());
  const reader = closing(await storage.open());
  const counted = new Throttle(Infinity);
  const taken: number[] = [];
  const { take } = counted;
  counted.take = (bytes, signal) => (taken.push(bytes), take.call(counted, bytes, signal));
  const server = closing(await serveBraft({ port: 0, throttle: counted }));
  const copies = closing(new MemoryStorage());
  await pullBraft(server.offer(reader), copies, { throttle: counted }).result;
  const sum = taken.reduce((sum, bytes) => sum + bytes, 0);
  assert.isAtLeast(sum, 2 * 700_040, "each byte was asked for twice: by who sends it, and by who takes it");
  assert.isAtMost(Math.max(...taken), 131_072);
});

test("braft: strangers that open all connections there may be, and ask for nothing, keep no follower out", async () => {
  const storage = closing(await sample());
  const reader = closing(await storage.open());
  const server = closing(await serveBraft({ port: 0 }));
  const strangers: Socket[] = [];
  let closed = 0;
  for (let i = 0; i < 1024; i++) {
    const socket = connect({ port: server.port, host: "127.0.0.1" });
    socket.on("error", () => {}).once("close", () => closed++);
    await new Promise<void>((resolve) => socket.once("connect", resolve));
    socket.write("PRPC"); // the head of a frame that never ends
    strangers.push(socket);
  }
  assert.strictEqual(closed, 0);
  const copies = closing(new MemoryStorage());
  assert.deepEqual((await pullBraft(server.offer(reader), copies).result).digest, reader.manifest.digest);
  for (const socket of strangers) socket.destroy();
});

test("braft: bytes are progress, however many are still to come", async () => {
  const timeout = 54_321;
  const storage = closing(await sample());
  const reader = closing(await storage.open());
  const stop = new AbortController();
  const { setTimeout: set } = globalThis;
  let waits = 0;
  let begun = () => {};
  globalThis.setTimeout = ((callback: () => void, ms: number) => {
    if (ms > timeout / 2 && ms <= timeout && waits++ >= 0) set(() => begun(), 0);
    return set(callback, ms);
  }) as typeof setTimeout;
  const node = createServer((socket) => {
    socket.on("error", () => {}).once("data", async () => {
      const answer = encodePart(1n, 0n, true, [reader.manifest.bytes]);
      for (let at = 0; at < answer.length; at += 100) {
        const before = waits;
        const seen = new Promise<void>((resolve) => begun = () => waits > before && resolve());
        socket.write(answer.subarray(at, at + 100));
        if (at + 100 < answer.length) await seen; // it is waited for anew
      }
      socket.once("data", () => stop.abort()); // the manifest was read
    });
  });
  try {
    await new Promise<void>((resolve) => node.listen(0, "127.0.0.1", resolve));
    const uri = `remote://127.0.0.1:${(node.address() as { port: number }).port}/1`;
    const copies = closing(new MemoryStorage());
    await rejects(pullBraft(uri, copies, { timeout, signal: stop.signal }).result, "CANCELLED");
    assert.isAtLeast(waits, reader.manifest.bytes.length / 100);
  } finally {
    globalThis.setTimeout = set;
    await new Promise((resolve) => node.close(resolve));
  }
});
