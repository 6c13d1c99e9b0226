// The parameters of streams, snapshots, storages, logs and buckets.

import {
  archive,
  chunked,
  ChunkMap,
  completeManifest,
  contentDefined,
  decryptedReader,
  digested,
  ed25519Signer,
  ed25519Verifier,
  EncryptedStorage,
  encryptedWriter,
  MemoryStorage,
  Operation,
  progress,
  pump,
  SnapshotManifest,
  type SnapshotMeta,
  type SnapshotReader,
  type SnapshotStorage,
  type SnapshotWriter,
  streamedArchive,
  Throttle,
  throttled,
  unarchive,
  verified,
} from "../../mod.ts";
import { checkName, ChunkSet, SnapshotContent } from "../../src/extend.ts";
import { MemoryBucket, ObjectStorage, R2BindingBucket, S3Bucket } from "../../src/object.ts";
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
  isWritable,
  type Right,
} from "./values.ts";
import { KEY, type World } from "./world.ts";

// deno-lint-ignore no-explicit-any -- what is given is not of the type
type Any = any;

export const META: SnapshotMeta = { lastIncludedIndex: 7n, lastIncludedTerm: 1n, peers: ["a"] };
const META_RIGHTS: Readonly<Record<string, Right>> = {
  "!lastIncludedIndex": (value) => isIndex(value) && value !== 0n,
  "!lastIncludedTerm": isIndex,
  "!peers": isArrayOf(isText),
  oldPeers: isArrayOf(isText),
  createdAt: isInteger(0),
  writer: isText,
  parentIndex: isIndex,
  signature: isBytes,
  unknownFields: isNothing, // none of the values is a field of protobuf
};
const one = () => new ReadableStream({ start: (it) => (it.enqueue(new Uint8Array(4)), it.close()) });
const chunks = () => ChunkMap.of(4, { chunkSize: 4 }, new Uint8Array(32));

/** Writes a piece into a stage, and reads what comes out. */
async function through(stage: TransformStream, piece: unknown): Promise<void> {
  const writer = stage.writable.getWriter();
  writer.closed.catch(() => {});
  writer.write(piece).catch(() => {});
  writer.close().catch(() => {});
  for await (const _ of stage.readable);
}

const stages: Slot[] = [
  ["chunked", () => chunked(4)],
  ["contentDefined", () => contentDefined()],
  ["digested", () => digested()],
  ["progress", () => progress(() => {})],
  ["throttled", () => throttled(new Throttle(Infinity))],
].map(([of, stage]) =>
  parameter(of as string, "A ", isBytes, (_, value) => through((stage as () => TransformStream)(), value))
);

