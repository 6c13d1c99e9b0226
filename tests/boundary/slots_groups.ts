// The parameters of groups, seals, quarantine and executors.

import { MediumStorage } from "../../src/storage/medium_storage.ts";
import { FsmCaller, SnapshotExecutor } from "../../src/extend.ts";
import {
  EncryptedStorage,
  encryptedWriter,
  MemoryLog,
  MemoryStorage,
  Replica,
  SnapshotManifest,
  type SnapshotStorage,
  streamedArchive,
} from "../../mod.ts";
import { MemoryBucket, ObjectStorage } from "../../src/object.ts";
import { FaultyMedium } from "../support/faulty_medium.ts";
import { META } from "./slots_core.ts";
import { members, parameter, type Slot } from "./slot.ts";
import {
  isArrayOf,
  isBytes,
  isFunction,
  isGroup,
  isIndex,
  isInteger,
  isNothing,
  isNumber,
  isObject,
  isOne,
  isSignal,
  isText,
} from "./values.ts";
import { KEY, type World } from "./world.ts";

// deno-lint-ignore no-explicit-any -- what is given is not of the type
type Any = any;

const fresh: readonly (readonly [string, () => SnapshotStorage | Promise<SnapshotStorage>])[] = [
  ["MemoryStorage", () => new MemoryStorage()],
  ["MediumStorage", () => new MediumStorage(new FaultyMedium(), [])],
  ["EncryptedStorage", () => new EncryptedStorage(new MemoryStorage(), [KEY])],
  ["ObjectStorage", () => ObjectStorage.open(new MemoryBucket())],
];

async function onFresh(
  open: () => SnapshotStorage | Promise<SnapshotStorage>,
  work: (storage: SnapshotStorage) => unknown,
): Promise<void> {
  const storage = await open();
  try {
    await work(storage);
  } finally {
    await storage.close();
  }
}

const storages: Slot[] = fresh.flatMap(([of, open]) => [
  parameter(`${of}.bindGroup`, "group", isGroup, (_, v: Any) => onFresh(open, (it) => it.bindGroup(v))),
  parameter(`${of}.restore`, "index", isIndex, (_, v: Any) => onFresh(open, (it) => it.restore(v))),
  ...members(`${of}.restore`, (_, it) => onFresh(open, (storage) => storage.restore(7n, it)), { signal: isSignal })
    .map(({ without: _, ...slot }) => ({ ...slot, right: (v: unknown) => v !== null && slot.right(v) })),
  parameter(
    `${of}: writer.sealWith`,
    "seal",
    isFunction,
    (_, v: Any) => onFresh(open, async (it) => (await it.create()).sealWith(v)),
  ),
  parameter(
    `${of}: writer.commit`,
    "meta.group",
    (v) => v === undefined || isGroup(v),
    (_, v: Any) => onFresh(open, async (it) => (await it.create()).commit({ ...META, group: v })),
  ),
  parameter(
    `${of}: writer.commit`,
    "meta.seal",
    isOne(undefined),
    (_, v: Any) => onFresh(open, async (it) => (await it.create()).commit({ ...META, seal: v })),
  ),
]);

const grouped: Slot[] = [
  parameter("MemoryLog.bindGroup", "group", isGroup, (_, v: Any) => new MemoryLog().bindGroup(v)),
  ...members("MemoryStorage", (_, it) => new MemoryStorage(it).close(), { group: isGroup }),
  parameter("MediumStorage", "medium", isNothing, (_, v: Any) => new MediumStorage(v, [])),
  parameter("MediumStorage", "found", isArrayOf(isNothing), (_, v: Any) => new MediumStorage(new FaultyMedium(), v)),
  parameter(
    "MediumStorage",
    "unreadable",
    (v) => v === undefined || isArrayOf(isNothing)(v),
    (_, v: Any) => new MediumStorage(new FaultyMedium(), [], {}, v),
  ),
  ...members("MediumStorage", (_, it) => new MediumStorage(new FaultyMedium(), [], it).close(), { group: isGroup }),
  ...members("ObjectStorage.open", async (_, it) => (await ObjectStorage.open(new MemoryBucket(), it)).close(), {
    group: isGroup,
  }),
  parameter(
    "SnapshotManifest.of",
    "meta.group",
    (v) => v === undefined || isGroup(v),
    (_, v: Any) => SnapshotManifest.of({ ...META, group: v }, []),
  ),
  parameter(
    "streamedArchive",
    "meta.group",
    (v) => v === undefined || isGroup(v),
    (_, v: Any) => streamedArchive({ ...META, group: v }, () => Promise.resolve()),
  ),
  parameter(
    "streamedArchive: writer.sealWith",
    "seal",
    isFunction,
    (_, v: Any) => new Response(streamedArchive(META, (it) => Promise.resolve(it.sealWith(v))) as BodyInit).bytes(),
  ),
  parameter(
    "encryptedWriter: writer.sealWith",
    "seal",
    isFunction,
    (_, v: Any) =>
      new Response(
        streamedArchive(META, (it) => Promise.resolve(encryptedWriter(it, KEY).sealWith(v))) as BodyInit,
      ).bytes(),
  ),
  parameter(
    "encryptedWriter",
    "id",
    (v) => isText(v) && v !== "" && (v as string).length <= 256,
    ({ storage }, v: Any) => withWriter(storage, (it) => encryptedWriter(it, { ...KEY, id: v })),
  ),
  parameter(
    "encryptedWriter",
    "secret",
    (v) => isBytes(v) && (v as Uint8Array).length >= 32,
    ({ storage }, v: Any) => withWriter(storage, (it) => encryptedWriter(it, { ...KEY, secret: v })),
  ),
  ...members("Replica.open", async (_, it) => (await Replica.open(it)).close(), { group: isGroup }, () => ({
    machine: machine(),
    log: new MemoryLog(),
    storage: new MemoryStorage(),
  })),
];

