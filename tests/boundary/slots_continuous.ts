// The parameters of followers, of the digest of a log's history, and of backups.

import { KeyValueMachine, MemoryLog, MemoryStorage, Replica, utf8Codec } from "../../mod.ts";
import { Backup, copyBackup, restoreBackup, verifyBackup } from "../../src/backup.ts";
import { MemoryBucket } from "../../src/object.ts";
import { members, parameter, type Slot } from "./slot.ts";
import {
  isFunction,
  isIndex,
  isInteger,
  isNothing,
  isNumber,
  isObject,
  isOne,
  isSignal,
  isString,
  isText,
} from "./values.ts";
import type { World } from "./world.ts";

// deno-lint-ignore no-explicit-any -- what is given is not of the type
type Any = any;

const nowhere = { url: "http://nowhere.invalid", fetch: () => Promise.reject(new TypeError("refused")) };

/** Does something with a replica of its own. */
async function withReplica(work: (replica: Replica<KeyValueMachine<string>>) => unknown): Promise<void> {
  const machine = new KeyValueMachine(utf8Codec());
  const parts = { machine, log: new MemoryLog(), storage: new MemoryStorage(), triggers: { interval: 0 } };
  const replica = await Replica.open(parts);
  try {
    await work(replica);
  } finally {
    await replica.close();
  }
}

async function start(replica: Any, bucket: Any, options: Any = {}): Promise<void> {
  const backup = await Backup.start(replica, bucket, options);
  await backup.close();
}

const restore = (_: World, options: Any) =>
  restoreBackup(new KeyValueMachine(utf8Codec()), new MemoryBucket(), options);
const copy = (to: object) =>
  copyBackup(new MemoryBucket(), { storage: new MemoryStorage(), log: new MemoryLog(), ...to });

/** All of them. */
export const continuousSlots: readonly Slot[] = [
  parameter("MemoryLog.digest", "index", isIndex, ({ log }, v: Any) => log.digest(v)),
  parameter("MemoryLog.bindDigest", "digest", isNothing, (_, v: Any) => new MemoryLog().bindDigest(v)),
  parameter("Replica.follow", "sources", isNothing, (_, v: Any) => withReplica((replica) => replica.follow(v))),
  ...members("Replica.follow", (_, it) => withReplica((replica) => replica.follow([nowhere], it)), {
    ...{ name: isText, address: isText, timeout: isNumber(0), install: isObject, onEvent: isFunction },
  }),
  parameter("Backup.start", "replica", isNothing, ({ bucket }, v: Any) => start(v, bucket)),
  parameter("Backup.start", "bucket", isNothing, (_, v: Any) => withReplica((replica) => start(replica, v))),
  ...members("Backup.start", (_, it) => withReplica((replica) => start(replica, new MemoryBucket(), it)), {
    ...{ interval: isNumber(0), segmentBytes: isInteger(1, 67108864), compression: isOne("none", "gzip", "zstd") },
    ...{ prefix: isString, retain: isInteger(1), keep: isNumber(0), onEvent: isFunction },
  }),
  parameter("restoreBackup", "machine", isNothing, (_, v: Any) => restoreBackup(v, new MemoryBucket())),
  parameter("restoreBackup", "bucket", isNothing, (_, v: Any) => restoreBackup(new KeyValueMachine(utf8Codec()), v)),
  ...members("restoreBackup", restore, { prefix: isString, index: isIndex, time: isInteger(0), signal: isSignal }),
  parameter("copyBackup", "bucket", isNothing, (_, v: Any) => {
    return copyBackup(v, { storage: new MemoryStorage(), log: new MemoryLog() });
  }),
  parameter("copyBackup", "to.storage", isNothing, (_, v: Any) => copy({ storage: v })),
  parameter("copyBackup", "to.log", isNothing, (_, v: Any) => copy({ log: v })),
  parameter("verifyBackup", "bucket", isNothing, (_, v: Any) => verifyBackup(v)),
  ...members("verifyBackup", (_, it) => verifyBackup(new MemoryBucket(), it), { prefix: isString, signal: isSignal }),
];
