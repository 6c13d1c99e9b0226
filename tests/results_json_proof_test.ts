// Each public type that has a bigint is either one that a program hands in, or JSON: a new one cannot be forgotten.

import { truncate } from "node:fs/promises";
import {
  KeyValueMachine,
  type LogEntry,
  MemoryLog,
  MemoryStorage,
  notifyInstall,
  Replica,
  snapshotHandler,
  StoredState,
  stringKeys,
  utf8Codec,
} from "../mod.ts";
import { Backup, copyBackup, verifyBackup } from "../src/backup.ts";
import { blobFiles, listFormat, openFormat } from "../src/formats.ts";
import { DirectoryStorage, sourceFiles } from "../src/fs.ts";
import { MemoryBucket } from "../src/object.ts";
import { sqliteEngine, SqliteLog } from "../src/sqlite.ts";
import { type Documented, entries as exported, symbolsOf } from "./support/exported.ts";
import { FaultyDisk } from "./support/faulty_disk.ts";
import { assert, noise, rejects, test } from "./support/harness.ts";
import { save } from "./support/samples.ts";
import { inTemp } from "./support/temp.ts";

/** Types that a program hands in, that are the work of an author of storages and logs, or are no object of data. */
const TAKEN = [
  ...["Applied", "EncodedBatch", "ExecutorContext", "InstallOptions", "LogProposeOptions", "LogStorage", "Member"],
  ...["OpenFormatOptions", "PullOptions", "PurgeState", "QuarantinedPlace", "Receiver", "RemoteOptions"],
  ...["ReplicaOptions", "RestoreBackupOptions", "RestoreOptions", "SaveOptions", "SavedUpTo", "SharedLog"],
  ...["SnapshotAt", "SqlBatch", "StorageOptions", "Synced", "UnarchiveOptions"],
];

/** Examples of all other types with a bigint, and of those that may have one where it is not declared. */
type Samples = Record<string, readonly object[]>;

/** Reports whether a type, as `deno doc` has it, has a bigint in a place of its own. */
function hasBigint(type: unknown): boolean {
  if (typeof type !== "object" || type === null) return false;
  if (Object.entries(type).some(([name, value]) => name === "repr" && value === "bigint")) return true;
  return Object.values(type).some(hasBigint);
}

function hasBigintMember({ declarations }: Documented): boolean {
  return declarations.some(({ kind, def }) =>
    kind === "interface"
      ? hasBigint((def as { properties: unknown }).properties)
      : kind === "typeAlias" && hasBigint(def)
  );
}

/** Reports whether a value is JSON, with each bigint as its digits, and otherwise as it is declared. */
function isJson(value: object): boolean {
  try {
    const said = JSON.parse(JSON.stringify(value));
    return Object.entries(value).every(([name, member]) =>
      name !== "toJSON" && (typeof member !== "bigint" || said[name] === String(member))
    );
  } catch {
    return false;
  }
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  return await Array.fromAsync(items);
}

async function ofReplicas(): Promise<Samples> {
  const events: object[] = [];
  const notifications: object[] = [];
  const machine = new KeyValueMachine(utf8Codec());
  const storage = new MemoryStorage();
  const log = new MemoryLog();
  const onEvent = (event: object) => void events.push(event);
  const leader = await Replica.open({ machine, log, storage, onEvent, purge: { gap: 1 } });
  const handler = snapshotHandler(storage, { target: leader, allowWrites: true });
  const source = { url: "http://leader", fetch: handler };
  const entries: LogEntry[] = [await leader.propose(machine.put("a", "1"))];
  entries.push(
    await leader.reconfigure({ peers: ["a"] }),
    ...await all(leader.entries(1n)),
    ...await all(log.entries(1n)),
  );

  const bucket = new MemoryBucket();
  const backed: object[] = [];
  const backup = await Backup.start(leader, bucket, { interval: 0, onEvent: (event) => void backed.push(event) });
  await backup.flush();
  await leader.snapshot();
  await leader.propose(machine.put("b", "2"));
  await backup.flush();
  const points = [
    await copyBackup(bucket, { storage: new MemoryStorage(), log: new MemoryLog() }),
    await verifyBackup(bucket),
  ];

  const followed: object[] = [];
  const replica = await Replica.open({
    machine: new KeyValueMachine(utf8Codec()),
    log: new MemoryLog(),
    storage: new MemoryStorage(),
    onNotification: (notification) => {
      notifications.push(notification);
      return undefined;
    },
  });
  const noted = snapshotHandler(replica.storage, { target: replica, allowWrites: true });
  const notification = { term: 1n, firstAvailable: { index: 9n, term: 1n } };
  const replies = [
    await notifyInstall({ url: "http://here", fetch: noted }, notification),
    await replica.notify({ term: 0n, firstAvailable: { index: 1n, term: 0n } }),
  ];
  const follower = replica.follow([source], { name: "b", onEvent: (event) => void followed.push(event) });
  await follower.caughtUp(log.lastIndex);
  const known = leader.log!.followers!();
  const status = [follower.status(), await follower.status()];
  entries.push(await follower.promote());
  const result = {
    ...{ ExecutorEvent: events, ExecutorMetrics: [leader.status().metrics], ReplicaStatus: [leader.status()] },
    ...{ InstallNotification: notifications, NotificationReply: replies },
    ...{
      BackupEvent: backed,
      BackupStatus: [backup.status()],
      RestoredPoint: [points[0]!],
      BackupReport: [points[1]!],
    },
    ...{ LogStatus: [leader.log!.status()], KnownFollower: known, FollowerEvent: followed, FollowerStatus: status },
    ...{ LogEntry: entries, SnapshotMeta: (await storage.list()).map(({ meta }) => meta) },
  };
  await Promise.all([backup.close(), handler.close(), noted.close(), replica.close(), leader.close()]);
  return result;
}

