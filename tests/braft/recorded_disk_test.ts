// What a real follower and a real leader of braft (brpc 1.17) sent, as it was recorded: the follower installed a snapshot
// that was served here, the leader had its own copied.

import { connect } from "node:net";
import { MemoryStorage } from "../../mod.ts";
import { serveBraft } from "../../src/braft.ts";
import { CODES, decodePart, decodeSegments, type Frame, FrameReader } from "../../src/braft/frames.ts";
import { SnapshotManifest } from "../../src/snapshot/mod.ts";
import { toHex } from "../../src/stream/mod.ts";
import { commitFiles } from "../fuzz/targets/samples.ts";
import { assert, closing, test } from "../support/harness.ts";

const META = { lastIncludedIndex: 4711n, lastIncludedTerm: 12n, peers: ["127.0.0.1:1:0"] };
/** The number of the reader that the follower was told, as it stands in its requests. */
const READER = "8cef9191abf3b2d159";
/** A follower's requests: for the manifest, then for one file after the other. */
const REQUESTS: readonly string[] = [
  "000000580000002e0a1d0a1162726166742e46696c655365727669636512086765745f66696c65180020828080808040500058006200" +
  `08${READER}12145f5f726166745f736e617073686f745f6d65746118ffffffff0f20002801`,
  "000000430000002e0a1d0a1162726166742e46696c655365727669636512086765745f66696c65180020828080808060500058006200" +
  `08${READER}12015a1880800820002801`,
  "000000460000002e0a1d0a1162726166742e46696c655365727669636512086765745f66696c65180020868080809040500058006200" +
  `08${READER}1204642fc3a91880800820002801`,
  "000000480000002f0a1d0a1162726166742e46696c655365727669636512086765745f66696c6518002082808080808001500058006200" +
  `08${READER}1205656d7074791880800820002801`,
];
/** A leader's answers. */
const ANSWERS = {
  manifest: "00000092000000101202080018002001287e500058006200080110720000000000000000000000720a19086510021a133132372e" +
    "302e302e313a34333937373a303a3012090a05656d7074791200120f0a0b706172742f3133313037321200120f0a0b706172742f313331" +
    "3037331200121d0a05736d616c6c12141a126f6620746865206170706c69636174696f6e12090a0573746174651200",
  empty: "000000120000000e120208001800200250005800620008011000",
  /** The one byte behind the first 128 KiB of a file. */
  last: "00000021000000101202080018002005280d5000580062000801100100000000000200000000000159",
  small: "0000002500000010120208001800200628115000580062000801100500000000" + "0000000000000005420282061a",
  throttled:
    "000000b4000000b412a701080b12a2015b3132372e302e302e313a34343834395d5b4531315d4661696c20746f20726561642066726f" +
    "6d20706174683d2f746d702f62726166742f7265632f6c3230303030302f736e617073686f742f736e617073686f745f303030303030" +
    "30303030303030303030303130312066696c656e616d653d706172742f313331303732203a205265736f757263652074656d706f7261" +
    "72696c7920756e617661696c61626c6518002004500058006200",
};
const MAGIC = "50525043";

function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));
}

async function frameOf(hex: string): Promise<Frame> {
  const bytes = fromHex(MAGIC + hex);
  return (await new FrameReader((async function* () {
    yield bytes;
  })()).next(1000))!;
}

/** A number as it stands in a message. */
function varint(number: bigint): string {
  const bytes: number[] = [];
  for (let left = number; left > 0n; left >>= 7n) bytes.push(Number(left & 0x7fn) | (left > 0x7fn ? 0x80 : 0));
  return toHex(Uint8Array.from(bytes));
}

test("braft, recorded: a follower's requests are answered with the manifest and with all of each file", async () => {
  const storage = closing(new MemoryStorage());
  const encode = (text: string) => new TextEncoder().encode(text);
  await commitFiles(storage, META, { Z: [encode("upper")], "d/é": [encode("x")], empty: [] });
  const reader = closing(await storage.open());
  const server = closing(await serveBraft({ port: 0 }));
  let own = "";
  while (own.length !== READER.length) own = varint(BigInt(server.offer(reader).split("/").at(-1)!));
  const socket = connect(server.port, "127.0.0.1");
  const frames = new FrameReader(socket);
  const answers: Frame[] = [];
  for (const request of REQUESTS) {
    socket.write(fromHex(MAGIC + request.replace(READER, own)));
    answers.push((await frames.next(10_000))!);
  }
  socket.destroy();
  const asked = await Promise.all(REQUESTS.map(frameOf));
  assert.deepEqual(answers.map(({ correlation }) => correlation), asked.map(({ correlation }) => correlation));
  assert.deepEqual(answers.map(({ code }) => code), [0, 0, 0, 0]);
  const parts = answers.map(({ message }) => decodePart(message));
  assert.isTrue(parts.every(({ eof }) => eof), "it asks for no more");
  const [manifest, ...files] = answers.map(({ attachment }, i) =>
    decodeSegments(attachment, 0, 10_000, parts[i]!.size)
  );
  assert.deepEqual((await SnapshotManifest.decode(manifest!)).digest, reader.manifest.digest);
  assert.deepEqual(files.map((bytes) => new TextDecoder().decode(bytes)), ["upper", "x", ""]);
});

test("braft, recorded: a leader's answers are read: manifest, ends of files, and that its rate is used up", async () => {
  const read = async (answer: keyof typeof ANSWERS, offset = 0) => {
    const { message, attachment, code } = await frameOf(ANSWERS[answer]);
    const { eof, size } = decodePart(message);
    return { code, eof, bytes: decodeSegments(attachment, offset, 131_072, size) };
  };
  const { meta, files } = await SnapshotManifest.decode((await read("manifest")).bytes);
  assert.deepInclude(meta, { lastIncludedIndex: 101n, lastIncludedTerm: 2n, peers: ["127.0.0.1:43977:0:0"] });
  const names = files.map(({ name, checksum }) => [name, checksum]);
  assert.deepInclude(names, ["small", "of the application"]);
  assert.sameMembers(names.map(([name]) => name), ["empty", "part/131072", "part/131073", "small", "state"]);
  assert.deepEqual(await read("empty"), { code: 0, eof: true, bytes: new Uint8Array(0) });
  assert.deepEqual(await read("last", 131_072), { code: 0, eof: true, bytes: Uint8Array.of(0x59) });
  assert.deepEqual((await read("small")).bytes, fromHex("420282061a"));
  const { code, text } = await frameOf(ANSWERS.throttled);
  assert.strictEqual(code, CODES.again);
  assert.match(text, /Resource temporarily unavailable/);
});