const streams: Slot[] = [
  ...stages,
  parameter(
    "verified",
    "A piece",
    isBytes,
    async (_, v) => through(verified({ name: "f", chunks: await chunks() }), v),
  ),
  parameter("chunked", "size", isInteger(1, 2 ** 30), (_, v: Any) => chunked(v)),
  ...members("contentDefined", (_, it) => contentDefined(it), { average: isOne(16384, 32768, 65536, 131072, 262144) }),
  ...members("digested", (_, it) => digested(it), { inFlight: isInteger(1) }),
  parameter("progress", "callback", isFunction, (_, v: Any) => progress(v)),
  parameter("throttled", "throttle", isNothing, (_, v: Any) => throttled(v)),
  parameter("Throttle", "bytesPerSecond", (v) => typeof v === "number" && v > 0, (_, v: Any) => new Throttle(v)),
  parameter("Throttle.bytesPerSecond", "bytesPerSecond", (v) => typeof v === "number" && v > 0, (_, v: Any) => {
    new Throttle(1).bytesPerSecond = v;
  }),
  parameter("Throttle.take", "bytes", isNumber(0, 2 ** 53 - 1), (_, v: Any) => new Throttle(Infinity).take(v)),
  optional("Throttle.take", "signal", isSignal, (_, v: Any) => new Throttle(Infinity).take(1, v)),
  parameter("pump", "source", isReadable, (_, v: Any) => pump(v, new WritableStream())),
  parameter("pump", "sink", isWritable, (_, v: Any) => pump(one(), v)),
  ...members("pump", (_, it) => pump(one(), new WritableStream(), it), { signal: isSignal }),
  ...members(
    "verified",
    (_, it) => verified(it),
    { "!name": isString, "!chunks": isNothing },
    () => ({ name: "f" }),
    "file",
  ),
  optional(
    "verified",
    "first",
    isOne(0, 1, -0),
    async (_, v: Any) => verified({ name: "f", chunks: await chunks() }, v),
  ),
  optional(
    "verified",
    "end",
    isOne(0, 1, -0),
    async (_, v: Any) => verified({ name: "f", chunks: await chunks() }, 0, v),
  ),
  parameter("ChunkMap.of", "", isNothing, (_, v: Any) => ChunkMap.of(v, { chunkSize: 3 }, new Uint8Array(64))),
  parameter("ChunkMap.of", "chunking", isNothing, (_, v: Any) => ChunkMap.of(4, v, new Uint8Array(32))),
  parameter(
    "ChunkMap.of",
    "",
    isInteger(4),
    (_, v: Any) => ChunkMap.of(4, { chunkSize: v }, new Uint8Array(32)),
  ),
  parameter("ChunkMap.of", "digests", isBytes, (_, v: Any) => ChunkMap.of(4, { chunkSize: 4 }, v)),
  ...(["offset", "length", "digest"] as const).map((name) =>
    parameter(`ChunkMap.${name}`, "chunk", isOne(0, 1, -0), async (_, v: Any) => (await chunks())[name](v))
  ),
  parameter(
    "ChunkMap.at",
    "position",
    isEither(isInteger(0), isOne(Infinity)),
    async (_, v: Any) => (await chunks()).at(v),
  ),
  parameter("ChunkSet", "count", isInteger(0, 2 ** 24), (_, v: Any) => new ChunkSet(v)),
  optional("ChunkSet", "bytes", isBytes, (_, v: Any) => new ChunkSet(8, v)),
  parameter("ChunkSet.has", "chunk", isInteger(0, 7), (_, v: Any) => new ChunkSet(8).has(v)),
  parameter("ChunkSet.add", "chunk", isInteger(0, 7), (_, v: Any) => new ChunkSet(8).add(v)),
  parameter("Operation", "work", isFunction, (_, v: Any) => new Operation(v)),
];

const CHUNKS = isNothing;
const FILE_RIGHTS: Readonly<Record<string, Right>> = {
  userMeta: isBytes,
  source: isOne("local", "reference"),
  checksum: isText,
  unknownFields: isNothing,
  size: isInteger(0),
  chunkSize: isEither(isOne("pieces"), isInteger(65536, 4194304)),
  keyGroups: isFunction,
  encryption: isFunction,
};

/** Does something with a writer, which is given up. */
async function onWriter(storage: SnapshotStorage, work: (writer: SnapshotWriter) => unknown): Promise<void> {
  const writer = await storage.create();
  try {
    await work(writer);
  } finally {
    await writer.abort();
  }
}

async function written(sink: WritableStream, piece: unknown): Promise<void> {
  const writer = sink.getWriter();
  writer.closed.catch(() => {});
  await writer.write(piece);
  await writer.close();
}

async function read(stream: ReadableStream): Promise<void> {
  for await (const _ of stream);
}

/** An archive of what is written. */
const archived = (work: (writer: Any) => unknown) =>
  read(streamedArchive(META, async (writer) => void await work(writer)));

const writers: readonly (readonly [string, (world: World, work: (writer: Any) => unknown) => Promise<void>])[] = [
  ["MemoryStorage", ({ storage }, work) => onWriter(storage, work)],
  ["EncryptedStorage", ({ encrypted }, work) => onWriter(encrypted, work)],
  ["ObjectStorage", ({ objects }, work) => onWriter(objects, work)],
  ["streamedArchive", (_, work) => archived(work)],
  ["encryptedWriter", (_, work) => archived((writer) => work(encryptedWriter(writer, KEY)))],
];

