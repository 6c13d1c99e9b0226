// A real node of braft, which is built by hand of its sources: `tests/interop/braft/build.sh BRPC BRAFT
// .runtimes/interop/braft`. It installs what is served here, throttled, cut off and killed, starts from what is written
// here, and what it offers is copied.

import { existsSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { MemoryStorage, type SnapshotReader, Throttle } from "../../mod.ts";
import { pullBraft, serveBraft } from "../../src/braft.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { toHex } from "../../src/stream/mod.ts";
import { assert, bytesOf, closing, noise, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { JUDGES } from "./judge.ts";

const JUDGE = `${JUDGES}/braft/judge`;
const MiB = 1024 * 1024;
const META = { lastIncludedIndex: 4711n, lastIncludedTerm: 12n, peers: ["127.0.0.1:1:0"] };

/** What it says that it has loaded. */
interface Loaded {
  readonly index: number;
  readonly term: number;
  readonly files: Record<string, string>;
}

function freePort(): string {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  listener.close();
  return String((listener.addr as Deno.NetAddr).port);
}

const linesOf = (text: string) =>
  text.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Record<string, unknown>);

/** Runs it to its end: what it has loaded, and whether it says that it has installed that. */
async function ask(what: string, ...args: readonly string[]): Promise<{ loaded: Loaded; installed: boolean }> {
  const { stdout } = await new Deno.Command(JUDGE, { args: [what, freePort(), ...args], stdin: "null" }).output();
  const lines = linesOf(new TextDecoder().decode(stdout));
  const loaded = lines.find((line) => "files" in line) as Loaded | undefined;
  if (loaded === undefined) throw new Error(`${what} ${args.join(" ")} has loaded nothing`);
  return { loaded, installed: lines.some(({ installed }) => installed === true) };
}

/** A leader that offers a snapshot while something is done. */
async function leading(
  directory: string,
  rate: readonly string[],
  use: (uri: string, loaded: Loaded) => Promise<void>,
): Promise<void> {
  const args = ["serve", freePort(), directory, String(2 * MiB + 5), ...rate];
  const child = new Deno.Command(JUDGE, { args, stdin: "piped", stdout: "piped" }).spawn();
  const output = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes('"uri"')) {
    const { done, value } = await output.read();
    if (done) throw new Error(`The leader has ended: ${text}`);
    text += value;
  }
  const lines = linesOf(text);
  try {
    const uri = lines.find((line) => "uri" in line)!.uri as string;
    await use(uri, lines.find((line) => "files" in line) as unknown as Loaded);
  } finally {
    await child.stdin.close();
    await child.status;
    await output.cancel();
  }
}

