/**
 * Snapshots on a disk, for Deno, Node and Bun.
 *
 * ```ts
 * import { mkdtemp } from "node:fs/promises";
 * import { tmpdir } from "node:os";
 * import { DirectoryStorage } from "@snapstream/snapstream/fs";
 *
 * const root = await mkdtemp(`${tmpdir()}/snapshots-`);
 * await using storage = await DirectoryStorage.open(root);
 * const writer = await storage.create();
 * await ReadableStream.from([new TextEncoder().encode("hello")]).pipeTo(writer.file("greeting"));
 * await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] }); // durable from here on
 * ```
 *
 * ## A machine whose state is files
 *
 * What is on the disk already (a RocksDB checkpoint, a dump, a directory of documents) becomes part of a snapshot by
 * {@linkcode DirectoryWriter.add}, or into any storage by {@linkcode addFiles}: cloned or copied, or linked if it is
 * `immutable`, and hashed once. `writer.remove` takes a file out again, also one whose stream was aborted;
 * `writer.files()` lists them. {@linkcode extract} writes a snapshot to a directory: verified, durable, and whole or
 * not at all.
 *
 * ### Documents on a disk, each written once
 *
 * ```ts
 * import { readdirSync } from "node:fs";
 * import { mkdtemp, readFile, writeFile } from "node:fs/promises";
 * import { tmpdir } from "node:os";
 * import { type LogEntry, MemoryLog, Replica, type SaveTask } from "@snapstream/snapstream";
 * import type { SnapshotReader, StateMachine } from "@snapstream/snapstream";
 * import { addFiles, DirectoryStorage, extract } from "@snapstream/snapstream/fs";
 *
 * const newDirectory = () => mkdtemp(`${tmpdir()}/documents-`);
 *
 * class Documents implements StateMachine {
 *   directory = ""; // made anew in each life: snapshot and log have all of it
 *
 *   async apply({ index, data }: LogEntry) {
 *     this.directory ||= await newDirectory();
 *     await writeFile(`${this.directory}/${index}`, data);
 *   }
 *   save(): SaveTask {
 *     const { directory } = this;
 *     const names = readdirSync(directory); // the view: these files do not change any more
 *     return {
 *       async write(writer, signal) {
 *         for (const name of names) {
 *           signal.throwIfAborted();
 *           await addFiles(writer, `${directory}/${name}`, name, { immutable: true });
 *         }
 *       },
 *       release() {},
 *     };
 *   }
 *   async load(reader: SnapshotReader) {
 *     const directory = await newDirectory();
 *     await extract(reader, directory);
 *     this.directory = directory;
 *   }
 * }
 *
 * const storage = await DirectoryStorage.open(await newDirectory());
 * const replica = await Replica.open({ machine: new Documents(), log: new MemoryLog(), storage });
 * const { index } = await replica.propose(new TextEncoder().encode("hello"));
 * await replica.snapshot();
 * const restored = new Documents();
 * const reader = await storage.open();
 * await restored.load(reader);
 * console.assert(await readFile(`${restored.directory}/${index}`, "utf8") === "hello");
 * await reader.close();
 * await replica.close();
 * ```
 *
 * ### Files that stay where they are
 *
 * A snapshot may only refer to files: to those that braft does (`FILE_SOURCE_REFERENCE`), or to a layout that is
 * scattered over directories, of which nothing is to be copied. `resolve` says where each is; they are verified,
 * archived and served like the others then, and are files like the others in every copy.
 *
 * ```ts
 * import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
 * import { tmpdir } from "node:os";
 * import { DirectoryStorage } from "@snapstream/snapstream/fs";
 *
 * const root = await mkdtemp(`${tmpdir()}/scattered-`);
 * await mkdir(`${root}/tables`);
 * await writeFile(`${root}/tables/000001.sst`, "a table that is never written to again");
 *
 * const resolve = ({ name }: { readonly name: string }) => `${root}/tables/${name}`;
 * const storage = await DirectoryStorage.open(`${root}/snapshots`, { resolve });
 * const writer = await storage.create();
 * await writer.add(`${root}/tables`, "", { reference: true });
 * await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
 *
 * const reader = await storage.open();
 * console.assert((await reader.verify().result).ok);
 * await reader.close();
 * await storage.close();
 * ```
 *
 * ## What is promised
 *
 * With `durability: "full"`, the default, what was acknowledged is there after a crash or a power failure. With
 * `"file"` a power failure may take the newest snapshot; with `"none"` anything since the disk was synced, while a
 * killed process still loses nothing. `temp` has snapshots written in a directory of yours until they are committed, on
 * the same file system. What each file may grow to is told in `src/README.md` of the repository.
 *
 * ## Permissions
 *
 * Importing a module needs none; what Deno has to be asked for is tested with its flags:
 *
 * | what | needs |
 * |---|---|
 * | `DirectoryStorage` | `--allow-read=ROOT --allow-write=ROOT`; read-only, the first |
 * | … if the root is not there (`durability: "full"`) | also to read the nearest parent that is, for the root's name |
 * | `SqliteLog`, `sqliteEngine` | to read and write the file; for its bounds also `FILE-wal`, of a log `FILE-reserve` |
 * | `serve`; `pull`, `push` | `--allow-net` of the address; of the sources |
 *
 * Files and directories get the modes that the umask allows (644 and 755, mostly), the lock 600. Who may read a state
 * may read its snapshots: make the root with 700 if nobody else is to, or use `EncryptedStorage`.
 *
 * @module
 */

export { DirectoryBucket, type DirectoryBucketOptions } from "./bucket/directory/mod.ts";
export { sourceFiles, type SourceFilesOptions } from "./format/disk/mod.ts";
export type { AddOptions } from "./snapshot/mod.ts";
export {
  addFiles,
  type AddFilesOptions,
  DirectoryStorage,
  type DirectoryStorageOptions,
  type DirectoryWriter,
  type Durability,
  extract,
  type Extracted,
  type ExtractOptions,
  fileFloor,
  type ReferencedFile,
  type ReferenceResolver,
} from "./storage/directory/mod.ts";