async function withWriter(storage: SnapshotStorage, work: (writer: Any) => unknown): Promise<void> {
  const writer = await storage.create();
  try {
    await work(writer);
  } finally {
    await writer.abort();
  }
}

const machine = () => ({ apply: () => {}, save: () => undefined, load: () => Promise.resolve() });

const context = () => ({ fsm: new FsmCaller(machine()), storage: new MemoryStorage(), log: new MemoryLog() });

async function onExecutor(work: (executor: SnapshotExecutor) => unknown): Promise<void> {
  const executor = new SnapshotExecutor(context() as Any);
  try {
    const given = await work(executor) as { readonly result?: Promise<unknown> } | undefined;
    await given?.result;
  } finally {
    await executor.close();
  }
}

const receiver = () => ({ index: 1n, receive: () => Promise.reject(new Error("nothing comes")) });
const executors: Slot[] = [
  ...members(
    "SnapshotExecutor",
    (_, it) => new SnapshotExecutor(it).close(),
    { "!fsm": isNothing, "!storage": isNothing, "!log": isNothing },
    context,
    "context",
  ).map((slot) => slot.name === "context" ? { ...slot, right: isNothing } : slot),
  parameter(
    "SnapshotExecutor",
    "options",
    (v) => v === undefined || isObject(v),
    (_, v: Any) => new SnapshotExecutor(context() as Any, v).close(),
  ),
  parameter("FsmCaller", "machine", isNothing, (_, v: Any) => new FsmCaller(v)),
  ...members("SnapshotExecutor.snapshot", (_, it) => onExecutor((executor) => executor.snapshot(it)), {
    ...{ gap: isNumber(0), signal: isSignal, whileSaving: isOne("join", "refuse"), createdAt: isInteger(0) },
  }),
  parameter("SnapshotExecutor.install", "receiver", isNothing, (_, v: Any) => onExecutor((it) => it.install(v))),
  parameter(
    "SnapshotExecutor.install",
    "signal",
    (v) => v === undefined || isSignal(v),
    (_, v: Any) => onExecutor((it) => it.install(receiver() as Any, v)),
  ),
  parameter("SnapshotExecutor.live", "use", isFunction, (_, v: Any) => onExecutor((it) => it.live(undefined, v))),
  parameter(
    "SnapshotExecutor.live",
    "signal",
    (v) => v === undefined || isSignal(v),
    (_, v: Any) => onExecutor((it) => it.live(v, () => Promise.resolve() as Any)),
  ),
];

const installs: Slot[] = [
  ...members("install.file", ({ manifest }: World, v) =>
    withInstall(manifest, async (it) => {
      for await (const _ of it.file("state", v));
    }), { start: isPosition, end: isPosition })
    .map(({ without: _, ...slot }) => slot), // chunks are missing
];

function isPosition(value: unknown): boolean {
  return value === Infinity || isInteger(0)(value);
}

async function withInstall(manifest: SnapshotManifest, work: (install: Any) => unknown): Promise<void> {
  const own = new MemoryStorage();
  const install = await own.install(manifest);
  try {
    await work(install);
  } finally {
    await install.close();
    await own.close();
  }
}

/** The parameters of these. */
export const groupSlots: readonly Slot[] = [...storages, ...grouped, ...executors, ...installs];
