// OPFS in memory, as far as a storage needs it, and what a page finds it by: for tests without a browser.

import { raceAbort } from "../../src/async/mod.ts";
import type { OpfsAccess, OpfsDirectory, OpfsFile, OpfsHandle } from "../../src/opfs/mod.ts";
import { gate } from "./harness.ts";

/** What is done to something: it may fail, or give other bytes than there are. */
export interface OpfsHook {
  /** Called before something is looked up, listed or read, with the path. Throws if it fails. */
  before(verb: "find" | "list" | "read", path: string): void;
  /** What is read of a file. */
  bytes(path: string, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>;
  /** Called before something is changed by synchronous access. Throws if it fails. */
  change?(change: OpfsChange): void;
}

/** A change of a file by synchronous access: `at` is the position of a write, or the new size. */
export interface OpfsChange {
  readonly verb: "write" | "truncate" | "flush";
  readonly path: string;
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** Nothing is done to anything. */
export const UNTOUCHED: OpfsHook = { before: () => {}, bytes: (_, bytes) => bytes };

/** A file or a directory. */
export type OpfsNode = { bytes: Uint8Array<ArrayBuffer> } | Map<string, OpfsNode>;

/** A copy of a directory with everything in it. */
export function copyOf(node: Map<string, OpfsNode>): Map<string, OpfsNode> {
  return new Map(
    [...node].map(([name, below]) => [name, below instanceof Map ? copyOf(below) : { bytes: below.bytes.slice() }]),
  );
}

/** Handles of a directory in memory. */
export function memoryOpfs(root: Map<string, OpfsNode>, hook: OpfsHook): OpfsDirectory {
  return directoryOf(root, "", hook);
}

function notFound(path: string): DOMException {
  return new DOMException(`There is no ${path}`, "NotFoundError");
}

function directoryOf(node: Map<string, OpfsNode>, path: string, hook: OpfsHook): OpfsDirectory {
  const find = <T>(name: string, create: boolean, make: () => OpfsNode, wrap: (node: OpfsNode) => T): T => {
    hook.before("find", `${path}/${name}`);
    let found = node.get(name);
    if (found === undefined) {
      if (!create) throw notFound(`${path}/${name}`);
      node.set(name, found = make());
    }
    return wrap(found);
  };
  return {
    kind: "directory",
    name: path.slice(path.lastIndexOf("/") + 1),
    isSameEntry: (other: OpfsHandle) => Promise.resolve(other.name === path),
    resolve: () => Promise.resolve([]),
    async getDirectoryHandle(name, { create = false } = {}) {
      return find(name, create, () => new Map(), (found) => {
        if (!(found instanceof Map)) throw new DOMException(`${name} is a file`, "TypeMismatchError");
        return directoryOf(found, `${path}/${name}`, hook);
      });
    },
    async getFileHandle(name, { create = false } = {}) {
      return find(name, create, () => ({ bytes: new Uint8Array(0) }), (found) => {
        if (found instanceof Map) throw new DOMException(`${name} is a directory`, "TypeMismatchError");
        return fileOf(found, `${path}/${name}`, hook);
      });
    },
    async removeEntry(name) {
      if (!node.delete(name)) throw notFound(`${path}/${name}`);
    },
    async *keys() {
      hook.before("list", path);
      yield* [...node.keys()];
    },
  };
}

function fileOf(node: { bytes: Uint8Array<ArrayBuffer> }, path: string, hook: OpfsHook): OpfsFile {
  return {
    kind: "file",
    name: path.slice(path.lastIndexOf("/") + 1),
    isSameEntry: (other: OpfsHandle) => Promise.resolve(other.name === path),
    async getFile() {
      hook.before("read", path);
      return Object.assign(new Blob([hook.bytes(path, node.bytes)]), { lastModified: Date.now() });
    },
    async createWritable() {
      const parts: Uint8Array<ArrayBuffer>[] = [];
      return {
        async write(bytes) {
          parts.push(new Uint8Array(bytes.buffer.slice(0))); // as Safari: all of the buffer that a view is of
        },
        async close() {
          node.bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
        },
        abort: () => Promise.resolve(),
      };
    },
    async createSyncAccessHandle() {
      if (open.has(node)) throw new DOMException(`${path} is open`, "NoModificationAllowedError");
      open.add(node);
      return accessOf(node, path, hook);
    },
  };
}

/** The files that are open for synchronous access, each once. */
const open = new WeakSet<{ bytes: Uint8Array<ArrayBuffer> }>();

function accessOf(node: { bytes: Uint8Array<ArrayBuffer> }, path: string, hook: OpfsHook): OpfsAccess {
  const resize = (size: number) => {
    const resized = new Uint8Array(size);
    resized.set(node.bytes.subarray(0, size));
    node.bytes = resized;
  };
  const change = (verb: "write" | "truncate" | "flush", at = 0, bytes = new Uint8Array(0)) =>
    hook.change?.({ verb, path, at, bytes });
  return {
    getSize: () => node.bytes.length,
    read(buffer, { at }) {
      hook.before("read", path);
      const part = hook.bytes(path, node.bytes).subarray(at, at + buffer.length);
      buffer.set(part);
      return part.length;
    },
    write(bytes, { at }) {
      change("write", at, bytes.slice());
      if (at + bytes.length > node.bytes.length) resize(at + bytes.length);
      node.bytes.set(bytes, at);
      return bytes.length;
    },
    truncate(size) {
      change("truncate", size);
      resize(size);
    },
    flush: () => change("flush"),
    close: () => void open.delete(node),
  };
}

/** Does something while `navigator` gives a page what it finds OPFS and locks by. */
export async function withOpfs<T>(root: OpfsDirectory, work: () => Promise<T>): Promise<T> {
  const held = new Map<string, { readonly promise: Promise<void>; open(): void }>();
  const navigator = {
    storage: { getDirectory: () => Promise.resolve(root) },
    locks: {
      async request(
        name: string,
        { signal }: { readonly signal?: AbortSignal },
        callback: (lock: unknown) => Promise<void> | undefined,
      ) {
        while (held.has(name)) {
          if (signal === undefined) return await callback(null);
          await raceAbort(held.get(name)!.promise, signal);
        }
        const freed = gate();
        held.set(name, freed);
        try {
          await callback({});
        } finally {
          held.delete(name);
          freed.open();
        }
      },
    },
  };
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true });
  try {
    return await work();
  } finally {
    if (before === undefined) delete (globalThis as { navigator?: unknown }).navigator;
    else Object.defineProperty(globalThis, "navigator", before);
  }
}
