// What a directory storage does, each to be crashed in at every operation.

import { hasCode, SnapshotError, type SnapshotManifest, type SnapshotReader, type SnapshotStorage } from "../../mod.ts";
import { extract } from "../../src/storage/directory/mod.ts";
import { DirectoryStorage, type DirectoryStorageOptions } from "../../src/storage/directory/storage.ts";
import type { Disk as DiskVerbs } from "../../src/fs/mod.ts";
import { assert, bytesOf } from "../support/harness.ts";
import { contentOf, flip, receive, recovers, ROOT, save, twice } from "./promise.ts";
import { SimulatedDisk } from "./simulated_disk.ts";

/** Something that is done, what was promised meanwhile (`M`), and how that is seen to be kept. */
export interface Flow<M> {
  readonly name: string;
  /** What was there before: all of it durable. */
  prepare(disk: SimulatedDisk<M>): Promise<void>;
  /** Does it, and marks on the disk what is promised. */
  run(disk: SimulatedDisk<M>): Promise<void>;
  /** Opens what a crash left; fails unless all is kept that was promised. Marks what it promises itself. */
  recover(disk: SimulatedDisk<M>, promised: readonly M[]): Promise<void>;
}

type Disk = SimulatedDisk<bigint>;

async function withStorage(
  disk: Disk,
  work: (storage: DirectoryStorage) => Promise<void>,
  options: DirectoryStorageOptions = {},
): Promise<void> {
  const storage = await twice(() => DirectoryStorage.open(ROOT, { disk, ...options }));
  try {
    await work(storage);
  } finally {
    await storage.close().catch((error) => assert.instanceOf(error, SnapshotError)); // and closed it is, all the same
  }
}

/** A disk as it is where a file has one name. */
function withoutLinks(disk: Disk): DiskVerbs {
  const link = () => Promise.resolve(false);
  return new Proxy(disk, {
    get: (disk, name) => name === "link" ? link : (Reflect.get(disk, name) as Disk["stat"] | undefined)?.bind(disk),
  });
}

/** Acknowledged once it has resolved. */
async function acknowledge(disk: Disk, work: () => Promise<unknown>, index: bigint): Promise<void> {
  await twice(work);
  disk.mark(index);
}

const two = (disk: Disk) =>
  withStorage(disk, async (storage) => {
    await save(storage, 1n);
    await save(storage, 2n);
  });

/** The manifest of a snapshot as another node has it. */
async function manifestOf(index: bigint): Promise<SnapshotManifest> {
  const disk: Disk = new SimulatedDisk();
  const storage = await DirectoryStorage.open(ROOT, { disk });
  await save(storage, index);
  const { manifest } = await storage.open();
  await storage.close();
  return manifest;
}

async function findDamage(reader: SnapshotReader): Promise<void> {
  try {
    await bytesOf(reader.file("state"));
  } catch (error) {
    if (hasCode(error, "CORRUPT")) return;
    throw error;
  }
  throw new Error("What is damaged was read");
}

/** Files of a directory that nobody put away. */
async function put(disk: Disk, directory: string, ...names: string[]): Promise<void> {
  await disk.makeDirectory(`${ROOT}/${directory}`);
  for (const name of names) {
    const file = await disk.open(`${ROOT}/${directory}/${name}`, "create");
    await file.write(contentOf(1n).state!, 0);
    await file.close();
  }
}

const saveNext = async (storage: SnapshotStorage, newest: bigint) => {
  await save(storage, newest + 1n);
  return newest + 1n;
};

/** A flow of which all but what is done is the same for all. */
function flow(
  name: string,
  { asked, before = [2n, 1n], damaged, prepare = two, run, goOn = saveNext, options }: {
    /** What may be there though it was not acknowledged. */
    readonly asked: readonly bigint[];
    readonly before?: readonly bigint[];
    readonly damaged?: bigint;
    readonly prepare?: (disk: Disk) => Promise<void>;
    readonly run: (disk: Disk) => Promise<void>;
    /** What is done after a crash; tells the index of what it acknowledged. */
    readonly goOn?: (storage: SnapshotStorage, newest: bigint) => Promise<bigint>;
    /** With which it is opened after a crash. */
    readonly options?: DirectoryStorageOptions;
  },
): Flow<bigint> {
  return {
    name,
    prepare,
    run,
    recover: (disk, promised) =>
      recovers(
        disk,
        {
          acknowledged: [...before, ...promised],
          asked: [...asked, ...[...asked, ...before, ...promised].map((index) => index + 1n)],
          ...(damaged !== undefined && { damaged }),
        },
        goOn,
        options,
      ),
  };
}