const writing: Slot[] = writers.flatMap(([of, open]) => [
  parameter(`${of}: writer.file`, "written", isBytes, (world, v) => open(world, (it) => written(it.file("f"), v))),
  parameter(
    `${of}: writer.file, pieces`,
    "written",
    isBytes,
    (world, v) => open(world, (it) => written(it.file("f", { chunkSize: "pieces" }), v)),
  ),
  parameter(`${of}: writer.file, later`, "written", isBytes, (world, v) =>
    open(world, async (it) => {
      const writer = it.file("f").getWriter();
      writer.closed.catch(() => {});
      await writer.write(new Uint8Array(300_000));
      await writer.write(v);
    })),
  parameter(
    `${of}: writer.file`,
    "",
    (v) => isText(v) && (v as string).length < 1000,
    (world, v) => open(world, (it) => it.file(v).close()),
  ),
  ...members(`${of}: writer.file`, (world, it) => open(world, (writer) => writer.file("f", it).close()), {
    ...FILE_RIGHTS,
    ...(of.startsWith("encrypt") || of.startsWith("Encrypt") ? { encryption: () => true } : {}),
  }),
  parameter(`${of}: writer.info`, "", isString, (world, v) => open(world, (it) => it.info(v))),
]);

const committing: Slot[] = writers.slice(0, 3).flatMap(([of, open]) => [
  ...members(
    `${of}: writer.commit`,
    (world, it) => open(world, (writer) => writer.commit(it)),
    META_RIGHTS,
    () => META,
    "meta",
  )
    .map((slot) => ({ ...slot, right: slot.name === "meta" ? isObject : slot.right })),
  ...members(`${of}: writer.commit`, (world, it) => open(world, (writer) => writer.commit(META, it)), {
    digest: isBytes,
    check: isFunction,
  }),
  parameter(
    `${of}: writer.reuse`,
    "files",
    isArrayOf(isNothing),
    (world, v) => open(world, (writer) => writer.reuse(v)),
  ),
]);

const storages: readonly (readonly [string, (world: World) => SnapshotStorage])[] = [
  ["MemoryStorage", ({ storage }) => storage],
  ["EncryptedStorage", ({ encrypted }) => encrypted],
  ["ObjectStorage", ({ objects }) => objects],
];

async function onReader(storage: SnapshotStorage, work: (reader: SnapshotReader) => unknown): Promise<void> {
  const reader = await storage.open();
  try {
    const given = await work(reader);
    if (given instanceof ReadableStream) await read(given);
    if (given instanceof Operation) await given.result;
  } finally {
    await reader.close();
  }
}

const storing: Slot[] = storages.flatMap(([of, open]) => [
  ...members(`${of}.create`, async (world, it) => (await open(world).create(it)).abort(), {
    ...{ onBytes: isFunction, onReused: isFunction, raw: isBoolean },
  }),
  optional(
    `${of}.open`,
    "index",
    isEither(isIndex, isObject),
    async (world, v: Any) => (await open(world).open(v)).close(),
  ),
  ...members(
    `${of}.open`,
    async (world, it) => (await open(world).open(it)).close(),
    {
      at: (v) => isIndex(v) || isNumber(0)(v),
    },
    () => ({}),
    "index",
  ).slice(0, 1),
  parameter(`${of}.install`, "manifest", isNothing, (world, v: Any) => open(world).install(v)),
  parameter(`${of}.onQuarantine`, "listener", isFunction, (world, v: Any) => open(world).onQuarantine(v)()),
  parameter(`${of}.quarantine`, "index", isIndex, (world, v: Any) => open(world).quarantine(v, "no reason")),
  parameter(`${of}.quarantine`, "reason", isString, (world, v: Any) => open(world).quarantine(99n, v)),
  parameter(`${of}: reader.info`, "", isString, (world, v: Any) => onReader(open(world), (it) => it.info(v))),
  parameter(`${of}: reader.size`, "", isString, (world, v: Any) => onReader(open(world), (it) => it.size(v))),
  parameter(`${of}: reader.file`, "", isString, (world, v: Any) => onReader(open(world), (it) => it.file(v))),
  ...members(`${of}: reader.file`, (world, v) => onReader(open(world), (it) => it.file("state", v)), {
    start: isEither(isInteger(0), isOne(Infinity)),
    end: isEither(isInteger(0), isOne(Infinity)),
    raw: isBoolean,
  }),
  ...members(`${of}: reader.verify`, (world, v) => onReader(open(world), (it) => it.verify(v)), { signal: isSignal }),
]);

