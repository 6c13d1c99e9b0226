// Backups of a replica in a bucket, and what is restored out of them.

import {
  decryptedReader,
  EncryptedStorage,
  type EncryptionKey,
  KeyValueMachine,
  type LogEntry,
  MemoryLog,
  MemoryStorage,
  Replica,
  type ReplicaOptions,
  SnapshotError,
  utf8Codec,
} from "../../mod.ts";
import { Backup, type BackupEvent, copyBackup, restoreBackup, verifyBackup } from "../../src/backup.ts";
import { hasZstd } from "../../src/backup/segment.ts";
import { type Bucket, type BucketObject, MemoryBucket } from "../../src/object.ts";
import { passing } from "../support/passing_bucket.ts";
import { inFakeTime } from "../support/fake_clock.ts";
import { assert, noise, rejects, test, turns } from "../support/harness.ts";

type Machine = KeyValueMachine<string>;

async function within(
  work: (
    it: { readonly replica: Replica<Machine>; readonly machine: Machine; readonly bucket: MemoryBucket },
  ) => Promise<void>,
  options: Partial<ReplicaOptions<Machine>> = {},
): Promise<void> {
  const machine: Machine = new KeyValueMachine(utf8Codec());
  const replica = await Replica.open({ machine, log: new MemoryLog(), storage: new MemoryStorage(), ...options });
  try {
    await work({ replica, machine, bucket: new MemoryBucket() });
  } finally {
    await replica.close();
  }
}

function put(replica: Replica<Machine>, count: number, from = 0): Promise<unknown> {
  return Promise.all(Array.from({ length: count }, (_, i) => {
    return replica.propose(replica.machine.put(`k${from + i}`, `v${from + i}`));
  }));
}

async function restored(bucket: Bucket, options: Parameters<typeof restoreBackup>[2] = {}) {
  const machine: Machine = new KeyValueMachine(utf8Codec());
  return { machine, point: await restoreBackup(machine, bucket, options) };
}

test("any entry of a backup can be restored, with and without a snapshot before it", async () => {
  await within(async ({ replica, bucket }) => {
    const backup = await Backup.start(replica, bucket, { interval: 0 });
    await put(replica, 30);
    await backup.flush();
    await replica.snapshot().result;
    await put(replica, 30, 30);
    await backup.flush();
    await backup.close();
    for (const index of [1n, 29n, 30n, 31n, 59n, 60n]) {
      const { machine, point } = await restored(bucket, { index });
      assert.equal(point.index, index);
      assert.equal(machine.size, Number(index));
      assert.equal(machine.get(`k${index - 1n}`), `v${index - 1n}`);
    }
    const error = await rejects(restored(bucket, { index: 61n }), "NOT_FOUND");
    assert.equal(error.fields.actual, 60n);
  });
});

test("a snapshot is copied, and the restore begins with it", async () => {
  await within(async ({ replica, bucket }) => {
    await put(replica, 30);
    await replica.snapshot().result;
    const copied = Promise.withResolvers<void>();
    const onEvent = ({ type }: BackupEvent) => type === "copied" && copied.resolve();
    const backup = await Backup.start(replica, bucket, { onEvent });
    await put(replica, 5, 30);
    await copied.promise;
    await backup.close();
    const { machine, point } = await restored(bucket);
    assert.equal(point.snapshot?.meta.lastIncludedIndex, 30n);
    assert.deepEqual([point.index, point.entries, machine.get("k34")], [35n, 5n, "v34"]);
    const report = await verifyBackup(bucket).result;
    assert.deepEqual(report.problems, []);
    assert.deepEqual([report.snapshots, report.entries, report.first, report.last], [1, 35n, 1n, 35n]);
  });
});

test("segments are compressed as asked for, and each can be restored beside the others", async () => {
  await within(async ({ replica, bucket }) => {
    const sizes: number[] = [];
    const all = ["none", "gzip", ...hasZstd() ? ["zstd" as const] : []] as const;
    for (const [i, compression] of all.entries()) {
      const onEvent = (event: BackupEvent) => event.type === "uploaded" && sizes.push(event.bytes);
      const backup = await Backup.start(replica, bucket, { compression, onEvent });
      await put(replica, 200, 200 * i);
      await backup.close();
    }
    assert.isBelow(Math.max(...sizes.slice(1)), sizes[0]!);
    const { machine, point } = await restored(bucket);
    assert.deepEqual([point.index, machine.size], [BigInt(200 * all.length), 200 * all.length]);
  });
});

