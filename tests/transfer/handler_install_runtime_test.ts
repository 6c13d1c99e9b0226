import { archive, MemoryStorage, SnapshotError, snapshotHandler, type SnapshotHandlerOptions } from "../../mod.ts";
import { assert, bytesOf, gate, noise, test, turns } from "../support/harness.ts";
import { save, storageWith } from "../support/samples.ts";

/** A handler on an empty storage, and an archive of snapshot 9. */
async function receiving(
  work: (
    put: (index: string, body?: BodyInit | null) => Promise<Response>,
    whole: Uint8Array<ArrayBuffer>,
    storage: MemoryStorage,
  ) => Promise<void>,
  options: SnapshotHandlerOptions = {},
): Promise<void> {
  const source = await storageWith(9n, { state: noise(200_000, 1) });
  const whole = new Uint8Array(await bytesOf(archive(await source.open())));
  const storage = new MemoryStorage();
  const handler = snapshotHandler(storage, { allowWrites: true, ...options });
  const put = (index: string, body: BodyInit | null = whole) =>
    handler(new Request(`http://host/snapshots/${index}`, { method: "PUT", body }));
  await work(put, whole, storage);
  await Promise.all([handler.close(), storage.close(), source.close()]);
}

/** A `POST` that no page of another site can make unasked. */
const JSON_POST = { method: "POST", headers: { "Content-Type": "application/json" } };

async function code(response: Response): Promise<[number, string]> {
  return [response.status, (await response.json()).code];
}

test("handler: PUT installs, and then is up to date", () =>
  receiving(async (put, _, storage) => {
    const response = await put("9");
    assert.deepEqual([response.status, response.headers.get("Location")], [201, "9/manifest"]);
    assert.strictEqual((await response.json()).index, "9");
    assert.strictEqual((await storage.list()).length, 1);
    const again = await put("9");
    const { index, upToDate } = await again.json();
    assert.deepEqual([again.status, index, upToDate], [200, "9", true]);
    assert.strictEqual((await storage.list()).length, 1);
  }));

test("handler: PUT while another is being received is busy", () =>
  receiving(async (put, _, storage) => {
    const other = await storageWith(10n, {});
    const install = await storage.install((await other.open()).manifest);
    assert.deepEqual(await code(await put("9")), [409, "BUSY"]);
    await Promise.all([install.close(), other.close()]);
  }));

test("handler: PUT of what is damaged, another index, nothing, or not wanted", () =>
  receiving(async (put, whole, storage) => {
    const damaged = whole.slice();
    damaged[100_000]! ^= 1;
    assert.deepEqual(await code(await put("9", damaged)), [422, "CORRUPT"]);
    assert.deepEqual(await code(await put("9", whole.slice(0, 100_000))), [422, "CORRUPT"]);
    assert.deepEqual(await code(await put("9", "<html>")), [422, "CORRUPT"]);
    assert.deepEqual(await code(await put("9", "<html></html>")), [422, "MALFORMED"]);
    const newer = whole.slice();
    newer[8] = 2;
    assert.deepEqual(await code(await put("9", newer)), [422, "UNSUPPORTED"]);
    assert.deepEqual(await code(await put("8")), [422, "MALFORMED"]);
    assert.deepEqual(await code(await put("9", null)), [400, "MALFORMED"]);
    assert.strictEqual((await put("latest")).status, 405);
    assert.strictEqual((await put("0")).status, 404);
    assert.deepEqual(await storage.list(), []);
  }));

test("handler: PUT that breaks off is no snapshot, and can be sent again", () =>
  receiving(async (put, whole, storage) => {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(whole.slice(0, 100_000)),
      pull: (controller) => controller.error(new Error("reset")),
    });
    const handler = snapshotHandler(storage, { allowWrites: true });
    const init = { method: "PUT", body, duplex: "half" };
    const response = await handler(new Request("http://host/snapshots/9", init as RequestInit));
    assert.isAtLeast(response.status, 400);
    await response.body?.cancel();
    assert.deepEqual(await storage.list(), []);
    const again = await put("9");
    assert.strictEqual(again.status, 201);
    await again.body?.cancel();
    await handler.close();
  }));

