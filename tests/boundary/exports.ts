// What the entries of the package export, and what of it is given something.

import {
  decryptedReader,
  EncryptedStorage,
  encryptedWriter,
  MemoryStorage,
  SnapshotManifest,
  streamedArchive,
  systemClock,
} from "../../mod.ts";
import { MemoryBucket, ObjectStorage } from "../../src/object.ts";
import { bytesOf } from "../support/harness.ts";
import { save } from "../support/samples.ts";
import { META } from "./slots_core.ts";
import { KEY } from "./world.ts";

/** The programs among the entries: importing one runs it. */
const PROGRAMS = ["./cli/main"];

// deno-lint-ignore no-explicit-any -- of functions of any type
type Any = any;

/** What is between the first parentheses of a function's source, or of a class's constructor. */
function parametersOf(it: Any): string {
  let source: string = Function.prototype.toString.call(it).replaceAll(/\/\*.*?\*\//gs, "");
  if (source.startsWith("class")) {
    const at = source.search(/^\s+constructor\s*\(/m);
    if (at < 0) return Object.getPrototypeOf(it) === Function.prototype ? "" : parametersOf(Object.getPrototypeOf(it));
    source = source.slice(at);
  }
  return /\(([^)]*)\)/.exec(source)?.[1]?.trim() ?? source; // `it => …` has none
}

/** The methods and setters of an object that take something. */
function* methodsOf(name: string, of: object): Generator<string> {
  for (const key of Reflect.ownKeys(of)) {
    const { value, set } = Object.getOwnPropertyDescriptor(of, key)!;
    if (typeof key !== "string" || key === "constructor" || key === "prototype") continue;
    if (set !== undefined || typeof value === "function" && parametersOf(value) !== "") yield `${name}.${key}`;
  }
}

/** Those of an object, and of all that it inherits from. */
function* allMethodsOf(name: string, of: object): Generator<string> {
  for (let it = of; it !== null && it !== Object.prototype; it = Object.getPrototypeOf(it)) yield* methodsOf(name, it);
}

/** Every function, constructor, method and setter that the entries export, and that takes something. */
export async function exportedNames(): Promise<Set<string>> {
  const root = new URL("../../", import.meta.url);
  const { exports } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root))) as {
    exports: Record<string, string>;
  };
  const names = new Set<string>();
  for (const [entry, path] of Object.entries(exports)) {
    if (PROGRAMS.includes(entry)) continue;
    for (const [name, it] of Object.entries(await import(new URL(path, root).href))) {
      if (typeof it !== "function") continue;
      if (parametersOf(it) !== "") names.add(name);
      if (!Function.prototype.toString.call(it).startsWith("class")) continue;
      for (const method of methodsOf(name, it)) names.add(method);
      for (const method of methodsOf(name, it.prototype)) names.add(method);
    }
  }
  return names;
}

/** Every method of what these give: writers, readers, installs, clocks. Those of states are many, and few are public. */
export async function givenNames(): Promise<Set<string>> {
  const names = new Set<string>();
  const add = (name: string, of: object) => {
    for (const method of allMethodsOf(name, of)) names.add(method);
  };
  const plain = new MemoryStorage();
  const storages = [
    plain,
    new EncryptedStorage(new MemoryStorage(), [KEY]),
    await ObjectStorage.open(new MemoryBucket()),
  ];
  for (const storage of storages) {
    for (const raw of [false, true]) {
      const writer = await storage.create({ raw });
      add("writer", writer);
      await writer.abort();
    }
    await save(storage, 7n, { state: new Uint8Array(9) });
    const reader = await storage.open();
    add("reader", reader);
    add("reader", decryptedReader(reader, [KEY]));
    await reader.close();
    const { files } = reader.manifest;
    const install = await storage.install(await SnapshotManifest.of({ ...reader.meta, lastIncludedIndex: 8n }, files))
      .catch(() => undefined); // sealed for another one
    if (install !== undefined) add("install", install);
    await install?.close();
    await storage.close();
  }
  const archive = streamedArchive(META, (writer) => {
    add("writer", writer);
    add("writer", encryptedWriter(writer, KEY));
    return Promise.resolve();
  });
  await bytesOf(archive);
  add("systemClock", systemClock());
  return names;
}
