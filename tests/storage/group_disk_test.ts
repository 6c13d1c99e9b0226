import { KeyValueMachine, Replica, type SnapshotError, utf8Codec } from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { SqliteLog } from "../../src/sqlite.ts";
import { assert, rejects, test } from "../support/harness.ts";
import { directoryOf, isWhole, listing, save, wholeOnes } from "../support/directory_storage.ts";
import { commit } from "../support/probe.ts";
import { inTemp } from "../support/temp.ts";

test("group: in a directory, what is of another group is reported and left, byte by byte", () =>
  inTemp(async (root) => {
    const before = await DirectoryStorage.open(root, { retain: 9 });
    await save(before, 1n);
    await commit(before, { lastIncludedIndex: 5n, group: "orders" }, "of orders");
    await commit(before, { lastIncludedIndex: 6n, group: "orders" }, "of orders, later");
    await before.close();
    const theirs = async () =>
      [await listing(directoryOf(root, 5n)), await listing(directoryOf(root, 6n))].flat().join("\n");
    const as = await theirs();
    const warnings: SnapshotError[] = [];
    const onWarning = (warning: SnapshotError) => warnings.push(warning);
    const storage = await DirectoryStorage.open(root, { group: "users", onWarning });
    assert.deepEqual(warnings.map(({ code, index, expected, actual }) => [code, index, expected, actual]), [
      ["FORBIDDEN", 6n, "users", "orders"],
      ["FORBIDDEN", 5n, "users", "orders"],
    ]);
    assert.deepEqual(storage.damaged, []);
    const reader = await storage.open();
    await isWhole(reader);
    await reader.close();
    for (const index of [2n, 3n, 4n]) await save(storage, index); // retention takes its own
    await rejects(save(storage, 5n), "FORBIDDEN"); // where another's lies
    await save(storage, 7n);
    assert.deepEqual(await wholeOnes(storage), [7n, 4n]);
    for (const index of [5n, 6n]) await rejects(() => storage.open(index), "FORBIDDEN");
    await storage.close();
    assert.strictEqual(await theirs(), as);
    const orders = await DirectoryStorage.open(root, { group: "orders" });
    assert.deepEqual((await orders.list()).map(({ meta }) => meta.lastIncludedIndex), [6n, 5n]);
    await orders.close();
  }));

test("group: a log says it, for good; one of another group is refused, and stays as it was", () =>
  inTemp(async (root) => {
    const path = `${root}/log.db`;
    const plain = await SqliteLog.open(path);
    assert.isUndefined(plain.group);
    await plain.append([{ index: 1n, term: 1n, data: Uint8Array.of(1) }]);
    await plain.close();
    await rejects(SqliteLog.open(path, { group: "" }), "MALFORMED");
    const users = await SqliteLog.open(path, { group: "users" });
    assert.deepEqual([users.group, users.lastIndex], ["users", 1n]);
    await users.close();
    const error = await rejects(SqliteLog.open(path, { group: "orders" }), "FORBIDDEN");
    for (const part of [path, '"users"', '"orders"']) assert.include(error.message, part);
    const again = await SqliteLog.open(path);
    assert.deepEqual([again.group, again.lastIndex], ["users", 1n]);
    await again.close();
    const { DatabaseSync } = await import("node:sqlite");
    const database = new DatabaseSync(path);
    database.exec("UPDATE log_group SET name = ''");
    database.close();
    await rejects(SqliteLog.open(path), "CORRUPT");
  }));

test("group: a replica tells its log, which no other group can be given from then on, whatever lies beside it", () =>
  inTemp(async (root) => {
    const opening = async (snapshots: string, group?: string) =>
      await Replica.open({
        machine: new KeyValueMachine(utf8Codec()),
        log: await SqliteLog.open(`${root}/log.db`),
        storage: await DirectoryStorage.open(`${root}/${snapshots}`),
        ...(group !== undefined && { group }),
      });
    const users = await opening("users", "users");
    await users.propose(users.machine.put("a", "b"));
    await users.snapshot().result;
    await users.close();
    await rejects(opening("users", "orders"), "FORBIDDEN"); // the snapshots are foreign, and the log gives everything
    await rejects(opening("new", "orders"), "FORBIDDEN");
    for (const snapshots of ["users", "new"]) {
      const again = await opening(snapshots);
      assert.deepEqual([again.status().group, again.machine.get("a")], ["users", "b"]);
      await again.close();
    }
  }));

test("group: a log of one group beside the snapshots of another: neither is changed", () =>
  inTemp(async (root) => {
    const machine = () => new KeyValueMachine(utf8Codec());
    const opening = async (log: string, snapshots: string, group?: string) => {
      const storage = await DirectoryStorage.open(`${root}/${snapshots}`);
      const opened = await SqliteLog.open(`${root}/${log}.db`);
      return await Replica.open({
        machine: machine(),
        log: opened,
        storage,
        triggers: { interval: 0, entries: 0 },
        ...(group !== undefined && { group }),
      });
    };
    for (const group of ["users", "orders"]) {
      const log = await SqliteLog.open(`${root}/${group}.db`, { group });
      const storage = await DirectoryStorage.open(`${root}/${group}`);
      const replica = await Replica.open({ machine: machine(), log, storage });
      await replica.propose(replica.machine.put("group", group));
      assert.strictEqual((await replica.snapshot().result).snapshot?.meta.group, group);
      await replica.propose(replica.machine.put("more", group));
      await replica.close();
    }
    await rejects(opening("users", "orders"), "FORBIDDEN");
    await rejects(opening("users", "users", "orders"), "FORBIDDEN");
    for (const group of ["users", "orders"]) { // closed by the failures, and whole
      const replica = await opening(group, group);
      assert.deepEqual([replica.status().group, replica.machine.get("more")], [group, group]);
      await replica.close();
    }
  }));