/** Between two of them: cuts the first connections off after some bytes. */
async function cutting(uri: string, cuts: number, after: number) {
  const { hostname, port, pathname } = new URL(uri.replace("remote:", "http:"));
  const sockets = new Set<Socket>();
  let left = cuts;
  const server = createServer((near) => {
    const far = connect(Number(port), hostname);
    let passed = 0;
    for (const [socket, other] of [[near, far], [far, near]] as const) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => other.destroy());
    }
    near.pipe(far);
    far.on("data", (bytes) => {
      passed += bytes.length;
      if (passed <= after || left === 0) return void near.write(bytes);
      left--;
      near.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    uri: `remote://127.0.0.1:${(server.address() as { port: number }).port}${pathname}`,
    left: () => left,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function sumsOf(reader: SnapshotReader): Promise<Record<string, string>> {
  const sums: Record<string, string> = {};
  for (const { name } of reader.manifest.files) {
    const bytes = await bytesOf(reader.file(name));
    sums[name] = toHex(new Uint8Array(await crypto.subtle.digest("SHA-1", bytes as Uint8Array<ArrayBuffer>)));
  }
  return sums;
}

/** A snapshot of ours in a directory, as that of a node. */
async function ours(root: string): Promise<DirectoryStorage> {
  const storage = await DirectoryStorage.open(root);
  const writer = await storage.create();
  const files = { state: 3 * MiB + 77, empty: 0, "part/é ü": 131_072, "part/b": 131_073 };
  for (const [name, size] of Object.entries(files)) {
    await ReadableStream.from(size === 0 ? [] : [noise(size, size)]).pipeTo(writer.file(name));
  }
  await writer.commit(META);
  return storage;
}

/** A test that is skipped, and says so, where the judge was not built. */
function judged(name: string, run: () => Promise<void>): void {
  const skip = () => console.warn(`Skipped: there is no ${JUDGE}, which is built by hand`);
  test(name, () => existsSync(JUDGE) ? run() : skip());
}

judged(
  "interop, braft: a follower installs what is served here, as fast as both allow, cut off, and killed",
  () =>
    inTemp(async (directory) => {
      const storage = closing(await ours(`${directory}/ours`));
      const reader = closing(await storage.open());
      const files = await sumsOf(reader);
      const wanted = { loaded: { index: 4711, term: 12, files }, installed: true };
      const server = closing(await serveBraft({ port: 0 }));
      const uri = server.offer(reader);
      assert.deepEqual(await ask("install", `${directory}/a`, uri, "4711", "12"), wanted);
      assert.deepEqual((await ask("start", `${directory}/a`)).loaded, wanted.loaded);
      const slow = closing(await serveBraft({ port: 0, throttle: new Throttle(2 * MiB) }));
      const rate = String(4 * MiB);
      assert.deepEqual(await ask("install", `${directory}/b`, slow.offer(reader), "4711", "12", rate), wanted);
      const cut = closing(await cutting(uri, 3, 500_000));
      assert.deepEqual(await ask("install", `${directory}/c`, cut.uri, "4711", "12"), wanted);
      assert.strictEqual(cut.left(), 0);
      const args = ["install", freePort(), `${directory}/d`, slow.offer(reader), "4711", "12"];
      const killed = new Deno.Command(JUDGE, { args, stdin: "null", stdout: "null" }).spawn();
      const received = `${directory}/d/snapshot/temp/state`;
      while (((await Deno.stat(received).catch(() => undefined))?.size ?? 0) < MiB) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      killed.kill("SIGKILL");
      await killed.status;
      assert.deepEqual(await ask("install", `${directory}/d`, uri, "4711", "12"), wanted);
    }),
);

judged("interop, braft: a node starts from a directory that is a storage of ours", () =>
  inTemp(async (directory) => {
    const storage = await ours(`${directory}/snapshot`);
    const reader = await storage.open();
    const files = await sumsOf(reader);
    await reader.close();
    await storage.close();
    assert.deepEqual((await ask("start", directory)).loaded, { index: 4711, term: 12, files });
  }));

judged(
  "interop, braft: what a leader offers is copied, as fast as both allow, and cut off",
  () =>
    inTemp(async (directory) => {
      for (const rate of [[], [String(3 * MiB)]]) {
        await leading(`${directory}/${rate.length}`, rate, async (uri, { index, files }) => {
          const cut = closing(await cutting(uri, 2, MiB));
          for (const from of [uri, cut.uri]) {
            const copies = closing(new MemoryStorage());
            const throttle = new Throttle(8 * MiB);
            const { meta } = await pullBraft(from, copies, { throttle }).result;
            assert.strictEqual(meta.lastIncludedIndex, BigInt(index));
            const copy = closing(await copies.open());
            assert.deepEqual(await sumsOf(copy), files);
            assert.strictEqual(copy.info("small").checksum, "of the application");
          }
          assert.strictEqual(cut.left(), 0);
        });
        const storage = closing(
          await DirectoryStorage.open(`${directory}/${rate.length}/snapshot`, { readOnly: true }),
        );
        assert.lengthOf(await storage.list(), 1);
      }
    }),
);