/** Goes on with the install of a snapshot, or saves the next if that one is here. */
const receiveOrSave = (manifest: SnapshotManifest) => async (storage: SnapshotStorage, newest: bigint) => {
  if (newest >= manifest.index) return await saveNext(storage, newest);
  await receive(storage, manifest);
  return manifest.index;
};

const OUT = "/data/out/of/it";

/** Fails unless a directory has what is in a snapshot, and nothing else. */
async function isExtracted(disk: Disk, directory: string, index: bigint): Promise<void> {
  const found: string[] = [];
  for (const [below, names] of [["", await disk.list(directory)], ["a/", await disk.list(`${directory}/a`)]] as const) {
    for (const { name, kind } of names) if (kind === "file") found.push(below + name);
  }
  const content = contentOf(index);
  assert.sameMembers(found, Object.keys(content));
  for (const [name, bytes] of Object.entries(content)) {
    const file = await disk.open(`${directory}/${name}`, "read");
    const read = new Uint8Array(bytes.length + 1);
    assert.equal(await file.read(read, 0), bytes.length, name);
    await file.close();
    assert.deepEqual(read.subarray(0, bytes.length), bytes, name);
  }
}

async function extractTo(disk: Disk, storage: SnapshotStorage, index: bigint): Promise<void> {
  const reader = await storage.open(index);
  try {
    await extract(reader, OUT, { disk });
  } finally {
    await reader.close();
  }
}

/** An extraction: its directory is not there, or has all. */
const extraction: Flow<bigint> = {
  name: "an extraction to a directory",
  prepare: two,
  run: (disk) => withStorage(disk, (storage) => acknowledge(disk, () => extractTo(disk, storage, 2n), 2n)),
  async recover(disk, promised) {
    const isThere = await disk.stat(OUT) !== undefined;
    if (promised.length > 0) assert.isTrue(isThere, "what was extracted is there");
    if (isThere) await isExtracted(disk, OUT, 2n);
    else await withStorage(disk, (storage) => extractTo(disk, storage, 2n));
    await isExtracted(disk, OUT, 2n);
    await recovers(disk, { acknowledged: [2n, 1n], asked: [3n] }, saveNext);
  },
};

const DUMP = "/data/dump";
const REFERRING: DirectoryStorageOptions = { resolve: ({ name }) => `${DUMP}/${name}` };
const ELSEWHERE: DirectoryStorageOptions = { temp: "/data/work/here" };

/** Saves a snapshot of files that are on the disk: one is linked, and the others are copied. */
async function saveAdded(storage: DirectoryStorage, index: bigint): Promise<void> {
  const writer = await storage.create();
  try {
    await writer.add(`${DUMP}/state`, "state", { immutable: true });
    await writer.add(`${DUMP}/a`);
    await writer.add(`${DUMP}/same`);
    await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: ["p1"], createdAt: 1 });
  } finally {
    await writer.abort();
  }
}

/** Saves a snapshot that only refers to its files, but for one. */
async function saveReferences(storage: DirectoryStorage, index: bigint): Promise<void> {
  const writer = await storage.create();
  try {
    await writer.add(`${DUMP}/state`, undefined, { reference: true });
    await writer.add(`${DUMP}/a`, undefined, { reference: true });
    await writer.add(`${DUMP}/same`);
    await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: ["p1"], createdAt: 1 });
  } finally {
    await writer.abort();
  }
}

