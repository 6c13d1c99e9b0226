// The parameters of what needs something that is not here: a Durable Object, NATS, a page, a database. All are checked
// before it is asked for anything.

import { DatabaseSync } from "node:sqlite";
import { type LogEntry, MemoryStorage } from "../../mod.ts";
import { runCli } from "../../src/cli/mod.ts";
import { AlarmClock, DurableObjectLog, DurableReplica } from "../../src/durable_object.ts";
import { JetStreamBucket, JetStreamLog } from "../../src/jetstream.ts";
import { levelEngine } from "../../src/state/database/level.ts";
import { rocksEngine } from "../../src/state/database/rocksdb.ts";
import { OpfsLog, OpfsStorage } from "../../src/opfs.ts";
import {
  bucketConformance,
  diskConformance,
  logConformance,
  stateConformance,
  storageConformance,
} from "../../src/testing/mod.ts";
import { members, optional, parameter, type Slot } from "./slot.ts";
import {
  isArrayOf,
  isBytes,
  isEither,
  isFunction,
  isGroup,
  isIndex,
  isInteger,
  isNothing,
  isNumber,
  isOne,
  isSignal,
  isString,
  type Right,
} from "./values.ts";

// deno-lint-ignore no-explicit-any -- what is given is not of the type
type Any = any;

/** The storage of a Durable Object: its database in memory. */
function object(): Any {
  const database = new DatabaseSync(":memory:");
  return {
    sql: {
      exec(query: string, ...bindings: string[]) {
        if (bindings.length === 0 && !/^\s*SELECT/.test(query)) database.exec(query);
        else return { toArray: () => database.prepare(query).all(...bindings) };
      },
    },
    transactionSync: (work: () => unknown) => work(),
    sync: () => Promise.resolve(),
    getAlarm: () => Promise.resolve(null),
    setAlarm: () => Promise.resolve(),
    deleteAlarm: () => Promise.resolve(),
  };
}

/** A connection that nothing is asked of, since what comes with it is wrong. */
const connection: Any = Object.fromEntries(
  ["publish", "subscribe", "request", "status", "closed", "close"].map((name) => [name, () => Promise.reject()]),
);
const machine = () => ({ apply: () => {}, save: () => undefined, load: () => Promise.resolve() });
const orNothing = (right: Right): Right => (v) => v === undefined || right(v);
const isName = (v: unknown) => typeof v === "string" && /^[A-Za-z0-9_-]{1,200}$/.test(v);

async function onLog(work: (log: DurableObjectLog) => unknown): Promise<void> {
  await work(await DurableObjectLog.open(object()));
}

const entry: LogEntry = { index: 1n, term: 1n, data: new Uint8Array(1) };
const isEmpty = (v: unknown) => Array.isArray(v) && v.length === 0;
const append = (member: string, right: (v: unknown) => boolean, name = "") =>
  parameter(
    "DurableObjectLog.append",
    name,
    right,
    (_, v: Any) => onLog((it) => it.append([{ ...entry, [member]: v }])),
  );

const objects: Slot[] = [
  parameter("DurableObjectLog.open", "storage", isNothing, (_, v: Any) => DurableObjectLog.open(v)),
  optional("DurableObjectLog.open", "appended", isFunction, (_, v: Any) => DurableObjectLog.open(object(), v)),
  parameter("DurableObjectLog.append", "entr", isEmpty, (_, v: Any) => onLog((it) => it.append(v))),
  append("index", isOne(1n)),
  append("term", isIndex),
  append("data", isBytes, "data"),
  append("configuration", isOne(undefined), "onfiguration"),
  parameter("DurableObjectLog.entries", "from", isIndex, (_, v: Any) =>
    onLog(async (it) => {
      for await (const _ of it.entries(v));
    })),
  parameter("DurableObjectLog.batches", "from", isIndex, (_, v: Any) =>
    onLog(async (it) => {
      for await (const _ of it.batches(v));
    })),
  parameter("DurableObjectLog.term", "index", isIndex, (_, v: Any) => onLog((it) => it.term(v))),
  parameter("DurableObjectLog.purge", "index", isIndex, (_, v: Any) => onLog((it) => it.purge(v))),
  parameter("DurableObjectLog.reset", "index", isIndex, (_, v: Any) => onLog((it) => it.reset(v, 1n))),
  parameter("DurableObjectLog.reset", "term", isIndex, (_, v: Any) => onLog((it) => it.reset(9n, v))),
  parameter("AlarmClock.open", "storage", isNothing, (_, v: Any) => AlarmClock.open(v)),
  parameter("AlarmClock.mode", "mode", isOne("waiting", "resting", "busy"), async (_, v: Any) => {
    (await AlarmClock.open(object())).mode = v;
  }),
  parameter(
    "AlarmClock.after",
    "ms",
    isNumber(0),
    async (_, v: Any) => (await AlarmClock.open(object())).after(v, () => {})(),
  ),
  parameter(
    "AlarmClock.after",
    "callback",
    isFunction,
    async (_, v: Any) => (await AlarmClock.open(object())).after(9, v)(),
  ),
  parameter("AlarmClock.ring", "work", isFunction, async (_, v: Any) => (await AlarmClock.open(object())).ring(v)),
  parameter(
    "DurableReplica.open",
    "storage",
    isNothing,
    (_, v: Any) => DurableReplica.open(v, { machine: machine() as Any, storage: new MemoryStorage() }),
  ),
  ...members(
    "DurableReplica.open",
    async (_, it) => (await DurableReplica.open(object(), it)).close(),
    { "!machine": isNothing, "!storage": isNothing, group: isGroup, onEvent: isFunction, signal: isSignal },
    () => ({ machine: machine(), storage: new MemoryStorage() }),
  ).map((slot) => slot.name === "options" ? { ...slot, right: isNothing } : slot),
];

