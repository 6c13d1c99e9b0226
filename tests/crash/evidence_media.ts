// Media on which something goes wrong with what a storage sees of its snapshots, and goes away again: in all of them the
// same grades of evidence.

import { EncryptedStorage, type EncryptionKey, SnapshotError, type SnapshotStorage } from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import type { Disk, DiskFile, DiskLock } from "../../src/fs/mod.ts";
import { OpfsStorage } from "../../src/storage/opfs/storage.ts";
import { FaultyMedium } from "../support/faulty_medium.ts";
import { assert, bytesOf, noise, pieces } from "../support/harness.ts";
import { copyOf, memoryOpfs, type OpfsNode, withOpfs } from "../support/memory_opfs.ts";
import type { Image } from "./image.ts";
import { equal } from "../../src/stream/mod.ts";
import { SimulatedDisk } from "./simulated_disk.ts";
import { MediumStorage } from "../../src/storage/medium_storage.ts";

/** What somebody sees of a thing. Only the last proves anything. */
export const GRADES = ["absent", "gone", "unreadable", "forbidden", "short", "other", "flapping", "bad"] as const;
export type Grade = typeof GRADES[number];

/** What is seen so: the manifest or the files of a snapshot, what names them, or everything. */
export const TARGETS = ["manifest 3", "files 3", "manifest 2", "files 2", "manifest 1", "root", "all"] as const;
export type Target = typeof TARGETS[number];

export interface Fault {
  readonly grade: Grade;
  readonly target: Target;
  /** Only the first time; else as long as it is there. */
  readonly once: boolean;
}

/** What goes wrong now. */
export class Faults {
  #active: { readonly fault: Fault; used: boolean }[] = [];
  #count = 0;

  set(faults: readonly Fault[]): void {
    this.#active = faults.map((fault) => ({ fault, used: false }));
  }

  /** What goes wrong with a thing, if anything. */
  of(thing: string): Grade | undefined {
    for (const one of this.#active) {
      if (one.fault.target !== thing && one.fault.target !== "all") continue;
      if (one.fault.once && one.used) continue;
      one.used = true;
      return one.fault.grade;
    }
    return undefined;
  }

  /** Whether everything is away. */
  get away(): boolean {
    return this.#active.some(({ fault: { grade, target } }) =>
      target === "all" && (grade === "absent" || grade === "gone")
    );
  }

  /** Bytes as they are seen. */
  spoil<B extends ArrayBufferLike>(grade: Grade | undefined, bytes: Uint8Array<B>): Uint8Array<B> {
    if (bytes.length === 0) return bytes;
    const at = bytes.length >> 1;
    if (grade === "bad" || grade === "other") bytes[at]! ^= grade === "bad" ? 1 : 0xff;
    if (grade === "flapping") bytes[at]! ^= 1 + this.#count++ % 250;
    return bytes;
  }
}

/** Snapshots on a medium, as several storages may open it one after the other. */
export interface World {
  readonly faults: Faults;
  /** Whether there is another one in its place while all is away. */
  readonly hasAnother?: boolean;
  /** Whether reading less, each time, is what a file is that was cut short: then its size says the same. */
  readonly shortIsBad?: boolean;
  /** How many times sooner comes what is waited for; 1000 times by default. A server needs time to answer. */
  readonly haste?: number;
  /** Opens them. What goes wrong goes wrong from the start. */
  open(): Promise<SnapshotStorage>;
  /** Ends what holds them. */
  close?(): Promise<void>;
}

/** How a world is made: with the snapshots 1, 2 and 3 in it. */
export interface WorldKind {
  readonly name: string;
  make(): Promise<World>;
}

export const RETAIN = 3;
/** Bytes of the first chunk of the state. */
const PIECE = 600;

const CONTENTS = new Map<bigint, Record<string, Uint8Array>>();

/** What is in a snapshot: of the state, the first chunk is that of all. */
export function contentOf(index: bigint): Record<string, Uint8Array> {
  const known = CONTENTS.get(index) ?? makeContent(index);
  CONTENTS.set(index, known);
  return known;
}

function makeContent(index: bigint): Record<string, Uint8Array> {
  const state = noise(PIECE + 500, Number(index));
  state.set(noise(PIECE, 77));
  return { "a/b": noise(100, Number(index) + 1000), state };
}

export async function save(storage: SnapshotStorage, index: bigint): Promise<void> {
  const writer = await storage.create();
  try {
    for (const [name, content] of Object.entries(contentOf(index))) {
      await pieces(content, PIECE).pipeTo(writer.file(name, { chunkSize: "pieces" }));
    }
    await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: [], createdAt: 1 });
  } finally {
    await writer.abort();
  }
}