test("entries are restored by the time of their append", async () => {
  let now = 1_000_000;
  const clock = { now: () => now, monotonic: () => performance.now(), after: () => () => {} };
  await within(async ({ replica, bucket }) => {
    const backup = await Backup.start(replica, bucket, { interval: 0 });
    for (let i = 0; i < 10; i++) {
      now = 1_000_000 + 1000 * i;
      await put(replica, 1, i);
    }
    await backup.close();
    const { point } = await restored(bucket, { time: 1_004_500 });
    assert.deepEqual([point.index, point.time], [5n, 1_004_000]);
    assert.equal((await restored(bucket, { time: 999_999 })).point.index, 0n);
    assert.equal((await restored(bucket, { time: 9_999_999 })).point.index, 10n);
  }, { clock });
});

test("a snapshot is from no time before its entries, though the clock was set back, or is behind the leader's", async () => {
  let now = 2_000_000;
  const clock = { now: () => now, monotonic: () => performance.now(), after: () => () => {} };
  await within(async ({ replica, bucket }) => {
    const backup = await Backup.start(replica, bucket, { interval: 0 });
    await put(replica, 3);
    now = 1_000_000;
    await replica.snapshot().result;
    await put(replica, 1, 3);
    await backup.flush();
    await backup.close();
    assert.deepEqual((await restored(bucket, { time: 1_500_000 })).point.index, 0n);
    const { index, time, snapshot } = (await restored(bucket, { time: 2_000_000 })).point;
    assert.deepEqual([index, time], [4n, 2_000_000]);
    assert.equal(snapshot?.meta.createdAt, 2_000_000);
  }, { clock });
});

test("no time is before that of a snapshot with which a replica begins", async () => {
  let now = 2_000_000;
  const clock = { now: () => now, monotonic: () => performance.now(), after: () => () => {} };
  const storage = new MemoryStorage();
  await within(async ({ replica }) => {
    await put(replica, 3);
    await replica.snapshot().result;
    now = 1_000_000;
    const log = new MemoryLog();
    await log.reset(3n, 1n);
    const machine: Machine = new KeyValueMachine(utf8Codec());
    const again = await Replica.open({ machine, log, storage, clock });
    assert.equal((await again.propose(machine.put("k", "v"))).time, 2_000_000);
    await again.close();
  }, { clock, storage });
});

test("times that no date can say are refused, by name", async () => {
  for (const time of [8.64e15 + 1, NaN, -1, 0.5]) {
    await rejects(restoreBackup(new KeyValueMachine(utf8Codec()), new MemoryBucket(), { time }), "MALFORMED");
    await rejects(new MemoryLog().append([{ index: 1n, term: 1n, data: new Uint8Array(), time }]), "MALFORMED");
  }
});

test("a backup goes on where an earlier one ended, and another history ends it", async () => {
  await within(async ({ replica, bucket }) => {
    await put(replica, 5);
    await (await Backup.start(replica, bucket)).close();
    await put(replica, 5, 5);
    const again = await Backup.start(replica, bucket);
    await again.close();
    assert.equal(again.status().uploadedIndex, 10n);
    assert.equal(JSON.parse(JSON.stringify(again.status())).uploadedIndex, "10");
    assert.equal((await restored(bucket)).point.index, 10n);
    await within(async ({ replica: other }) => {
      await put(other, 20, 100);
      await rejects(Backup.start(other, bucket), "STALE");
    });
    await within(async ({ replica: other }) => {
      await put(other, 2, 0);
      await rejects(Backup.start(other, bucket), "STALE");
    });
  });
});

test("of two writers to one backup one ends", async () => {
  await within(async ({ replica: one, bucket }) => {
    await within(async ({ replica: two }) => {
      const ended = Promise.withResolvers<SnapshotError>();
      const first = await Backup.start(one, bucket, { interval: 0 });
      const second = await Backup.start(two, bucket, {
        interval: 0,
        onEvent: (event) => event.type === "ended" && ended.resolve(event.error),
      });
      await put(one, 3);
      await first.flush();
      await put(two, 3, 50);
      assert.equal((await ended.promise).code, "STALE");
      await put(one, 3, 3);
      await first.flush();
      await Promise.all([first.close(), second.close()]);
      const { machine } = await restored(bucket);
      assert.deepEqual([machine.size, machine.get("k50")], [6, undefined]);
    });
  });
});