/** Does something with an install, which leaves nothing. */
async function onInstall(world: World, work: (install: Any) => unknown): Promise<void> {
  const storage = new MemoryStorage();
  const install = await storage.install(world.manifest);
  try {
    const given = await work(install);
    if (given instanceof ReadableStream) await read(given);
  } finally {
    await install.close();
    await storage.close();
  }
}

const installing: Slot[] = [
  ...members("install.prepare", (world, v) => onInstall(world, (it) => it.prepare(v)), {
    ...{ signal: isSignal, onReused: isFunction },
  }),
  parameter("install.write", "chunk", isInteger(0), (world, v) => {
    return onInstall(world, (it) => it.write(v, new Uint8Array(1)));
  }),
  parameter("install.write", "bytes", isBytes, (world, v) => onInstall(world, (it) => it.write(0, v))),
  ...members("install.commit", (world, v) => onInstall(world, (it) => it.commit(v)), { check: isFunction })
    .map(({ without: _, ...slot }) => slot), // chunks are missing
  parameter("install.has", "chunk", isInteger(0), (world, v) => onInstall(world, (it) => it.has(v))),
  parameter("install.expect", "chunk", isInteger(0), (world, v) => onInstall(world, (it) => it.expect(v, true))),
  parameter("install.expect", "isExpected", isBoolean, (world, v) => onInstall(world, (it) => it.expect(0, v))),
  parameter("install.file", "", isString, (world, v) => onInstall(world, (it) => it.file(v))),
];

const options = {
  retain: isEither(isInteger(1), isFunction),
  signer: isNothing,
  verifier: isNothing,
  floor: isIndex,
  onWarning: isFunction,
};
const constructing: Slot[] = [
  ...members("MemoryStorage", (_, it) => new MemoryStorage(it).close(), options),
  parameter("EncryptedStorage", "storage", isNothing, (_, v: Any) => new EncryptedStorage(v, [KEY])),
  parameter("EncryptedStorage", "keys", isNothing, ({ storage }, v: Any) => new EncryptedStorage(storage, v)),
  parameter("EncryptedStorage", "key", isNothing, ({ storage }, v: Any) => new EncryptedStorage(storage, [v])),
  parameter(
    "EncryptedStorage",
    "id",
    (v) => isText(v) && v !== "" && (v as string).length <= 256,
    ({ storage }, v: Any) => new EncryptedStorage(storage, [{ ...KEY, id: v }]),
  ),
  parameter(
    "EncryptedStorage",
    "secret",
    (v) => isBytes(v) && (v as Uint8Array).length >= 32,
    ({ storage }, v: Any) => new EncryptedStorage(storage, [{ ...KEY, secret: v }]),
  ),
  parameter("encryptedWriter", "writer", isNothing, (_, v: Any) => encryptedWriter(v, KEY)),
  parameter("decryptedReader", "reader", isNothing, (_, v: Any) => decryptedReader(v, [KEY])),
  parameter("decryptedReader", "keys", isNothing, ({ reader }, v: Any) => decryptedReader(reader, v)),
  parameter("ObjectStorage.open", "bucket", isNothing, (_, v: Any) => ObjectStorage.open(v)),
  ...members("ObjectStorage.open", async (_, it) => (await ObjectStorage.open(new MemoryBucket(), it)).close(), {
    ...options,
    onFailing: isFunction,
    prefix: (v) => isText(v) && (v as string).length <= 1000,
    packSize: isInteger(4194304, 2 ** 30),
    grace: isNumber(0),
    keepInstalls: isNumber(0),
  }),
  ...members("ObjectStorage.collect", ({ objects }, it) => objects.collect(it), { signal: isSignal }),
];

