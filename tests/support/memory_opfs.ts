// OPFS in memory, as far as a storage needs it, and what a page finds it by: for tests without a browser.

import { raceAbort } from "../../src/async/mod.ts";
import type { OpfsDirectory, OpfsFile, OpfsHandle } from "../../src/storage/opfs/handles.ts";
import { gate } from "./harness.ts";

/** What is done to something: it may fail, or give other bytes than there are. */
export interface OpfsHook {
  /** Called before something is looked up, listed or read, with the path. Throws if it fails. */
  before(verb: "find" | "list" | "read", path: string): void;
  /** What is read of a file. */
  bytes(path: string, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>;
}

/** A file or a directory. */
export type OpfsNode = { bytes: Uint8Array<ArrayBuffer> } | Map<string, OpfsNode>;

/** A copy of a directory with everything in it. */
export function copyOf(node: Map<string, OpfsNode>): Map<string, OpfsNode> {
  return new Map([...node].map(([name, below]) => [name, below instanceof Map ? copyOf(below) : { ...below }]));
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