test("the log is not purged past what is in the bucket", async () => {
  let isUp = false;
  await within(async ({ replica, bucket }) => {
    const flaky = passing(bucket, {
      put: (key, body, options) =>
        isUp || !key.startsWith("log/")
          ? bucket.put(key, body, options)
          : Promise.reject(new SnapshotError("UNAVAILABLE", "down")),
    });
    const failed = Promise.withResolvers<void>();
    const onEvent = ({ type }: BackupEvent) => type === "failed" && failed.resolve();
    const backup = await Backup.start(replica, flaky, { interval: 0, onEvent });
    await put(replica, 100);
    await failed.promise;
    await replica.snapshot().result;
    assert.equal(replica.status().firstIndex, 1n);
    assert.equal(backup.status().problem?.code, "UNAVAILABLE");
    isUp = true;
    await backup.flush();
    await replica.purge();
    assert.equal(replica.status().firstIndex, 101n);
    await backup.close();
    assert.equal((await restored(bucket)).point.index, 100n);
  }, { purge: { gap: 1, upToSnapshotIndex: "newest" } });
});

test("snapshots that cannot be copied, or collected, are in the status, and it is tried again", () =>
  inFakeTime(async () => {
    let isUp = false;
    let deletes = 0;
    const collected = Promise.withResolvers<void>();
    const down = () => Promise.reject(new SnapshotError("UNAVAILABLE", "down"));
    await within(async ({ replica, bucket }) => {
      const flaky = passing(bucket, {
        put: (key, body, options) => isUp || !key.startsWith("a/snapshots/") ? bucket.put(key, body, options) : down(),
        async delete(keys, options) {
          if (!keys.some((key) => key.startsWith("a/log/"))) return await bucket.delete(keys, options);
          if (++deletes < 3) return await down();
          await bucket.delete(keys, options);
          collected.resolve();
        },
      });
      const failed = Promise.withResolvers<void>();
      const onEvent = (event: BackupEvent) => event.type === "failed" && event.what === "snapshot" && failed.resolve();
      const backup = await Backup.start(replica, flaky, {
        ...{ prefix: "a/", interval: 0, retain: 1, onEvent },
        compression: "none", // the fake clock knows nothing of what gzip does in other threads
      });
      for (let i = 0; i < 3; i++) {
        await put(replica, 10, 10 * i);
        while (backup.status().uploadedIndex < replica.status().lastIndex) await turns(1);
      }
      await replica.snapshot().result;
      await failed.promise;
      const { failures, problem } = backup.status();
      assert.isAbove(failures, 0);
      assert.strictEqual(problem?.code, "UNAVAILABLE");
      isUp = true;
      await collected.promise; // though there is no newer snapshot
      while (backup.status().failures > 0) await turns(1);
      assert.isUndefined(backup.status().problem);
      await backup.close();
      assert.equal((await restored(bucket, { prefix: "a/" })).point.index, 30n);
      const { objects } = await bucket.list({ prefix: "a/log/" });
      assert.lengthOf(objects, 1, "the newest segment stays");
    });
  }));

test("a backup that passes over entries that were purged goes on, and is flushed and closed", async () => {
  await within(async ({ replica, bucket }) => {
    await put(replica, 10);
    const before = await Backup.start(replica, bucket);
    await before.close();
    await put(replica, 10, 10);
    await replica.snapshot().result;
    await replica.purge();
    assert.equal(replica.status().firstIndex, 21n);
    const gaps: string[] = [];
    const onEvent = (event: BackupEvent) => event.type === "gap" && gaps.push(`${event.first} to ${event.last}`);
    const backup = await Backup.start(replica, bucket, { onEvent });
    await backup.flush();
    await backup.close();
    assert.deepEqual(gaps, ["11 to 20"]);
    assert.equal((await restored(bucket)).point.index, 20n);
  }, { purge: { gap: 1, upToSnapshotIndex: "newest" } });
});