test("handler: PUT and POST by way of a target", async () => {
  const calls: unknown[] = [];
  const [info] = await (await storageWith(9n, {})).list();
  let taken = true;
  await receiving(async (put, whole, storage) => {
    const installed = await put("9");
    assert.strictEqual(installed.status, 201);
    await installed.body?.cancel();
    const handler = snapshotHandler(storage, {
      allowWrites: true,
      target: {
        snapshot({ gap }) {
          calls.push(gap);
          return Promise.resolve({ taken, snapshot: info! });
        },
        install: () => Promise.reject(new SnapshotError("STALE", "too old")),
      },
    });
    const post = (query: string) => handler(new Request(`http://host/snapshots${query}`, JSON_POST));
    const status = async (query: string) => {
      const response = await post(query);
      await response.body?.cancel();
      return response.status;
    };
    assert.strictEqual(await status(""), 201);
    taken = false;
    assert.strictEqual(await status("?gap=5"), 200);
    assert.strictEqual(await status("?gap=0"), 200);
    for (const gap of ["-1", "x", "1e9", "", "9999999999999999"]) {
      assert.deepEqual(await code(await post(`?gap=${gap}`)), [400, "MALFORMED"], gap);
    }
    assert.deepEqual(calls, ["9", 1024, 1024, 1024], "no client takes one sooner than the server says");
    // What refuses without reading leaves a body, which has to go.
    let cancelled = false;
    const body = new ReadableStream({
      start: (controller) => controller.enqueue(whole.slice(0, 100_000)), // its head, and what is not wanted
      cancel: () => void (cancelled = true),
    });
    const init = { method: "PUT", body, duplex: "half" };
    assert.deepEqual(await code(await handler(new Request("http://host/snapshots/9", init as RequestInit))), [
      409,
      "STALE",
    ]);
    assert.isTrue(cancelled);
    await handler.close();
  }, {
    target: {
      snapshot: () => Promise.reject(new Error("not asked")),
      install(archive, { index }) {
        calls.push(String(index));
        return bytesOf(archive).then(() => ({ snapshot: info! }));
      },
    },
  });
});

test("handler: POST without a target is no error of the server's, and the client is told why", () =>
  receiving(async (_put, _whole, storage) => {
    const errors: unknown[] = [];
    const handler = snapshotHandler(storage, { allowWrites: true, onError: (error) => errors.push(error) });
    const response = await handler(new Request("http://host/snapshots", JSON_POST));
    assert.include((await response.clone().json()).detail, "takes snapshots");
    assert.deepEqual(await code(response), [501, "UNSUPPORTED"]);
    assert.deepEqual(errors, []);
    await handler.close();
  }));

test("handler: a lease keeps a snapshot while newer ones come, and ends with the handler", async () => {
  const storage = await storageWith(7n, { state: noise(200_000, 1) });
  const handler = snapshotHandler(storage, { allowWrites: true });
  const ask = (path: string) => handler(new Request(`http://host${path}`));
  await (await ask("/snapshots/7/manifest")).body?.cancel();
  for (const index of [8n, 9n, 10n]) await save(storage, index, { state: noise(10, 1) });
  assert.deepEqual(await (await ask("/snapshots/7/files/state")).bytes(), noise(200_000, 1));
  assert.strictEqual((await ask("/snapshots/8/manifest")).status, 404);
  await handler.close();
  await save(storage, 11n, {});
  assert.deepEqual((await storage.list()).map(({ meta, pinned }) => [meta.lastIncludedIndex, pinned]), [
    [11n, false],
    [10n, false],
  ]);
  await storage.close();
});

test("handler: a lease ends by itself", async () => {
  const storage = await storageWith(7n, { state: noise(10, 1) });
  const handler = snapshotHandler(storage, { leaseDuration: 1 });
  await (await handler(new Request("http://host/snapshots/7/manifest"))).body?.cancel();
  while ((await storage.list())[0]!.pinned) await turns(1);
  await handler.close();
  await storage.close();
});

test("handler: no lease begins after it was closed", async () => {
  const storage = await storageWith(7n, { state: noise(10, 1) });
  const handler = snapshotHandler(storage, { allowWrites: true });
  const opening = gate();
  const { open } = storage;
  storage.open = async (index) => {
    await opening.promise;
    return await open.call(storage, index);
  };
  const running = handler(new Request("http://host/snapshots/7/manifest"));
  await handler.close();
  opening.open();
  assert.strictEqual((await (await running).bytes()).length > 0, true);
  assert.isFalse((await storage.list())[0]!.pinned);
  await storage.close();
});

test("handler: a body that is cancelled, or fails, lets its snapshot go", async () => {
  const storage = await storageWith(7n, { state: noise(2_000_000, 1) });
  for (const path of ["/snapshots/7/files/state", "/snapshots/7/archive"]) {
    const handler = snapshotHandler(storage, { allowWrites: true });
    const reader = (await handler(new Request(`http://host${path}`))).body!.getReader();
    await reader.read();
    await handler.close(); // its lease
    assert.isTrue((await storage.list())[0]!.pinned);
    await reader.cancel();
    assert.isFalse((await storage.list())[0]!.pinned);
  }
  await storage.close();
});
