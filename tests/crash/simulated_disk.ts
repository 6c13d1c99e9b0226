// A disk in memory, behind the verbs of the real one, that keeps book of what it would lose. Its journal says what was
// changed in which order and what was made durable when; `crash_states.ts` makes of it all that a crash may leave.

import type { Disk, DiskEntry, DiskFile, DiskLock, DiskStat } from "../../src/fs/mod.ts";
import { onDisk } from "../../src/fs/errors.ts";
import { SnapshotError } from "../../mod.ts";
import {
  apply,
  contentOf,
  type DirectoryNode,
  type Effect,
  EMPTY,
  type FileNode,
  type Image,
  isFile,
  nodeAt,
  partsOf,
} from "./image.ts";

/** What a disk does: one of its verbs, on a path. */
export interface DiskOperation {
  /** Counted from 1. */
  readonly number: number;
  readonly verb:
    | "open"
    | "create"
    | "update"
    | "read"
    | "write"
    | "sync"
    | "size"
    | "close"
    | "stat"
    | "list"
    | "make"
    | "rename"
    | "link"
    | "remove"
    | "syncDirectory"
    | "lock";
  readonly path: string;
}

/** How an operation goes wrong: before anything of it is done, after half of it, or though all of it was done. */
export interface DiskFault {
  readonly code: "ENOSPC" | "EIO" | "EACCES" | "EMFILE";
  readonly when: "before" | "half" | "after";
}

/** What happened to a disk, in order: a change, or one file or directory made durable, or what the program promised. */
export type JournalEntry<M> =
  | { readonly kind: "effect"; readonly effect: Effect }
  | { readonly kind: "sync"; readonly node: number }
  /** A file's sync failed: what was written before may be lost, and no later sync makes up for it (as on Linux). */
  | { readonly kind: "lost"; readonly node: number }
  | { readonly kind: "mark"; readonly mark: M };

/** How it is made. */
export interface SimulatedDiskOptions {
  /** Which operations go wrong, and how. */
  readonly fault?: (operation: DiskOperation) => DiskFault | undefined;
  /** Awaited before each operation, and after it: other operations overtake it. */
  readonly pace?: (operation: DiskOperation) => Promise<void>;
}

/** Bytes that a disk writes as a whole or not at all: a sector, and of much at once a page. */
const SECTOR = 512;
const PAGE = 4096;

export class SimulatedDisk<M = never> implements Disk {
  readonly journal: JournalEntry<M>[] = [];
  readonly #image: Map<number, FileNode | DirectoryNode>;
  /** Files that no other disk shares. */
  readonly #owned = new Set<number>();
  readonly #options: SimulatedDiskOptions;
  readonly #locks = new Set<string>();
  readonly #counts = { operations: 0, open: 0 };
  /** Which process it is. */
  #life = 0;
  #killer: { readonly is: (operation: DiskOperation) => boolean; readonly killed: () => void } | undefined;
  #nextNode: number;
  /** When everything on it was changed last. */
  readonly #changedAt = Date.now();

  /** @param image what is on it, all of it durable */
  constructor(image: Image = EMPTY, options: SimulatedDiskOptions = {}) {
    this.#image = new Map(image);
    this.#nextNode = Math.max(...image.keys()) + 1;
    this.#options = options;
  }