const formats: Slot[] = [
  parameter("checkName", "", (v) => isText(v) && (v as string).length < 1000, (_, v: Any) => checkName(v)),
  parameter("archive", "reader", isNothing, (_, v: Any) => archive(v)),
  ...members("archive", ({ reader }, it) => read(archive(reader, it)), { held: isNothing }),
  parameter("completeManifest", "reader", isNothing, (_, v: Any) => completeManifest(v)),
  parameter("unarchive", "stream", isReadable, ({ storage }, v: Any) => unarchive(v, storage)),
  parameter(
    "unarchive: a piece",
    "A piece",
    isBytes,
    ({ storage }, v) => unarchive(new ReadableStream({ start: (it) => (it.enqueue(v as Any), it.close()) }), storage),
  ),
  parameter("unarchive", "storage", isNothing, ({ reader }, v: Any) => unarchive(archive(reader), v)),
  ...members("unarchive", ({ reader, encrypted }, it) => unarchive(archive(reader), encrypted, it), {
    ...{ signal: isSignal, index: isIndex, verifier: isNothing, check: isFunction },
  }),
  ...members(
    "streamedArchive",
    (_, it) => read(streamedArchive(it, () => Promise.resolve())),
    META_RIGHTS,
    () => META,
    "meta",
  )
    .map((slot) => ({ ...slot, right: slot.name === "meta" ? isObject : slot.right })),
  parameter("streamedArchive", "write", isFunction, (_, v: Any) => streamedArchive(META, v)),
  ...members("streamedArchive", (_, it) => read(streamedArchive(META, () => Promise.resolve(), it)), {
    ...{ signal: isSignal, signer: isNothing },
  }),
  ...members("SnapshotManifest.of", (_, it) => SnapshotManifest.of(it, []), META_RIGHTS, () => META, "meta")
    .map((slot) => ({ ...slot, right: slot.name === "meta" ? isObject : slot.right })),
  parameter("SnapshotManifest.of", "files", isArrayOf(isNothing), (_, v: Any) => SnapshotManifest.of(META, v)),
  ...members(
    "SnapshotManifest.of",
    (_, it) => SnapshotManifest.of(META, [it]),
    {
      ...{ userMeta: isBytes, source: isOne("local", "reference"), checksum: isText },
      ...{ unknownFields: isNothing, chunks: CHUNKS, keyGroups: isNothing, encryption: isNothing },
    },
    () => ({ name: "f" }),
    "files[0]",
  ).slice(0, 5),
  parameter("SnapshotManifest.decode", "bytes", isBytes, (_, v: Any) => SnapshotManifest.decode(v)),
  parameter("SnapshotManifest.decodeFramed", "bytes", isBytes, (_, v: Any) => SnapshotManifest.decodeFramed(v)),
  parameter("SnapshotManifest.file", "", isString, ({ manifest }, v: Any) => manifest.file(v)),
  parameter("SnapshotContent", "files", isArrayOf(isObject), (_, v: Any) => new SnapshotContent(v)),
  parameter(
    "SnapshotContent.offset",
    "chunk",
    isEither(isInteger(0), isOne(Infinity)),
    ({ manifest }, v: Any) => manifest.content.offset(v),
  ),
  parameter("SnapshotContent.locate", "chunk", isOne(0, -0), ({ manifest }, v: Any) => manifest.content.locate(v)),
  parameter(
    "SnapshotContent.at",
    "position",
    isEither(isInteger(0), isOne(Infinity)),
    ({ manifest }, v: Any) => manifest.content.at(v),
  ),
  parameter("SnapshotContent.length", "chunk", isOne(0, -0), ({ manifest }, v: Any) => manifest.content.length(v)),
  parameter("SnapshotContent.digest", "chunk", isOne(0, -0), ({ manifest }, v: Any) => manifest.content.digest(v)),
  parameter("SnapshotContent.firstChunk", "", isString, ({ manifest }, v: Any) => manifest.content.firstChunk(v)),
  parameter("SnapshotContent.start", "", isString, ({ manifest }, v: Any) => manifest.content.start(v)),
  parameter(
    "SnapshotContent.parts",
    "start",
    isInteger(0),
    ({ manifest }, v: Any) => [...manifest.content.parts(v, 9)],
  ),
  parameter(
    "SnapshotContent.parts",
    "end",
    isEither(isInteger(0), isOne(Infinity)),
    ({ manifest }, v: Any) => [...manifest.content.parts(0, v)],
  ),
  parameter("ed25519Signer", "keys", isNothing, (_, v: Any) => ed25519Signer(v)),
  parameter(
    "ed25519Signer",
    "keys.privateKey",
    isNothing,
    (_, v: Any) => ed25519Signer({ privateKey: v, publicKey: v }),
  ),
  parameter("ed25519Verifier", "keys", isArrayOf(isNothing), (_, v: Any) => ed25519Verifier(v)),
  parameter(
    "ed25519Verifier",
    "publicKey",
    (v) => isBytes(v) && (v as Uint8Array).length === 32,
    (_, v: Any) => ed25519Verifier([{ publicKey: v }]),
  ),
  parameter(
    "ed25519Verifier",
    "until",
    isEither(isNumber(0), isOne(undefined)),
    (_, v: Any) => ed25519Verifier([{ publicKey: new Uint8Array(32), until: v }]),
  ),
];