/** A directory on the disk with what is in a snapshot, of which only the names of the directories are durable. */
async function dump(disk: Disk, index: bigint): Promise<void> {
  await disk.makeDirectory(`${DUMP}/a`);
  for (const [name, bytes] of Object.entries(contentOf(index))) {
    const file = await disk.open(`${DUMP}/${name}`, "create");
    await file.write(bytes, 0);
    await file.close();
  }
}

/** All flows of a storage. */
export async function storageFlows(): Promise<Flow<bigint>[]> {
  const [five, six] = [await manifestOf(5n), await manifestOf(6n)];
  return [
    flow("the first save into a directory that was not there", {
      asked: [1n, 2n],
      before: [],
      prepare: () => Promise.resolve(),
      run: (disk) =>
        withStorage(disk, async (storage) => {
          await acknowledge(disk, () => save(storage, 1n), 1n);
          await acknowledge(disk, () => save(storage, 2n), 2n);
        }),
    }),
    flow("the first save, after a process was killed that made the directory", {
      asked: [1n],
      before: [],
      prepare: () => Promise.resolve(),
      async run(disk) {
        const killed = disk.killBefore(({ verb }) => verb === "syncDirectory");
        await Promise.race([twice(() => DirectoryStorage.open(ROOT, { disk })), killed]);
        disk.kill();
        await withStorage(disk, (storage) => acknowledge(disk, () => save(storage, 1n), 1n));
      },
    }),
    flow("saves, and what retention takes", {
      asked: [3n, 4n],
      run: (disk) =>
        withStorage(disk, async (storage) => {
          await acknowledge(disk, () => save(storage, 3n), 3n);
          await acknowledge(disk, () => save(storage, 4n), 4n);
        }),
    }),
    flow("a save that is given up, and one that is not", {
      asked: [3n],
      run: (disk) =>
        withStorage(disk, async (storage) => {
          await twice(async () => {
            const writer = await storage.create();
            try {
              await writer.file("a/b").getWriter().write(contentOf(9n)["a/b"]!);
            } finally {
              await writer.abort();
            }
          });
          await acknowledge(disk, () => save(storage, 3n), 3n);
        }),
    }),
    flow("incremental saves, which share a file", {
      asked: [3n, 4n, 5n],
      run: (disk) =>
        withStorage(disk, async (storage) => {
          for (const index of [3n, 4n, 5n]) await acknowledge(disk, () => save(storage, index, true), index);
        }),
    }),
    flow("incremental saves on a disk that has no links", {
      asked: [3n, 4n],
      run: (disk) =>
        withStorage(disk, async (storage) => {
          for (const index of [3n, 4n]) await acknowledge(disk, () => save(storage, index, true), index);
        }, { disk: withoutLinks(disk) }),
    }),
    extraction,
    flow("a save of files that are on the disk already", {
      asked: [3n],
      async prepare(disk) {
        await two(disk);
        await dump(disk, 3n);
      },
      run: (disk) => withStorage(disk, (storage) => acknowledge(disk, () => saveAdded(storage, 3n), 3n)),
    }),
    flow("a save of references to files that were written just before", {
      asked: [3n],
      async prepare(disk) {
        await two(disk);
        await disk.makeDirectory(`${DUMP}/a`);
      },
      async run(disk) {
        await dump(disk, 3n); // nothing of it is durable
        await withStorage(disk, (storage) => acknowledge(disk, () => saveReferences(storage, 3n), 3n), REFERRING);
      },
      options: REFERRING,
    }),
    flow("saves in a temporary directory of its own", {
      asked: [3n, 4n],
      run: (disk) =>
        withStorage(disk, async (storage) => {
          await acknowledge(disk, () => save(storage, 3n), 3n);
          await acknowledge(disk, () => save(storage, 4n, true), 4n);
        }, ELSEWHERE),
      options: ELSEWHERE,
    }),
    flow("an install, and a save that is given up, with a temporary directory of its own", {
      asked: [5n],
      run: (disk) =>
        withStorage(disk, async (storage) => {
          await twice(async () => {
            const writer = await storage.create();
            await writer.file("a/b").getWriter().write(contentOf(9n)["a/b"]!);
            await writer.abort();
          });
          await acknowledge(disk, () => receive(storage, five), 5n);
        }, ELSEWHERE),
      goOn: receiveOrSave(five),
      options: ELSEWHERE,
    }),
    flow("an install, with the rest of an older one", {
      asked: [5n, 6n],
      async prepare(disk) {
        await two(disk);
        await withStorage(disk, async (storage) => void await receive(storage, five, 2));
      },
      run: (disk) => withStorage(disk, (storage) => acknowledge(disk, () => receive(storage, six), 6n)),
      goOn: receiveOrSave(six),
    }),
    flow("an install that is gone on with", {
      asked: [5n],
      async prepare(disk) {
        await two(disk);
        await withStorage(disk, async (storage) => void await receive(storage, five, 1));
      },
      async run(disk) {
        await withStorage(disk, (storage) => twice(async () => void await receive(storage, five, 0)));
        await withStorage(disk, (storage) => acknowledge(disk, () => receive(storage, five), 5n));
      },
      goOn: receiveOrSave(five),
    }),
    flow("an install that a killed process began, goes on, and then the power fails", {
      asked: [5n],
      async run(disk) {
        const killed = disk.killBefore(({ verb, path }) => verb === "sync" && path.endsWith("/state"));
        const storage = await twice(() => DirectoryStorage.open(ROOT, { disk }));
        await Promise.race([twice(() => receive(storage, five)), killed]); // all of it is there, and not durable
        disk.kill();
        await withStorage(disk, (storage) => acknowledge(disk, () => receive(storage, five), 5n));
      },
      goOn: receiveOrSave(five),
    }),
    flow("an install while a snapshot is saved", {
      asked: [3n, 5n],
      run: (disk) =>
        withStorage(disk, async (storage) => {
          await Promise.all([
            acknowledge(disk, () => save(storage, 3n), 3n).catch((error) => {
              assert.instanceOf(error, SnapshotError); // STALE, once the other is there
            }),
            acknowledge(disk, () => receive(storage, five), 5n),
          ]);
        }),
      goOn: receiveOrSave(five),
    }),
    flow("retention, while one is being read", {
      asked: [3n, 4n],
      run: (disk) =>
        withStorage(disk, async (storage) => {
          const reader = await storage.open(1n);
          await acknowledge(disk, () => save(storage, 3n), 3n);
          await acknowledge(disk, () => save(storage, 4n), 4n);
          await twice(() => bytesOf(reader.file("state")));
          await reader.close();
        }),
    }),
    flow("retention, in which a process is killed, and an opening that goes on with it", {
      asked: [3n],
      async run(disk) {
        let syncs = 0; // of the root: after the commit, and after an old snapshot was renamed to be removed
        const killed = disk.killBefore(({ verb, path }) => verb === "syncDirectory" && path === ROOT && ++syncs === 2);
        const storage = await twice(() => DirectoryStorage.open(ROOT, { disk }));
        await Promise.race([twice(() => save(storage, 3n)), killed]);
        disk.kill();
        await withStorage(disk, () => Promise.resolve());
      },
    }),
    flow("a damaged snapshot put aside", {
      asked: [3n],
      before: [1n],
      damaged: 2n,
      async prepare(disk) {
        await two(disk);
        await flip(disk, `${ROOT}/snapshot_00000000000000000002/state`, 2000);
      },
      run: (disk) =>
        withStorage(disk, async (storage) => {
          const reader = await storage.open(2n);
          await twice(() => findDamage(reader));
          await reader.close();
          await acknowledge(disk, () => save(storage, 3n), 3n);
        }),
      // What was put aside can be taken again: then it is as good as any.
      goOn: (storage, newest) => saveNext(storage, newest < 3n ? 2n : newest),
    }),
    flow("an opening after a crash, which sweeps", {
      asked: [],
      async prepare(disk) {
        await two(disk);
        await put(disk, "temp", "state", "x");
        await put(disk, "trash-00c0ffee", "state", "x");
        await put(disk, "install-9-00c0ffee", "state");
      },
      run: (disk) => withStorage(disk, () => Promise.resolve(), { keepInstalls: 0 }),
    }),
  ];
}
