import { DatabaseSync } from "node:sqlite";
import type { SnapshotInfo } from "../../mod.ts";
import { type Bucket, ObjectStorage } from "../../src/object.ts";
import { restore, SqliteBackup } from "../examples/sqlite_to_s3.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { assert, gate, rejects, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { newBucket } from "./kit.ts";

/** Counts the bytes of what is put. */
function counting(bucket: Bucket, onBytes: (bytes: number) => void): Bucket {
  return {
    get: (...call) => bucket.get(...call),
    async put(...call) {
      const put = await bucket.put(...call);
      onBytes(put?.size ?? 0);
      return put;
    },
    delete: (...call) => bucket.delete(...call),
    list: (...call) => bucket.list(...call),
  };
}

/** Waits until the next snapshot is scheduled: the one before is done. */
async function scheduled(clock: FakeClock): Promise<void> {
  while (clock.waiting.length === 0) await new Promise((resolve) => setTimeout(resolve));
}

function rowsOf(path: string): number {
  const database = new DatabaseSync(path, { readOnly: true });
  assert.equal(database.prepare("PRAGMA integrity_check").get()!.integrity_check, "ok");
  const { count } = database.prepare("SELECT count(*) AS count FROM notes").get()!;
  database.close();
  return Number(count);
}

test("SQLite to S3 every minute, and back as it was at any of them", () =>
  inTemp(async (directory) => {
    let uploaded = 0;
    const s3 = await newBucket();
    const options = { prefix: "app/", retain: 4 };
    const storage = await ObjectStorage.open(counting(s3, (bytes) => uploaded += bytes), options);
    const clock = new FakeClock();
    let seen = gate<SnapshotInfo | unknown>();
    const onSnapshot = (snapshot: SnapshotInfo) => seen.open(snapshot);
    const onError = (error: unknown) => seen.open(error);

    const database = new DatabaseSync(`${directory}/app.db`);
    database.exec("PRAGMA journal_mode = WAL; CREATE TABLE notes (id INTEGER PRIMARY KEY, note BLOB)");
    const add = (count: number) => {
      database.exec("BEGIN");
      const insert = database.prepare("INSERT INTO notes (note) VALUES (randomblob(1000))");
      for (let i = 0; i < count; i++) insert.run();
      database.exec("COMMIT");
    };
    add(4000);

    const running = new SqliteBackup(`${directory}/app.db`, storage, { clock, onSnapshot, onError });
    const minute = async (): Promise<SnapshotInfo> => {
      seen = gate();
      clock.advance(60_000);
      const result = await seen.promise;
      await scheduled(clock);
      if (result instanceof Error) throw result;
      return result as SnapshotInfo;
    };
    await minute();
    const first = uploaded;
    assert.isAbove(first, 4_000_000);
    const times = [clock.now()];
    for (let i = 0; i < 4; i++) {
      add(10);
      await minute();
      times.push(clock.now());
    }
    assert.isBelow(uploaded - first, first, "what did not change is not uploaded again");

    clock.advance(60_000); // nothing was changed: nothing is uploaded
    await scheduled(clock);
    assert.equal((await storage.list())[0]!.meta.lastIncludedIndex, BigInt(times.at(-1)!));

    await rejects(restore(storage, times[0]!, `${directory}/too-old.db`), "NOT_FOUND"); // four are retained
    for (const [i, time] of times.entries()) {
      if (i === 0) continue;
      const restored = await restore(storage, time + 30_000, `${directory}/restored-${i}.db`);
      assert.equal(restored.getTime(), time);
      assert.equal(rowsOf(`${directory}/restored-${i}.db`), 4000 + 10 * i);
    }
    await rejects(restore(storage, times[2]!, `${directory}/app.db`), "BUSY");

    add(1);
    await running.close(); // takes the last
    await storage.close();
    const another = await ObjectStorage.open(s3, options);
    await restore(another, clock.now(), `${directory}/last.db`);
    assert.equal(rowsOf(`${directory}/last.db`), rowsOf(`${directory}/app.db`));
    await another.close();
    database.close();
  }));
