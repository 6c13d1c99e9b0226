// The parameters of states, replicas and transfers.

import {
  CowMap,
  defaultMaxParallelism,
  jsonCodec,
  KeyedState,
  keyGroupOf,
  keyGroupRange,
  KeyValueMachine,
  MemoryLog,
  MemoryStorage,
  notifyInstall,
  openRemote,
  Operation,
  pull,
  push,
  pushLive,
  Replica,
  snapshotHandler,
  StoredState,
  stringKeys,
  systemClock,
  utf8Codec,
  versioned,
  workerOf,
} from "../../mod.ts";
import { protobufCodec } from "../../src/protobuf.ts";
import { hashLong, hashString, murmurHash, purgeIndex } from "../../src/extend.ts";
import { observed, replicaTelemetry } from "../../src/otel.ts";
import { page } from "../../src/page.ts";
import { META } from "./slots_core.ts";
import { members, optional, parameter, type Slot } from "./slot.ts";
import {
  isArrayOf,
  isBoolean,
  isBytes,
  isEither,
  isFunction,
  isIndex,
  isInteger,
  isNothing,
  isNumber,
  isObject,
  isOne,
  isReadable,
  isSignal,
  isString,
  isText,
  type Right,
  tagOf,
} from "./values.ts";
import type { World } from "./world.ts";

// deno-lint-ignore no-explicit-any -- what is given is not of the type
type Any = any;

/** Of OpenTelemetry. */
const telemetry = { attributes: isObject, tracerProvider: isNothing, meterProvider: isNothing };
const entry = { index: 3n, term: 1n, data: new Uint8Array(1) };
const isIterable: Right = (v) =>
  v instanceof Uint8Array ||
  typeof v === "object" && v !== null && /^\[object (Array|Map|Set|Headers|String|.*\dArray)\]$/.test(tagOf(v));
const isEntryList: Right = (v) => Array.isArray(v) && v.length === 0;

const logs: Slot[] = [
  parameter("MemoryLog.append", "entr", isEntryList, ({ log }, v: Any) => log.append(v)),
  parameter("MemoryLog.append", "", isOne(3n), ({ log }, v: Any) => log.append([{ ...entry, index: v }])),
  parameter("MemoryLog.append", "term", isIndex, ({ log }, v: Any) => log.append([{ ...entry, term: v }])),
  parameter("MemoryLog.append", "data", isBytes, ({ log }, v: Any) => log.append([{ ...entry, data: v }])),
  parameter(
    "MemoryLog.append",
    "onfiguration",
    isOne(undefined),
    ({ log }, v: Any) => log.append([{ ...entry, configuration: v }]),
  ),
  parameter("MemoryLog.entries", "from", isIndex, ({ log }, v: Any) => log.entries(v)),
  parameter("MemoryLog.term", "index", isIndex, ({ log }, v: Any) => log.term(v)),
  parameter("MemoryLog.purge", "index", isIndex, ({ log }, v: Any) => log.purge(v)),
  parameter("MemoryLog.reset", "index", isIndex, ({ log }, v: Any) => log.reset(v, 1n)),
  parameter("MemoryLog.reset", "term", isIndex, ({ log }, v: Any) => log.reset(5n, v)),
];