const s3 = { endpoint: "http://localhost", bucket: "bucket", credentials: { accessKeyId: "a", secretAccessKey: "b" } };
const r2 = () =>
  new R2BindingBucket(
    Object.fromEntries(["get", "put", "delete", "list"].map((it) => [it, () => Promise.reject()])) as Any,
  );
const isKey: Right = (v) => isText(v) && v !== "" && (v as string).length <= 1000;
const buckets: Slot[] = ([
  ["MemoryBucket", ({ bucket }) => bucket],
  ["S3Bucket", () => new S3Bucket(s3)],
  ["R2BindingBucket", r2],
] as readonly (readonly [string, (world: World) => Any])[]).flatMap(([of, open]) => [
  parameter(`${of}.get`, "", isKey, (world, v) => open(world).get(v)),
  ...members(`${of}.get`, (world, v) => open(world).get("a", v), { range: isObject, signal: isSignal })
    .map((it) => ({ ...it, ...(of !== "MemoryBucket" && { without: undefined as Any }) })),
  parameter(
    `${of}.get`,
    "start",
    isEither(isInteger(0), isOne(undefined)),
    (world, v) => open(world).get("a", { range: { start: v } }),
  ),
  parameter(`${of}.put`, "", isKey, (world, v) => open(world).put(v, new Uint8Array(1), { ifMatch: "no" })),
  parameter(
    `${of}.put`,
    "body",
    isEither(isBytes, isReadable),
    (world, v) => open(world).put("no", v, { ifMatch: "no" }),
  ),
  parameter(
    `${of}.put: a piece`,
    "piece",
    isBytes,
    (world, v) =>
      open(world).put("no", new ReadableStream({ start: (it) => (it.enqueue(v as Any), it.close()) }), {
        ifMatch: "no",
      }),
  ),
  parameter(
    `${of}.put`,
    "options.ifMatch",
    isEither(isString, isOne(undefined)),
    (world, v) => open(world).put("no", new Uint8Array(1), { ifMatch: v }),
  ),
  parameter(
    `${of}.put`,
    "options.ifNoneMatch",
    isOne("*", undefined),
    (world, v) => open(world).put("no", new Uint8Array(1), { ifNoneMatch: v }),
  ),
  parameter(
    `${of}.put`,
    "options.signal",
    isEither(isSignal, isOne(undefined)),
    (world, v) => open(world).put("no", new Uint8Array(1), { ifMatch: "no", signal: v }),
  ),
  parameter(`${of}.delete`, "keys", isArrayOf(isKey), (world, v) => open(world).delete(v)),
  ...members(`${of}.list`, (world, v) => open(world).list(v), {
    ...{ prefix: isString, cursor: isString, limit: isInteger(1, 1000), signal: isSignal },
  }).map((it) => ({ ...it, ...(of !== "MemoryBucket" && { without: undefined as Any }) })),
]);
const addresses: Slot[] = [
  ...members("S3Bucket", (_, it) => new S3Bucket(it), {
    ...{ "!endpoint": isString, "!bucket": isString, region: isString, style: isOne("path", "virtual-host") },
    ...{ partSize: isInteger(5 * 1024 * 1024, 2 ** 32 - 1) },
  }, () => s3).map((slot) => slot.name === "options" ? { ...slot, right: () => true } : slot)
    .filter(({ name }) => name !== "options.credentials" && name !== "options.client"), // one of them must be there
  ...["credentials", "client"].map((name) =>
    parameter(
      "S3Bucket",
      name,
      isOne(undefined),
      (_, v: Any) => new S3Bucket({ ...s3, credentials: undefined as Any, [name]: v }),
    )
  ),
  parameter("R2BindingBucket", "bucket", isNothing, (_, v: Any) => new R2BindingBucket(v)),
];

/** The parameters of these. */
export const coreSlots: readonly Slot[] = [
  ...[...streams, ...writing, ...committing, ...storing, ...installing],
  ...[...constructing, ...formats, ...buckets, ...addresses],
];