const services: Slot[] = [
  parameter(
    "JetStreamLog.open",
    "connection",
    isNothing,
    (_, v: Any) => JetStreamLog.open(v, { stream: "a", member: "b" }),
  ),
  ...members("JetStreamLog.open", (_, it) => JetStreamLog.open(connection, it), {
    ...{ "!stream": isName, "!member": isName, replicas: orNothing(isInteger(1, 5)), signal: orNothing(isSignal) },
    memberTimeout: orNothing(isNumber(0)),
    onFailing: orNothing(isFunction),
  }, () => ({ stream: "a", member: "b" }))
    .map(({ without: _, ...slot }) => slot.name === "options" ? { ...slot, right: isNothing } : slot),
  parameter("JetStreamBucket.open", "connection", isNothing, (_, v: Any) => JetStreamBucket.open(v, { bucket: "a" })),
  ...members("JetStreamBucket.open", (_, it) => JetStreamBucket.open(connection, it), {
    ...{ "!bucket": isName, replicas: orNothing(isInteger(1, 5)) },
  }, () => ({ bucket: "a" })).map(({ without: _, ...slot }) =>
    slot.name === "options" ? { ...slot, right: isNothing } : slot
  ),
  parameter("OpfsStorage.open", "directory", (v) => isString(v) || v === undefined, (_, v: Any) => OpfsStorage.open(v)),
  ...members("OpfsStorage.open", (_, it) => OpfsStorage.open("here", it), {
    ...{
      retain: isEither(isInteger(1), isFunction),
      group: isGroup,
      signer: isNothing,
      onWarning: isFunction,
      keepInstalls: isNumber(0),
      readOnly: isOne(true, false),
      wait: isSignal,
    },
  }).map(({ without: _, ...slot }) => slot), // there is no OPFS here
  parameter("OpfsLog.open", "directory", (v) => isString(v) || v === undefined, (_, v: Any) => OpfsLog.open(v)),
  ...members("OpfsLog.open", (_, it) => OpfsLog.open("here", it), { group: isGroup, wait: isSignal })
    .map(({ without: _, ...slot }) => slot),
  parameter("levelEngine", "database", isNothing, (_, v: Any) => levelEngine(v)),
  parameter("rocksEngine", "database", isNothing, (_, v: Any) => rocksEngine(v)),
  parameter("bucketConformance", "make", isFunction, (_, v: Any) => bucketConformance(v)),
  parameter("diskConformance", "make", isFunction, (_, v: Any) => diskConformance(v)),
  parameter("logConformance", "make", isFunction, (_, v: Any) => logConformance(v)),
  parameter("stateConformance", "make", isFunction, (_, v: Any) => stateConformance(v)),
  parameter("storageConformance", "make", isFunction, (_, v: Any) => storageConformance(v)),
  parameter("runCli", "args", isArrayOf(isString), (_, v: Any) => runCli(v)),
  optional("runCli", "signal", isSignal, (_, v: Any) => runCli(["help"], v)),
];

/** The parameters of these. */
export const serviceSlots: readonly Slot[] = [...objects, ...services];