/** Reads all of a snapshot; fails unless it is what was saved. */
export async function checkWhole(storage: SnapshotStorage, index: bigint): Promise<void> {
  const reader = await storage.open(index);
  try {
    for (const [name, content] of Object.entries(contentOf(index))) {
      assert.isTrue(equal(await bytesOf(reader.file(name)), content), `${name} of ${index}`);
    }
    assert.isTrue((await reader.verify().result).ok, `snapshot ${index} verifies`);
  } finally {
    await reader.close();
  }
}

export async function saveThree(storage: SnapshotStorage): Promise<void> {
  for (const index of [1n, 2n, 3n]) await save(storage, index);
  await storage.close();
}

export function fails(grade: "unreadable" | "forbidden", what: string): SnapshotError {
  return new SnapshotError(grade === "forbidden" ? "FORBIDDEN" : "UNAVAILABLE", `${grade}: ${what}`);
}

/** What stands over a storage. */
export type Wrap = (storage: SnapshotStorage) => SnapshotStorage;

const KEY: EncryptionKey = { id: "a", secret: noise(32, 1) };

/** Nothing. */
export const plain: Wrap = (storage) => storage;
/** Encryption. */
export const encrypted: Wrap = (storage) => new EncryptedStorage(storage, [KEY]);

/** A directory on a disk in memory. */
export function directories(name: string, wrap: Wrap): WorldKind {
  let image: Promise<Image> | undefined;
  const prepare = async () => {
    const disk = new SimulatedDisk();
    await saveThree(wrap(await DirectoryStorage.open("/root", { disk, retain: RETAIN })));
    return disk.image;
  };
  return {
    name,
    async make() {
      const inner = new SimulatedDisk(await (image ??= prepare()));
      const faults = new Faults();
      const disk = new SeenDisk(inner, faults, thingAt);
      return {
        faults,
        hasAnother: true,
        open: async () => wrap(await DirectoryStorage.open("/root", { disk, retain: RETAIN })),
      };
    },
  };
}

/** What a path of a directory storage is part of. */
function thingAt(path: string): string {
  const [, index, name] = /\/snapshot_0*([0-9]+)(?:\/(.*))?$/.exec(path) ?? [];
  return index === undefined || name === undefined || name === ""
    ? "root"
    : name.startsWith("__raft")
    ? `manifest ${index}`
    : `files ${index}`;
}

/** A disk of which something is seen otherwise than it is. What is changed is changed. */
export class SeenDisk implements Disk {
  readonly #inner: Disk;
  readonly #faults: Faults;
  readonly #thingAt: (path: string) => string;
  /** What lies where the disk is mounted while that is away. */
  readonly #below = new SimulatedDisk();

  /**
   * @param inner the disk as it is
   * @param faults what is seen otherwise
   * @param thingAt what a path is part of
   */
  constructor(inner: Disk, faults: Faults, thingAt: (path: string) => string) {
    this.#inner = inner;
    this.#faults = faults;
    this.#thingAt = thingAt;
  }