async function ofDisks(directory: string): Promise<Samples> {
  const root = `${directory}/snapshots`;
  const first = await DirectoryStorage.open(root, { retain: 9 });
  for (const index of [1n, 2n, 3n, 4n, 5n]) await save(first, index, { state: noise(100, 1) });
  await first.close();
  for (const index of [2, 5]) await truncate(`${root}/snapshot_${String(index).padStart(20, "0")}/state`, 9);
  const disk = new FaultyDisk((what) => /00003\/state$/.test(what));
  const storage = await DirectoryStorage.open(root, { retain: 9, disk });
  await storage.list();
  const [damaged, quarantined] = [storage.damaged, await storage.quarantined()];
  const unreadable = await storage.unreadable();
  const error = await rejects(storage.open(99n), "NOT_FOUND");
  await storage.close();

  const log = await SqliteLog.open(`${directory}/log.db`);
  const state = await StoredState.open(sqliteEngine(`${directory}/state.db`), { keys: stringKeys() });
  const machine = state.machine(async () => {});
  const replica = await Replica.open({ machine, log, storage: new MemoryStorage() });
  const entries = [await replica.propose(new Uint8Array(1)), ...await all(log.entries(1n))];
  const durable = state.durable()!;
  await replica.close();
  await state.close();

  const flink = await openFormat(await sourceFiles(new URL("fixtures/flink/2.1-heap", import.meta.url).pathname));
  const rows = await all(flink.entries());
  const meta = '{"Version":1,"ID":"1-5-1700000000000","Index":5,"Term":1,"Size":0,"CRC":"AAAAAAAAAAA="}';
  const files = blobFiles({ "meta.json": new Blob([meta]), "state.bin": new Blob([]) }, "1-5-1700000000000");
  const raft = await openFormat(files);
  return {
    ...{ DamagedSnapshot: damaged, QuarantinedSnapshot: quarantined, UnreadableSnapshot: unreadable },
    ...{ SnapshotErrorFields: [error.fields], LogEntry: entries, DurablyApplied: [durable] },
    ...{ FormatEntry: rows, details: [raft.details, flink.details], FormatSnapshot: await listFormat(files) },
  };
}

test("results: each public type that has a bigint is JSON, unless a program hands it in", async () => {
  const symbols = (await Promise.all((await exported()).map(([, path]) => symbolsOf(path)))).flat();
  const found = [...new Set(symbols.filter(hasBigintMember).map(({ name }) => name))].sort();
  assert.isAbove(found.length, 40);
  await inTemp(async (directory) => {
    const samples = await ofDisks(directory);
    const others = await ofReplicas();
    const every: Samples = { ...samples, ...others, LogEntry: [...samples["LogEntry"]!, ...others["LogEntry"]!] };
    const lacking = Object.keys(every).filter((name) => every[name]!.length === 0);
    assert.deepEqual(lacking, [], "a result of which there is no example");
    const wrong = Object.entries(every).flatMap(([name, some]) => some.every(isJson) ? [] : [name]);
    assert.strictEqual(wrong.join(), "", "results that are not JSON");
    const known = [...TAKEN, ...Object.keys(every)];
    assert.deepEqual(found.filter((name) => !known.includes(name)), [], "a result that is not looked at");
    assert.deepEqual(TAKEN.filter((name) => !found.includes(name)), [], "what has no bigint any more");
  });
});