const states: Slot[] = [
  ...members("KeyedState", (_, it) => new KeyedState(it), {
    "!keys": isNothing,
    maxParallelism: isInteger(1, 32768),
    range: isNothing,

    incremental: isEither(isBoolean, isObject),
    drop: isArrayOf(isString),
  }, () => ({ keys: stringKeys() })),
  parameter(
    "KeyedState",
    "options.incremental.maxShare",
    isEither(isNumber(0), isOne(undefined)),
    (_, v: Any) => new KeyedState({ keys: stringKeys(), incremental: { maxShare: v } }),
  ),
  parameter(
    "KeyedState",
    "options.incremental.maxDeltas",
    isEither(isInteger(0, 9999), isOne(undefined)),
    (_, v: Any) => new KeyedState({ keys: stringKeys(), incremental: { maxDeltas: v } }),
  ),
  parameter(
    "KeyedState",
    "",
    isOne(0, 1, -0),
    (_, v: Any) => new KeyedState({ keys: stringKeys(), range: { first: v, last: 1 } }),
  ),
  parameter(
    "KeyedState.value",
    "name",
    isString,
    (_, v: Any) => new KeyedState({ keys: stringKeys() }).value(v, utf8Codec()),
  ),
  parameter(
    "KeyedState.value",
    "codec",
    isNothing,
    (_, v: Any) => new KeyedState({ keys: stringKeys() }).value("a", v),
  ),
  parameter("KeyedState.list", "codec", isNothing, (_, v: Any) => new KeyedState({ keys: stringKeys() }).list("a", v)),
  parameter(
    "KeyedState.map",
    "userKeys",
    isNothing,
    (_, v: Any) => new KeyedState({ keys: stringKeys() }).map("a", v, utf8Codec()),
  ),
  parameter("KeyedState.owns", "key", isText, ({ state }, v: Any) => state.owns(v)),
  parameter("KeyedState.load", "readers", isNothing, ({ state }, v: Any) => state.load(v)),
  parameter("StoredState.open", "engine", isNothing, (_, v: Any) => StoredState.open(v, { keys: stringKeys() })),
  parameter("KeyValueMachine", "codec", isNothing, (_, v: Any) => new KeyValueMachine(v)),
  optional("KeyValueMachine", "options", isObject, (_, v: Any) => new KeyValueMachine(utf8Codec(), v)),
  parameter("KeyValueMachine.put", "key", isText, ({ machine }, v: Any) => machine.put(v, "b")),
  parameter("KeyValueMachine.delete", "key", isText, ({ machine }, v: Any) => machine.delete(v)),
  parameter("KeyValueMachine.validate", "data", isBytes, ({ machine }, v: Any) => machine.validate(v)),
  parameter("KeyValueMachine.get", "key", isText, ({ machine }, v: Any) => machine.get(v)),
  optional("CowMap", "entr", isIterable, (_, v: Any) => new CowMap(v)),
  parameter(
    "CowMap: an entry",
    "entry",
    (v) => (typeof v === "object" || typeof v === "function") && v !== null,
    (_, v: Any) => new CowMap([v]),
  ),
  parameter("CowMap.update", "change", isFunction, (_, v: Any) => new CowMap().update("a", v)),
  parameter("CowMap.forEach", "callback", isFunction, (_, v: Any) => new CowMap([["a", 1]]).forEach(v)),
  parameter("CowView.changesSince", "earlier", isNothing, (_, v: Any) => new CowMap().snapshot().changesSince(v)),
  parameter("versioned", "codec", isNothing, (_, v: Any) => versioned(v, 1, () => 1)),
  parameter("versioned", "version", isInteger(1, 2 ** 32 - 1), (_, v: Any) => versioned(jsonCodec(), v, () => 1)),
  parameter("versioned", "migrate", isFunction, (_, v: Any) => versioned(jsonCodec(), 1, v)),
  ...members("versioned", (_, it) => versioned(jsonCodec(), 1, () => 1, it), { replaces: isArrayOf(isString) }),
  parameter("protobufCodec", "schema", isNothing, (_, v: Any) => protobufCodec(v)),
  parameter("hashString", "text", isString, (_, v: Any) => hashString(v)),
  parameter("hashLong", "value", (v) => typeof v === "bigint", (_, v: Any) => hashLong(v)),
  parameter("murmurHash", "hash", isInteger(-(2 ** 31), 2 ** 31 - 1), (_, v: Any) => murmurHash(v)),
  parameter("keyGroupOf", "parallelism", isInteger(1, 32768), (_, v: Any) => keyGroupOf(1, v)),
  parameter("defaultMaxParallelism", "parallelism", isInteger(1, 32768), (_, v: Any) => defaultMaxParallelism(v)),
  parameter("keyGroupRange", "parallelism", isInteger(1, 128), (_, v: Any) => keyGroupRange(128, v, 0)),
  parameter("keyGroupRange", "worker", isOne(0, 1, -0), (_, v: Any) => keyGroupRange(128, 2, v)),
  parameter("workerOf", "keyGroup", isInteger(0, 127), (_, v: Any) => workerOf(v, 128, 4)),
];

const PURGE: Readonly<Record<string, Right>> = {
  upToSnapshotIndex: isOne(true, false, "newest"),
  preserve: isNumber(0),
  gap: isNumber(0),
  safeIndexTimeout: isNumber(0),
  members: isFunction,
};
const EXECUTOR: Readonly<Record<string, Right>> = {
  triggers: isObject,
  retry: isObject,
  purge: isObject,
  saveTimeout: isNumber(0),
  stallTimeout: isNumber(0),
  whileSaving: isOne("wait", "cancel"),
  clock: isNothing,
  onEvent: isFunction,
};
const isAt: Right = (v) => isIndex(v) || isNumber(0)(v);
const PULL: Readonly<Record<string, Right>> = {
  signal: isSignal,
  index: isIndex,
  at: isAt,
  verifier: isNothing,
  concurrency: isInteger(1),
  timeout: isNumber(0),
  retryFor: isNumber(0),
  throttle: isNothing,
  onFurtherSource: isFunction,
  onSourceError: isFunction,
  check: isFunction,
};
const PUSH: Readonly<Record<string, Right>> = { signal: isSignal, throttle: isNothing, timeout: isNumber(0) };
const RETRY: Readonly<Record<string, Right>> = { retryFor: isNumber(0) };