test("a bucket with a snapshot that only a former leader has is refused", async () => {
  await within(async ({ replica, bucket }) => {
    await put(replica, 3);
    const backup = await Backup.start(replica, bucket);
    await backup.close();
    const own: LogEntry[] = [];
    for await (const entry of replica.entries(1n)) own.push(entry);
    await within(async ({ replica: former }) => {
      await former.append(own);
      await put(former, 2, 100);
      await former.snapshot().result;
      const copied = Promise.withResolvers<void>();
      const failed = Promise.withResolvers<void>();
      const downForSegments = passing(bucket, {
        put: (key, body, options) =>
          key.startsWith("log/")
            ? Promise.reject(new SnapshotError("UNAVAILABLE", "down"))
            : bucket.put(key, body, options),
      });
      const copying = await Backup.start(former, downForSegments, {
        interval: 0,
        onEvent: ({ type }) => type === "copied" ? copied.resolve() : type === "failed" && failed.resolve(),
      });
      await Promise.all([copied.promise, failed.promise]);
      await copying.close();
    });
    assert.match((await rejects(Backup.start(replica, bucket), "STALE")).message, /has that snapshot/);
    await put(replica, 3, 3);
    assert.match((await rejects(Backup.start(replica, bucket), "STALE")).message, /of another leader/);
  });
});

test("a list that is an old one hides no segment from a restore, nor from a backup that goes on", async () => {
  await within(async ({ replica, bucket }) => {
    const backup = await Backup.start(replica, bucket, { interval: 0 });
    await put(replica, 5);
    await backup.flush();
    const old = await bucket.list({ prefix: "log/" });
    await put(replica, 5, 5);
    await backup.flush();
    await backup.close();
    const outdated = passing(bucket, {
      list: (options) => options?.prefix?.startsWith("log/") ? Promise.resolve(old) : bucket.list(options),
    });
    assert.equal((await restored(outdated)).point.index, 10n);
    const again = await Backup.start(replica, outdated, { interval: 0 });
    await put(replica, 5, 10);
    await again.flush();
    await again.close();
    assert.equal((await restored(bucket)).point.index, 15n);
    assert.deepEqual((await verifyBackup(bucket).result).problems, []);
  });
});

test("a segment whose acknowledgement is lost is one's own, and is not written twice", async () => {
  await within(async ({ replica, bucket }) => {
    let lost = 0;
    const losing = passing(bucket, {
      async put(key, body, options) {
        const done = await bucket.put(key, body, options);
        if (!key.startsWith("log/") || lost > 1) return done;
        lost++;
        throw new SnapshotError("UNAVAILABLE", "The connection broke");
      },
    });
    const backup = await Backup.start(replica, losing, { interval: 0 });
    await put(replica, 3);
    await backup.flush();
    await put(replica, 3, 3); // more than what is there by now, when it is tried again
    await backup.flush();
    await put(replica, 3, 6);
    await backup.close();
    assert.equal(lost, 2);
    assert.equal((await restored(bucket)).point.index, 9n);
    const { problems, entries } = await verifyBackup(bucket);
    assert.deepEqual([problems, entries], [[], 9n]);
  });
});

test("every byte that changes, every object that is missing or in another's place is found", async () => {
  await within(async ({ replica, bucket }) => {
    const backup = await Backup.start(replica, bucket, { interval: 0 });
    for (let i = 0; i < 4; i++) {
      await put(replica, 3, 3 * i);
      await backup.flush();
    }
    await backup.close();
    const { objects } = await bucket.list({ prefix: "log/" });
    assert.equal(objects.length, 4);
    const copy = async (changed: (key: string, bytes: Uint8Array) => Uint8Array | undefined) => {
      const other = new MemoryBucket();
      for (const { key } of (await bucket.list()).objects) {
        const bytes = new Uint8Array(await new Response((await bucket.get(key))!.body as BodyInit).arrayBuffer());
        const kept = changed(key, bytes);
        if (kept !== undefined) await other.put(key, kept);
      }
      return other;
    };
    const [, second, third] = objects.map(({ key }) => key);
    const size = objects[1]!.size;
    for (let at = 0; at < size; at += 7) {
      const flipped = await copy((key, bytes) => {
        if (key === second) bytes[at]! ^= 1;
        return bytes;
      });
      assert((await verifyBackup(flipped).result).problems.length > 0, `byte ${at}`);
      const error = await restored(flipped).catch((error) => error);
      assert(error instanceof SnapshotError && ["CORRUPT", "UNSUPPORTED"].includes(error.code), `byte ${at}: ${error}`);
    }
    const gone = await copy((key, bytes) => key === second ? undefined : bytes);
    assert.deepEqual((await verifyBackup(gone).result).problems.map(({ code, index }) => [code, index]), [[
      "CORRUPT",
      4n,
    ]]);
    await rejects(restored(gone), "CORRUPT");
    const kept = new Map<string, Uint8Array>();
    await copy((key, bytes) => kept.set(key, bytes).get(key));
    const swapped = await copy((key, bytes) => key === second ? kept.get(third!)! : bytes);
    assert((await verifyBackup(swapped).result).problems.length > 0);
    assert.equal((await restored(swapped).catch((error) => error)).code, "MALFORMED");
  });
});

