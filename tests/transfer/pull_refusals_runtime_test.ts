import { MemoryStorage, pull, type SnapshotErrorCode, type SnapshotManifest } from "../../mod.ts";
import { pause } from "../../src/async/mod.ts";
import { inFakeTime } from "../support/fake_clock.ts";
import { assert, noise, rejects, test } from "../support/harness.ts";
import { storageWith } from "../support/samples.ts";
import { sourceOf, type Twist } from "../support/servers.ts";

/** What a pull fails with whose source answers every request so. */
function failsWith(code: SnapshotErrorCode, twist: Twist, index?: bigint): Promise<void> {
  return inFakeTime(() => failsNowWith(code, twist, index));
}

async function failsNowWith(code: SnapshotErrorCode, twist: Twist, index: bigint | undefined): Promise<void> {
  const there = await storageWith(9n, { state: noise(100_000, 1) });
  const here = new MemoryStorage();
  const source = sourceOf("s", there, twist, true);
  await rejects(pull(here, [source], { retryFor: 100, timeout: 200, index }).result, code);
  assert.deepEqual(await here.list(), []);
  await Promise.all([source.close(), there.close(), here.close()]);
}

const answer = (body: BodyInit, init?: ResponseInit): Twist => () => Promise.resolve(new Response(body, init));

test("pull: nothing is available", async () => {
  await failsWith("UNAVAILABLE", () => Promise.reject(new TypeError("refused")));
  await failsWith("UNAVAILABLE", answer("bad gateway", { status: 502 }));
  await failsWith("TIMEOUT", () => new Promise(() => {}));
  await failsWith("FORBIDDEN", answer("no", { status: 403 }));
  await failsWith("NOT_FOUND", answer("no", { status: 404 }));
  await failsWith("NOT_FOUND", () => undefined, 8n);
});

test("pull: a manifest that is none, or too large", async () => {
  await failsWith("MALFORMED", answer("<html>Welcome to the hotel</html>"));
  await failsWith("MALFORMED", answer(new Uint8Array(0)));
  let cancelled = false;
  const endless = () =>
    new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull: (controller) => controller.enqueue(new Uint8Array(4 << 20)),
      cancel: () => void (cancelled = true),
    }, { highWaterMark: 0 });
  await failsWith("MALFORMED", (_, _count, _answer) => Promise.resolve(new Response(endless())));
  assert.isTrue(cancelled);
});

test("pull: a manifest with names that are not allowed, or without digests", async () => {
  const meta = "0a0408091001"; // index 9, term 1
  const named = (name: string) => {
    const bytes = new TextEncoder().encode(name);
    const head = Uint8Array.from(meta.match(/../g)!, (byte) => parseInt(byte, 16));
    return Uint8Array.of(...head, 0x12, bytes.length + 2, 0x0a, bytes.length, ...bytes);
  };
  for (const name of ["../../etc/passwd", "/etc/passwd", "a/../b", "__raft_snapshot_meta", ""]) {
    await failsWith("MALFORMED", answer(named(name)));
  }
  await failsWith("UNSUPPORTED", answer(named("state")));
});

test("pull: another snapshot than the one that was asked for", async () => {
  const other = await storageWith(10n, {});
  const { manifest } = await other.open();
  await failsWith("MALFORMED", answer(new Uint8Array(manifest.bytes)), 9n);
  await other.close();
});

// What takes long is not what stalls: 64 MiB over a slow line.
test("pull: a manifest that comes slowly", () =>
  inFakeTime(async () => {
    const there = await storageWith(9n, { state: noise(8_000_000, 1) });
    const here = new MemoryStorage();
    const { manifest } = await there.open();
    const source = sourceOf("s", there, (request) => {
      if (!request.url.endsWith("manifest")) return undefined;
      let at = 0;
      return Promise.resolve(
        new Response(
          new ReadableStream<Uint8Array<ArrayBuffer>>({
            async pull(controller) {
              await pause(150, undefined);
              const step = Math.ceil(manifest.bytes.length / 20);
              if (at >= manifest.bytes.length) controller.close();
              else controller.enqueue(new Uint8Array(manifest.bytes.slice(at, at += step)));
            },
          }),
        ),
      );
    }, true);
    await pull(here, [source], { timeout: 200, retryFor: 0 }).result;
    await Promise.all([source.close(), there.close(), here.close()]);
  }));

test("pull: a source that only has chunks is never asked what a snapshot is", async () => {
  const there = await storageWith(9n, { state: noise(100_000, 1) });
  const here = new MemoryStorage();
  const liar = { ...sourceOf("liar", await storageWith(99n, {})), chunksOnly: true };
  const source = sourceOf("s", there);
  const { snapshot } = await pull(here, [liar, source]).result;
  assert.strictEqual(snapshot.meta.lastIncludedIndex, 9n);
  assert.isFalse(liar.log.some((line) => line.includes("manifest")));
  await rejects(pull(new MemoryStorage(), [liar]).result, "MALFORMED");
  await source.close();
  await liar.close();
});

test("pull: addresses that are none", async () => {
  for (const url of ["", "not a url", "ftp://host", "file:///etc"]) {
    await rejects(() => pull(new MemoryStorage(), [url]).result, "MALFORMED");
  }
  await rejects(() => pull(new MemoryStorage(), []).result, "MALFORMED");
});

test("pull: whoever looks at the manifest may refuse it", async () => {
  const there = await storageWith(9n, { state: noise(100_000, 1) });
  const source = sourceOf("s", there);
  const here = new MemoryStorage();
  const error = new Error("not signed by us");
  const onManifest = (manifest: SnapshotManifest) => {
    assert.strictEqual(manifest.index, 9n);
    throw error;
  };
  assert.strictEqual(await pull(here, [source], { onManifest }).result.catch((thrown) => thrown), error);
  await pull(here, [source]).result; // nothing is left open
  await Promise.all([source.close(), there.close(), here.close()]);
});