  get #disk(): Disk {
    return this.#faults.away ? this.#below : this.#inner;
  }

  #see(path: string, what: string): Grade | undefined {
    const grade = this.#faults.away ? undefined : this.#faults.of(this.#thingAt(path));
    if (grade === "unreadable" || grade === "forbidden") throw fails(grade, `${what} ${path}`);
    return grade;
  }

  async open(path: string, mode: "read" | "create" | "update"): Promise<DiskFile> {
    if (mode !== "read") return await this.#disk.open(path, mode);
    const grade = this.#see(path, "open");
    if (grade === "absent" || grade === "gone") throw new SnapshotError("NOT_FOUND", `ENOENT: ${path}`);
    const file = await this.#disk.open(path, mode);
    return {
      read: async (buffer, at) => {
        const grade = this.#see(path, "read");
        const length = await file.read(buffer, at);
        if (grade === "short") return length >> 1;
        this.#faults.spoil(grade, buffer.subarray(0, length));
        return length;
      },
      write: (bytes, at) => file.write(bytes, at),
      sync: () => file.sync(),
      size: () => file.size(),
      close: () => file.close(),
    };
  }

  async stat(path: string): ReturnType<Disk["stat"]> {
    const grade = this.#see(path, "stat");
    return grade === "absent" || grade === "gone" ? undefined : this.#disk.stat(path);
  }

  async list(path: string): ReturnType<Disk["list"]> {
    if (this.#faults.of("root") === "unreadable") throw fails("unreadable", `list ${path}`);
    return this.#disk.list(path);
  }

  async lock(path: string): Promise<DiskLock> {
    const disk = this.#disk;
    const lock = await disk.lock(path);
    return { isHeld: async () => this.#disk === disk && await lock.isHeld(), release: () => lock.release() };
  }

  makeDirectory(path: string): ReturnType<Disk["makeDirectory"]> {
    return this.#disk.makeDirectory(path);
  }
  rename(from: string, to: string): ReturnType<Disk["rename"]> {
    return this.#disk.rename(from, to);
  }
  link(from: string, to: string): ReturnType<Disk["link"]> {
    return this.#disk.link(from, to);
  }
  remove(path: string): ReturnType<Disk["remove"]> {
    return this.#disk.remove(path);
  }
  syncDirectory(path: string): ReturnType<Disk["syncDirectory"]> {
    return this.#disk.syncDirectory(path);
  }
}

/** Memory, which can be read wrongly too. */
export function memories(name: string, wrap: Wrap): WorldKind {
  return {
    name,
    async make() {
      const faults = new Faults();
      const medium = new FaultyMedium();
      const inner = new MediumStorage(medium, [], { retain: RETAIN });
      const storage = wrap(inner);
      for (const index of [1n, 2n, 3n]) await save(storage, index);
      medium.fault = ({ place, name }) => {
        const index = [...medium.placeOf].find(([, placed]) => placed === place)?.[0];
        const grade = index === undefined
          ? undefined
          : faults.of(`${name === undefined ? "manifest" : "files"} ${index}`);
        if (grade === undefined || grade === "short" && name === undefined) return undefined;
        if (grade === "absent" || grade === "gone") return name === undefined ? "UNAVAILABLE" : "NOT_FOUND";
        if (grade === "unreadable") return "UNAVAILABLE";
        if (grade === "forbidden") return "FORBIDDEN";
        return grade === "other" ? "bad" : grade;
      };
      // It is not there any more once it is closed: who opens it again has the same one.
      storage.close = () => Promise.resolve();
      return { faults, open: () => Promise.resolve(storage) };
    },
  };
}

/** OPFS in memory. */
export function pages(name: string, wrap: Wrap): WorldKind {
  let template: Promise<Map<string, OpfsNode>> | undefined;
  const none = { before: () => {}, bytes: (_path: string, bytes: Uint8Array<ArrayBuffer>) => bytes };
  const prepare = async () => {
    const root = new Map<string, OpfsNode>();
    await withOpfs(
      memoryOpfs(root, none),
      async () => await saveThree(wrap(await OpfsStorage.open("here", { retain: RETAIN }))),
    );
    return root;
  };
  return {
    name,
    async make() {
      const root = copyOf(await (template ??= prepare()));
      const things = thingsIn(root);
      const faults = new Faults();
      const see = (path: string) => {
        const grade = faults.of(things(path));
        if (grade === "unreadable") throw new DOMException(path, "NotReadableError");
        if (grade === "forbidden") throw new DOMException(path, "NotAllowedError");
        if (grade === "absent" || grade === "gone") throw new DOMException(path, "NotFoundError");
        return grade;
      };
      const seen = memoryOpfs(root, {
        before: (verb, path) => {
          if (verb !== "read" && things(path) !== "other") see(path);
        },
        bytes: (path, bytes) => {
          const grade = see(path);
          return grade === "short" ? bytes.slice(0, bytes.length >> 1) : faults.spoil(grade, bytes.slice());
        },
      });
      return {
        faults,
        shortIsBad: true,
        open: () => withOpfs(seen, async () => wrap(await OpfsStorage.open("here", { retain: RETAIN }))),
      };
    },
  };
}

/** Says what a path in OPFS is part of. */
function thingsIn(root: Map<string, OpfsNode>): (path: string) => string {
  const byData = new Map<string, string>();
  const places = (root.get("here") as Map<string, OpfsNode>).get("places") as Map<string, OpfsNode>;
  for (const place of places.values() as Iterable<Map<string, OpfsNode>>) {
    const marker = [...place.keys()].find((name) => name.startsWith("snapshot_"))!;
    for (const name of place.keys()) {
      const [, data] = /\.([0-9a-f-]{36})$/.exec(name) ?? [];
      if (data !== undefined) byData.set(data, `files ${BigInt(marker.slice("snapshot_".length))}`);
    }
  }
  return (path) => {
    const [, manifest] = /\/snapshot_0*([0-9]+)$/.exec(path) ?? [];
    if (manifest !== undefined) return `manifest ${manifest}`;
    const [, data] = /\/data\/([0-9a-f-]{36})(?:\/|$)/.exec(path) ?? [];
    if (data !== undefined) return byData.get(data) ?? "other";
    return path.includes("/places/") ? "root" : "other";
  };
}