test("a backup is copied into a storage and a log, from which a replica goes on", async () => {
  await within(async ({ replica, bucket }) => {
    await put(replica, 20);
    await replica.snapshot().result;
    const copied = Promise.withResolvers<void>();
    const onEvent = ({ type }: BackupEvent) => type === "copied" && copied.resolve();
    const backup = await Backup.start(replica, bucket, { onEvent });
    await put(replica, 20, 20);
    await copied.promise;
    await backup.close();
    const to = { storage: new MemoryStorage(), log: new MemoryLog() };
    const point = await copyBackup(bucket, to, { index: 33n });
    assert.deepEqual([point.index, to.log.firstIndex, to.log.lastIndex], [33n, 21n, 33n]);
    const machine: Machine = new KeyValueMachine(utf8Codec());
    const again = await Replica.open({ machine, ...to });
    assert.equal(machine.size, 33);
    assert.deepEqual(await again.log!.digest(33n), await replica.log!.digest(33n));
    await rejects(copyBackup(bucket, to), "STALE");
    await again.close();
  });
});

test("a backup of a replica whose snapshots are encrypted is restored by who has the key", async () => {
  const keys: EncryptionKey[] = [{ id: "2026", secret: noise(32, 1) }];
  await within(async ({ replica, bucket }) => {
    const backup = await Backup.start(replica, bucket, { interval: 0, retain: 1 });
    for (let i = 0; i < 2; i++) {
      await put(replica, 10, 10 * i);
      await replica.snapshot().result;
      await backup.flush();
    }
    await put(replica, 1, 20);
    await backup.close();
    const machine: Machine = new KeyValueMachine(utf8Codec());
    const { index } = await restoreBackup({
      load: (reader) => machine.load(decryptedReader(reader, keys)),
      apply: (entry) => machine.apply(entry),
    }, bucket);
    assert.deepEqual([index, machine.size], [21n, 21]);
    await rejects(restored(bucket), "MALFORMED");

    const to = { storage: new EncryptedStorage(new MemoryStorage(), keys), log: new MemoryLog() };
    await copyBackup(bucket, to);
    const again = await Replica.open({ machine: new KeyValueMachine(utf8Codec()), ...to });
    assert.equal(again.machine.size, 21);
    await again.close();
  }, { storage: new EncryptedStorage(new MemoryStorage(), keys) });
});

test("segments are collected once a snapshot makes them unneeded", async () => {
  await within(async ({ replica, bucket }) => {
    const copies: bigint[] = [];
    let copied = Promise.withResolvers<void>();
    const onEvent = (event: BackupEvent) => {
      if (event.type !== "copied") return;
      copies.push(event.index);
      copied.resolve();
      copied = Promise.withResolvers<void>();
    };
    const backup = await Backup.start(replica, bucket, { interval: 0, retain: 1, onEvent });
    for (let i = 0; i < 3; i++) {
      await put(replica, 10, 10 * i);
      await backup.flush();
      const next = copied.promise;
      await replica.snapshot().result;
      await next;
    }
    await put(replica, 5, 30);
    await backup.close();
    assert.deepEqual(copies, [10n, 20n, 30n]);
    assert.equal((await restored(bucket)).point.index, 35n);
    await rejects(restored(bucket, { index: 5n }), "NOT_FOUND");
  });
});