const made = () => ({ machine: new KeyValueMachine(utf8Codec()), log: new MemoryLog(), storage: new MemoryStorage() });
const open = async (_: World, options: Any) => (await Replica.open(options)).close();
/** Options of options. */
const nested = (name: string, rights: Readonly<Record<string, Right>>) =>
  members("Replica.open", (world, it) => open(world, { ...made(), [name]: it }), rights, () => ({}), `options.${name}`);
const purgeState = { snapshotIndex: 9n, oldestSnapshot: 9n, firstIndex: 1n, lastIndex: 9n, now: 1000 };
/** A server that does not know of anything. */
const nowhere = { url: "http://nowhere", fetch: () => Promise.resolve(new Response(null, { status: 404 })) };

const replicas: Slot[] = [
  ...members("Replica.open", open, {
    ...{ "!machine": isNothing, "!log": isNothing, "!storage": isNothing, configuration: isNothing, term: isIndex },
    ...{ ...EXECUTOR, onNotification: isFunction, signal: isSignal },
  }, made),
  ...nested("triggers", {
    ...{ interval: isNumber(0), jitter: isNumber(0, 1), entries: isNumber(0), logBytes: isNumber(0) },
    ...{ logFactor: isNumber(0), onClose: isBoolean },
  }),
  ...nested("retry", { initial: isNumber(0), max: isNumber(0) }),
  ...nested("purge", PURGE),
  parameter("Replica.propose", "data", isBytes, ({ replica }, v: Any) => replica.propose(v)),
  parameter("Replica.reconfigure", "configuration", isNothing, ({ replica }, v: Any) => replica.reconfigure(v)),
  parameter(
    "Replica.reconfigure",
    "configuration.peers",
    isArrayOf(isText),
    ({ replica }, v: Any) => replica.reconfigure({ peers: v }),
  ),
  parameter("Replica.append", "entries", isEntryList, ({ replica }, v: Any) => replica.append(v)),
  parameter(
    "Replica.append",
    "data",
    isBytes,
    ({ replica }, v: Any) => replica.append([{ index: 2n, term: 1n, data: v }]),
  ),
  parameter("Replica.append", "index", isIndex, ({ replica }, v: Any) => replica.append([{ ...entry, index: v }])),
  parameter(
    "Replica.append",
    "term",
    isIndex,
    ({ replica }, v: Any) => replica.append([{ ...entry, index: 2n, term: v }]),
  ),
  parameter("Replica.entries", "from", isIndex, ({ replica }, v: Any) => replica.entries(v)),
  ...members("Replica.snapshot", ({ replica }, it) => replica.snapshot(it), {
    gap: isNumber(0),
    signal: isSignal,
    whileSaving: isOne("join", "refuse"),
    createdAt: isInteger(0),
  }),
  parameter(
    "Replica.install",
    "from",
    isEither(isReadable, isArrayOf(isNothing)),
    ({ replica }, v: Any) => replica.install(v),
  ),
  ...members("Replica.install", ({ replica }, it) => replica.install([nowhere], it), PULL).slice(0, -1),
  parameter("Replica.push", "target", (v) => v instanceof URL, ({ replica }, v: Any) => replica.push(v)),
  ...members("Replica.push", ({ replica }, it) => replica.push(nowhere, it), {
    ...{ ...PUSH, signer: isNothing, through: isFunction },
  }),
  parameter("Replica.notify", "notification", isNothing, ({ replica }, v: Any) => replica.notify(v)),
  parameter(
    "Replica.notify",
    "notification.term",
    isIndex,
    ({ replica }, v: Any) => replica.notify({ term: v, firstAvailable: { index: 1n, term: 1n } }),
  ),
  ...members("purgeIndex", (_, it) => purgeIndex(purgeState, it), PURGE),
  ...Object.keys(purgeState).map((name) =>
    parameter(
      "purgeIndex",
      `state.${name}`,
      name === "now" ? isNumber(0) : isIndex,
      (_, v: Any) => purgeIndex({ ...purgeState, [name]: v }, {}),
    )
  ),
  parameter("purgeIndex: a member", "member", isNothing, (_, v: Any) => purgeIndex(purgeState, { members: () => [v] })),
  parameter(
    "purgeIndex: a member",
    "lastSeen",
    (v) => typeof v === "number" && !Number.isNaN(v),
    (_, v: Any) => purgeIndex(purgeState, { members: () => [{ matchIndex: 1n, lastSeen: v }] }),
  ),
  parameter("systemClock.after", "ms", isNumber(0), (_, v: Any) => systemClock().after(v, () => {})()),
  parameter("systemClock.after", "callback", isFunction, (_, v: Any) => systemClock().after(9, v)()),
];

