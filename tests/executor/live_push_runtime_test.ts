import {
  EncryptedStorage,
  encryptedWriter,
  type EncryptionKey,
  KeyValueMachine,
  MemoryLog,
  MemoryStorage,
  Replica,
  snapshotHandler,
  type SourceOptions,
  utf8Codec,
} from "../../mod.ts";
import { assert, gate, noise, rejects, test, turns } from "../support/harness.ts";
import { fill, open, type Parts, parts } from "../support/parts.ts";
import { type Probe, readText } from "../support/probe.ts";

/** A replica with three entries. */
async function pushing(
  work: (replica: Replica<Probe>, parts: Parts) => Promise<void>,
  options: Parameters<typeof open>[1] = {},
): Promise<void> {
  const made = parts();
  const replica = await open(made, options);
  try {
    await fill(replica, 3);
    await work(replica, made);
  } finally {
    await replica.close();
  }
}

function released(machine: Probe): number {
  return machine.calls.filter((call) => call === "release").length;
}

/** Takes so many pieces, and nothing more, and never answers. */
function stalling(pieces: number): SourceOptions & { readonly asked: Promise<void> } {
  const asked = gate();
  return {
    url: "http://there",
    asked: asked.promise,
    async fetch(request) {
      const body = request.body!.getReader();
      for (let i = 0; i < pieces; i++) await body.read();
      asked.open();
      return await new Promise<Response>(() => {});
    },
  };
}

test("live push: another replica installs it, and this one goes on meanwhile and keeps nothing", () =>
  pushing(async (replica, { storage }) => {
    const there = parts();
    const follower = await open(there);
    const handler = snapshotHandler(there.storage, { allowWrites: true, target: follower });
    const half = gate();
    replica.machine.onWrite = async (_writer, _signal, write) => {
      await half.promise;
      await write();
    };
    const { result } = replica.push({ url: "http://there", fetch: handler });
    await turns(3);
    assert.strictEqual(replica.status().state, "saving");
    await fill(replica, 2);
    half.open();
    assert.strictEqual((await result)?.lastIncludedIndex, 3n);
    assert.strictEqual(follower.machine.state, "1:x 2:x 3:x ");
    assert.strictEqual(follower.status().appliedIndex, 3n);
    assert.deepEqual(replica.machine.calls, ["save", "write", "release"]);
    assert.deepEqual(await storage.list(), []);
    for await (const entry of replica.entries(4n)) await follower.append([entry]);
    assert.strictEqual(follower.machine.state, replica.machine.state);
    await handler.close();
    await follower.close();
  }));

test("live push: nothing to save", () =>
  pushing(async (replica) => {
    replica.machine.onSave = () => "nothing";
    const never = { url: "http://there", fetch: () => Promise.reject(new Error("asked")) };
    assert.isUndefined(await replica.push(never).result);
    assert.strictEqual(released(replica.machine), 0);
  }));

test("live push: one thing at a time", () =>
  pushing(async (replica) => {
    const stop = new AbortController();
    const target = stalling(1);
    const { result } = replica.push(target, { signal: stop.signal });
    await target.asked;
    assert.match((await rejects(replica.push(target).result, "BUSY")).message, /sent/);
    await rejects(replica.snapshot().result, "BUSY");
    stop.abort();
    await rejects(result, "CANCELLED");
    assert.isTrue((await replica.snapshot().result).taken);
  }));

test("live push: what the other side says, and the view is let go once", () =>
  pushing(async (replica) => {
    for (
      const [status, code] of [[409, "STALE"], [403, "FORBIDDEN"], [507, "NO_SPACE"], [200, "UNAVAILABLE"]] as const
    ) {
      for (const reads of [0, 1, 3, 100]) {
        replica.machine.calls.length = 0;
        const fetch = async (request: Request) => {
          const body = request.body!.getReader();
          for (let i = 0; i < reads; i++) await body.read();
          return new Response("", { status });
        };
        await rejects(replica.push({ url: "http://there", fetch }).result, code);
        assert.strictEqual(released(replica.machine), 1, `${status} after ${reads}`);
        assert.strictEqual(replica.status().state, "idle");
      }
    }
  }));

test("live push: cancelled at once, wherever the other side stalls", () =>
  pushing(async (replica) => {
    for (const pieces of [0, 1, 2, 3, 5]) {
      replica.machine.calls.length = 0;
      const stop = new AbortController();
      const target = stalling(pieces);
      const { result } = replica.push(target, { signal: stop.signal });
      await target.asked;
      stop.abort("enough");
      assert.strictEqual((await rejects(result, "CANCELLED")).cause, "enough");
      assert.strictEqual(released(replica.machine), 1);
    }
  }));

test("live push: cancelled at once, while an entry is being applied", () =>
  pushing(async (replica) => {
    const applied = gate();
    replica.machine.onApply = () => applied.promise;
    const proposed = fill(replica, 1);
    await turns(3);
    const stop = new AbortController();
    const { result } = replica.push(stalling(1), { signal: stop.signal });
    await turns(3);
    stop.abort();
    await rejects(result, "CANCELLED");
    applied.open();
    await proposed;
    await turns(3);
    assert.deepEqual(replica.machine.calls, []);
  }));