test("a list in no order, or with a segment twice, has nothing collected that is needed", async () => {
  const orders: readonly ((objects: readonly BucketObject[]) => BucketObject[])[] = [
    (objects) => [...objects].reverse(),
    (objects) => objects.flatMap((object) => [object, object]),
  ];
  for (const order of orders) {
    await within(async ({ replica, bucket }) => {
      const listing = passing(bucket, {
        async list(options) {
          const page = await bucket.list(options);
          return options?.prefix?.startsWith("log/") ? { ...page, objects: order(page.objects) } : page;
        },
      });
      let copied = Promise.withResolvers<void>();
      const onEvent = ({ type }: BackupEvent) => void (type === "copied" && copied.resolve());
      const backup = await Backup.start(replica, listing, { interval: 0, retain: 2, onEvent });
      for (let i = 0; i < 4; i++) {
        await put(replica, 10, 10 * i);
        await backup.flush();
        copied = Promise.withResolvers<void>();
        await replica.snapshot().result;
        await copied.promise;
      }
      await put(replica, 5, 40);
      await backup.close();
      for (const index of [30n, 35n, 45n]) assert.equal((await restored(listing, { index })).point.index, index);
      assert.deepEqual((await verifyBackup(listing).result).problems, []);
    });
  }
});

test("segments stay as long as a snapshot that is there needs them, also after a start with a smaller retention", async () => {
  await within(async ({ replica, bucket }) => {
    let backup = await Backup.start(replica, bucket, { interval: 0, retain: 3 });
    for (let i = 0; i < 3; i++) {
      await put(replica, 10, 10 * i);
      await replica.snapshot().result;
      await backup.flush();
    }
    await backup.close();
    backup = await Backup.start(replica, bucket, { interval: 0, retain: 1 });
    await backup.flush();
    await backup.close();
    assert.equal((await restored(bucket, { index: 15n })).point.index, 15n);
    assert.deepEqual((await verifyBackup(bucket)).problems, []);
  });
});

test("a snapshot of a backup that is damaged, and entries that are missing behind one, are found", async () => {
  await within(async ({ replica, bucket }) => {
    const backup = await Backup.start(replica, bucket, { interval: 0, retain: 1 });
    await put(replica, 10);
    await replica.snapshot().result;
    await backup.flush();
    await put(replica, 10, 10);
    await backup.flush();
    await put(replica, 10, 20);
    await backup.close();
    const segments = (await bucket.list({ prefix: "log/" })).objects.map(({ key }) => key);
    assert.deepEqual(segments.map((key) => Number(key.slice("log/".length))), [1, 11, 21]);
    const found = async () => {
      const { snapshots, problems } = await verifyBackup(bucket);
      return [snapshots, ...problems.map(({ code, index, chunk }) => [code, index, chunk])];
    };
    assert.deepEqual(await found(), [1]);

    await bucket.delete(segments.slice(0, 1)); // the snapshot has all of it
    assert.deepEqual(await found(), [1]);
    await bucket.delete(segments.slice(1, 2));
    assert.deepEqual(await found(), [1, ["CORRUPT", 11n, undefined]]);
    await bucket.delete(segments);
    const [pack] = (await bucket.list({ prefix: "snapshots/packs/" })).objects;
    const bytes = new Uint8Array(await new Response((await bucket.get(pack!.key))!.body as BodyInit).arrayBuffer());
    bytes[0]! ^= 1;
    await bucket.put(pack!.key, bytes);
    assert.deepEqual(await found(), [0, ["CORRUPT", 10n, 0]]);
  });
});

test("a backup has all its objects below its prefix, and another one beside it in the bucket is its own", async () => {
  const bucket = new MemoryBucket();
  for (const [prefix, count] of [["", 10], ["a/", 30], ["b/", 20]] as const) {
    await within(async ({ replica }) => {
      const backup = await Backup.start(replica, bucket, { prefix, interval: 0 });
      await put(replica, count);
      await replica.snapshot().result;
      await put(replica, 1, count);
      await backup.flush();
      await backup.close();
    });
  }
  const keys = (await bucket.list()).objects.map(({ key }) => key);
  assert.deepEqual(keys.filter((key) => !/^([ab]\/)?(log|history|snapshots)\//.test(key)), []);
  for (const [prefix, count] of [["", 10n], ["a/", 30n], ["b/", 20n]] as const) {
    const { machine, point } = await restored(bucket, { prefix });
    assert.deepEqual([point.index, point.snapshot?.meta.lastIncludedIndex], [count + 1n, count]);
    assert.equal(BigInt(machine.size), count + 1n);
    assert.deepEqual((await verifyBackup(bucket, { prefix })).problems, []);
  }
});