const isAddress: Right = (v) => v instanceof URL;
const transfers: Slot[] = [
  parameter("pull", "storage", isNothing, (_, v: Any) => pull(v, [nowhere])),
  parameter("pull", "source", isNothing, ({ storage }, v: Any) => pull(storage, v)),
  parameter("pull: a source", "source", isAddress, ({ storage }, v: Any) => pull(storage, [v])),
  parameter("pull: a source", "", isAddress, ({ storage }, v: Any) => pull(storage, [{ ...nowhere, url: v }])),
  parameter(
    "pull: a source",
    "fetch",
    isEither(isFunction, isOne(undefined)),
    ({ storage }, v: Any) => pull(storage, [{ ...nowhere, fetch: v }]),
  ),
  parameter(
    "pull: a source",
    "chunksOnly",
    isEither(isBoolean, isOne(undefined)),
    ({ storage }, v: Any) => pull(storage, [{ ...nowhere, chunksOnly: v }]),
  ),
  parameter(
    "pull: a source",
    "redirects",
    isEither(isArrayOf((v) => v instanceof URL), isOne(undefined)),
    ({ storage }, v: Any) => pull(storage, [{ ...nowhere, redirects: v }]),
  ),
  ...members("pull", ({ storage }, it) => pull(storage, [nowhere], it), { ...PULL, onManifest: isFunction }),
  parameter("push", "reader", isNothing, (_, v: Any) => push(v, nowhere)),
  parameter("push", "source", isAddress, ({ reader }, v: Any) => push(reader, v)),
  ...members("push", ({ reader }, it) => push(reader, nowhere, it), { ...PUSH, ...RETRY, verifier: isNothing }),
  parameter("pushLive", "meta", isNothing, (_, v: Any) => pushLive(v, () => Promise.resolve(), nowhere)),
  parameter("pushLive", "write", isFunction, (_, v: Any) => pushLive(META, v, nowhere)),
  ...members("pushLive", (_, it) => pushLive(META, () => Promise.resolve(), nowhere, it), {
    ...PUSH,
    signer: isNothing,
  }),
  parameter("notifyInstall", "notification", isNothing, (_, v: Any) => notifyInstall(nowhere, v)),
  ...members(
    "notifyInstall",
    (_, it) => notifyInstall(nowhere, { term: 1n, firstAvailable: { index: 1n, term: 1n } }, it),
    {
      ...{ signal: isSignal, timeout: isNumber(0), interval: isNumber(0), ...RETRY },
    },
  ),
  parameter("openRemote", "source", isAddress, (_, v: Any) => openRemote(v)),
  ...members("openRemote", (_, it) => openRemote(nowhere, it), {
    ...{ index: isIndex, signal: isSignal, verifier: isNothing, timeout: isNumber(0), ...RETRY },
  }),
  parameter(
    "observed",
    "name",
    (v) => typeof v === "string" && /^[a-z][a-z_]*$/.test(v),
    (_, v: Any) => observed(v, new Operation(() => Promise.resolve())),
  ),
  parameter("observed", "operation", (v) => v instanceof Operation, (_, v: Any) => observed("pull", v)),
  ...members("observed", (_, it) => observed("pull", new Operation(() => Promise.resolve()), it), telemetry),
  ...members("replicaTelemetry", (_, it) => replicaTelemetry(it), telemetry),
  parameter("page", "request", (v) => v instanceof Request, (_, v: Any) => page(v)),
  parameter("snapshotHandler", "storage", isNothing, (_, v: Any) => snapshotHandler(v)),
  ...members(
    "snapshotHandler",
    ({ storage }, limits) => snapshotHandler(storage, { limits }).close(),
    {
      ...{ bytes: isEither(isInteger(0), isOne(Infinity)), files: isInteger(1, 1_000_000), directories: isInteger(0) },
    },
    () => ({}),
    "options.limits",
  ),
  ...members("snapshotHandler", ({ storage }, it) => snapshotHandler(storage, it).close(), {
    authorize: isFunction,
    allowWrites: isBoolean,
    authorizeLeader: isFunction,
    isSource: isFunction,
    limits: isObject,
    target: isNothing,
    verifier: isNothing,
    leaseDuration: isNumber(0),
    throttle: isNothing,
    receiveThrottle: isNothing,
    maxTransfers: isInteger(1),
    stallTimeout: isNumber(0),
    client: isFunction,
    sources: isFunction,
    page: isFunction,
    cors: isEither(isOne("*"), isArrayOf(isString)),
    onError: isFunction,
  }),
];

/** The parameters of these. */
export const appSlots: readonly Slot[] = [...logs, ...states, ...replicas, ...transfers];