test("live push: the view is there as long as it is written", () =>
  pushing(async (replica) => {
    for (const cancels of [false, true]) {
      const stop = new AbortController();
      const story: string[] = [];
      replica.machine.onWrite = async (_writer, _signal, write) => {
        await write().catch(() => {});
        await turns(5);
        story.push("written");
      };
      replica.machine.onRelease = () => story.push("released");
      const fetch = async (request: Request) => {
        const body = request.body!.getReader();
        for (let i = 0; i < 3; i++) await body.read();
        if (cancels) stop.abort();
        return new Response("", { status: 403 });
      };
      const { result } = replica.push({ url: "http://there", fetch }, { signal: stop.signal });
      await rejects(result, cancels ? "CANCELLED" : "FORBIDDEN");
      assert.deepEqual(story, ["written", "released"]);
    }
  }));

test("live push: a machine that does not stop is not waited for", () =>
  pushing(async (replica) => {
    replica.machine.onWrite = () => new Promise(() => {});
    const stop = new AbortController();
    const { result } = replica.push(stalling(2), { signal: stop.signal });
    await turns(5);
    stop.abort();
    await rejects(result, "CANCELLED");
    assert.strictEqual(released(replica.machine), 1);
  }));

test("live push: what the machine fails with", () =>
  pushing(async (replica) => {
    const error = new Error("cannot be read");
    replica.machine.onWrite = async (_writer, _signal, write) => {
      await write();
      throw error;
    };
    const there = new MemoryStorage();
    const handler = snapshotHandler(there, { allowWrites: true });
    assert.strictEqual(
      await replica.push({ url: "http://there", fetch: handler }).result.catch((thrown) => thrown),
      error,
    );
    assert.strictEqual(released(replica.machine), 1);
    assert.deepEqual(await there.list(), []);
    await handler.close();
    await there.close();
  }));

test("live push: closing gives it up, also if a last snapshot is to be taken", async () => {
  for (const onClose of [false, true]) {
    const made = parts();
    const replica = await open(made, { triggers: { onClose } });
    await fill(replica, 3);
    const target = stalling(1);
    const { result } = replica.push(target);
    await target.asked;
    const refused = rejects(result, "CLOSED");
    await replica.close();
    await refused;
    assert.strictEqual((await made.storage.list()).length, onClose ? 1 : 0);
    assert.strictEqual(released(replica.machine), onClose ? 2 : 1);
  }
});

test("live push: an install cancels it, if it is to cancel saves", () =>
  pushing(async (replica, { storage }) => {
    const target = stalling(1);
    const { result } = replica.push(target);
    await target.asked;
    const refused = rejects(result, "CANCELLED");
    const other = parts();
    const leader = await open(other);
    await fill(leader, 10);
    const handler = snapshotHandler(storage, { allowWrites: true, target: replica });
    await leader.push({ url: "http://there", fetch: handler }).result;
    await refused;
    assert.strictEqual(replica.status().appliedIndex, 10n);
    await handler.close();
    await leader.close();
  }, { whileSaving: "cancel" }));

test("live push: incremental state is sent whole, and saved in parts after that as before", async () => {
  const storage = new MemoryStorage();
  const machine = new KeyValueMachine(utf8Codec(), { incremental: true });
  const triggers = { interval: 0, entries: 0 };
  const replica = await Replica.open({ machine, storage, log: new MemoryLog(), triggers });
  for (let i = 0; i < 2000; i++) void replica.propose(machine.put(`k${i}`, `v${i}`));
  await replica.propose(machine.put("last", "a"));
  await replica.snapshot().result;
  await replica.propose(machine.put("last", "b"));
  const secret: EncryptionKey = { id: "k", secret: noise(32, 7) };
  for (const encrypted of [false, true]) {
    const plain = new MemoryStorage();
    const there = encrypted ? new EncryptedStorage(plain, [secret]) : plain;
    const copy = new KeyValueMachine(utf8Codec());
    const follower = await Replica.open({ machine: copy, storage: there, log: new MemoryLog(), triggers });
    const handler = snapshotHandler(there, { allowWrites: true, target: follower });
    await replica.push(
      { url: "http://there", fetch: handler },
      encrypted ? { through: (writer) => encryptedWriter(writer, secret) } : {},
    ).result;
    assert.strictEqual(copy.get("last"), "b");
    assert.strictEqual(copy.get("k1999"), "v1999");
    await handler.close();
    await follower.close();
  }
  const { reused, bytes } = await replica.snapshot().result;
  assert.isAbove(reused, bytes);
  await replica.close();
});

test("live push: into a storage that no machine reads", () =>
  pushing(async (replica) => {
    const there = new MemoryStorage();
    const handler = snapshotHandler(there, { allowWrites: true });
    await replica.push({ url: "http://there", fetch: handler }).result;
    assert.isUndefined(await replica.push({ url: "http://there", fetch: handler })); // it is up to date
    const reader = await there.open();
    assert.strictEqual(await readText(reader), replica.machine.state);
    await handler.close();
    await there.close();
  }));