  /** What is on it, as a program sees it. */
  get image(): Image {
    this.#owned.clear(); // whoever gets it shares them
    return new Map(this.#image);
  }

  /** How many operations there were, and how many files are open. */
  get counts(): Readonly<{ operations: number; open: number }> {
    return this.#counts;
  }

  /** The process is killed, and the computer goes on: nothing is lost yet, and nobody holds a lock any more. */
  kill(): void {
    this.#killer?.killed();
    this.#killer = undefined;
    this.#locks.clear();
    this.#counts.open = 0;
    this.#life++;
  }

  /** As {@linkcode kill}, before an operation. Resolves when that has happened. */
  killBefore(is: (operation: DiskOperation) => boolean): Promise<void> {
    return new Promise((killed) => this.#killer = { is, killed });
  }

  /** What the program promised. */
  get marks(): M[] {
    return this.journal.flatMap((entry) => entry.kind === "mark" ? [entry.mark] : []);
  }

  /** Notes what the program promised by now. */
  mark(mark: M): void {
    this.journal.push({ kind: "mark", mark });
  }

  async open(path: string, mode: "read" | "create" | "update"): Promise<DiskFile> {
    const node = await this.#do(mode === "read" ? "open" : mode, path, () => {
      const found = this.#find(path);
      if (mode !== "create") {
        if (found === undefined) throw failure("ENOENT", path);
        if (!isFile(this.#image.get(found))) throw failure("EISDIR", path);
        return found;
      }
      if (found !== undefined) throw failure("EEXIST", path);
      return this.#make(path, { size: 0, bytes: new Uint8Array(0) });
    });
    this.#counts.open++;
    return this.#file(path, node);
  }

  #file(path: string, node: number): DiskFile {
    const content = () => this.#image.get(node) as FileNode;
    const write = (bytes: Uint8Array, position: number) => {
      const end = position + bytes.length;
      if (end > content().size) this.#change({ kind: "size", node, size: end });
      const block = bytes.length <= PAGE ? SECTOR : PAGE;
      for (let at = position; at < end;) {
        const stop = Math.min(at - at % block + block, end);
        this.#change({ kind: "block", node, at, bytes: bytes.slice(at - position, stop - position) });
        at = stop;
      }
    };
    let closed = false;
    const close = () => {
      if (closed) throw failure("EBADF", path);
      closed = true;
      this.#counts.open--;
    };
    return {
      read: (buffer, position) =>
        this.#do("read", path, () => {
          const bytes = contentOf(content()).subarray(position, position + buffer.length);
          buffer.set(bytes);
          return bytes.length;
        }),
      write: (bytes, position) =>
        this.#do(
          "write",
          path,
          () => write(bytes, position),
          () => write(bytes.subarray(0, bytes.length >> 1), position),
        ),
      sync: () => this.#do("sync", path, () => this.#sync(node), undefined, () => this.#lose(node)),
      size: () => this.#do("size", path, () => content().size),
      close: () => this.#do("close", path, close, close, close), // as on Linux: it is closed even if that fails
    };
  }

  stat(path: string): Promise<DiskStat | undefined> {
    return this.#do("stat", path, () => {
      const node = this.#find(path);
      if (node === undefined) return undefined;
      const found = this.#image.get(node)!;
      return isFile(found)
        ? { kind: "file", size: found.size, changedAt: this.#changedAt }
        : { kind: "directory", size: 0, changedAt: this.#changedAt };
    });
  }

  list(path: string): Promise<DiskEntry[]> {
    return this.#do(
      "list",
      path,
      () =>
        [...this.#directory(this.#existing(path), path)].map(([name, node]) => ({
          name,
          kind: isFile(this.#image.get(node)) ? "file" : "directory",
        })),
    );
  }

  makeDirectory(path: string): Promise<void> {
    return this.#do("make", path, () => {
      const parts = partsOf(path);
      for (let i = 1; i <= parts.length; i++) {
        const part = `/${parts.slice(0, i).join("/")}`;
        const found = this.#find(part);
        if (found === undefined) this.#make(part, new Map());
        else if (isFile(this.#image.get(found))) throw failure("EEXIST", part);
      }
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.#do("rename", from, () => {
      const node = this.#existing(from);
      const [parent, name] = this.#parent(from);
      const [newParent, newName] = this.#parent(to);
      const old = this.#find(to);
      if (old !== undefined && !isFile(this.#image.get(old))) {
        if ((this.#image.get(old) as DirectoryNode).size > 0) throw failure("ENOTEMPTY", to);
      }
      // It is there under the one name or the other, which every file system in use promises.
      const change = { kind: "names", node: newParent } as const;
      if (parent === newParent) {
        this.#change({ ...change, names: new Map([[name, undefined], [newName, node]]) });
      } else this.#change({ ...change, names: new Map([[newName, node]]), from: { node: parent, name } });
    });
  }

  link(from: string, to: string): Promise<boolean> {
    return this.#do("link", from, () => {
      const node = this.#existing(from);
      if (!isFile(this.#image.get(node))) throw failure("EPERM", from);
      if (this.#find(to) !== undefined) throw failure("EEXIST", to);
      const [parent, name] = this.#parent(to);
      this.#change({ kind: "names", node: parent, names: new Map([[name, node]]) });
      return true;
    });
  }

  remove(path: string): Promise<void> {
    const remove = (path: string, limit: number): void => {
      const node = this.#find(path);
      if (node === undefined) return;
      const found = this.#image.get(node)!;
      if (!isFile(found)) {
        const names = [...found.keys()].slice(0, limit);
        for (const name of names) remove(`${path}/${name}`, Infinity);
        if (names.length < found.size) return;
      }
      const [parent, name] = this.#parent(path);
      this.#change({ kind: "names", node: parent, names: new Map([[name, undefined]]) });
    };
    const half = () => {
      const node = this.#find(path);
      const found = node === undefined ? undefined : this.#image.get(node)!;
      if (found !== undefined && !isFile(found)) remove(path, found.size >> 1);
    };
    return this.#do("remove", path, () => remove(path, Infinity), half);
  }

  syncDirectory(path: string): Promise<void> {
    return this.#do("syncDirectory", path, () => this.#sync(this.#existing(path)));
  }

  lock(path: string): Promise<DiskLock> {
    return this.#do("lock", path, () => {
      if (this.#locks.has(path)) throw new SnapshotError("BUSY", `${path} is locked`);
      if (this.#find(path) === undefined) this.#make(path, { size: 0, bytes: new Uint8Array(0) });
      this.#locks.add(path);
      const locked = this.#find(path);
      return {
        isHeld: () => Promise.resolve(this.#find(path) === locked),
        release: () => {
          this.#locks.delete(path);
          return Promise.resolve();
        },
      };
    });
  }

  /**
   * Does something, or makes it fail.
   *
   * @param half what becomes of it if it fails in the middle; nothing if absent
   * @param failed what becomes of it whenever it fails
   */
  #do<T>(
    verb: DiskOperation["verb"],
    path: string,
    work: () => T,
    half?: () => void,
    failed?: () => void,
  ): Promise<T> {
    const operation = { number: ++this.#counts.operations, verb, path };
    const life = this.#life;
    return onDisk(verb, path, async () => {
      await this.#options.pace?.(operation);
      if (this.#killer?.is(operation) === true) this.kill();
      if (life !== this.#life) return await new Promise(() => {}); // who was killed does nothing more
      const fault = this.#options.fault?.(operation);
      if (fault === undefined) {
        const result = work();
        if (this.#options.pace !== undefined) await this.#options.pace(operation);
        return result;
      }
      if (fault.when === "half") half?.();
      if (fault.when === "after") work();
      else failed?.();
      throw failure(fault.code, `${path} (injected ${fault.when} operation ${operation.number}: ${verb})`);
    });
  }

  #change(effect: Effect): void {
    this.journal.push({ kind: "effect", effect });
    apply(this.#image, effect, this.#owned);
  }

  #sync(node: number): void {
    this.journal.push({ kind: "sync", node });
  }

  #lose(node: number): void {
    this.journal.push({ kind: "lost", node });
  }

  /** A new file or directory. What it is called is lost or not with its directory; what is in it is its own affair. */
  #make(path: string, content: FileNode | DirectoryNode): number {
    const [parent, name] = this.#parent(path);
    const node = this.#nextNode++;
    this.#change({ kind: "new", node, content });
    this.#change({ kind: "names", node: parent, names: new Map([[name, node]]) });
    return node;
  }

  #find(path: string): number | undefined {
    return nodeAt(this.#image, path);
  }

  #existing(path: string): number {
    const node = this.#find(path);
    if (node === undefined) throw failure("ENOENT", path);
    return node;
  }

  #directory(node: number, path: string): DirectoryNode {
    const found = this.#image.get(node)!;
    if (isFile(found)) throw failure("ENOTDIR", path);
    return found;
  }

  /** The directory that something is in, and its name there. */
  #parent(path: string): [directory: number, name: string] {
    const parts = partsOf(path);
    const directory = this.#existing(`/${parts.slice(0, -1).join("/")}`);
    this.#directory(directory, path);
    return [directory, parts.at(-1)!];
  }
}

function failure(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}
