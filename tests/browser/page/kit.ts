// Looking into OPFS, and changing what is there.

import { type OpfsDirectory, opfsRoot } from "../../../src/opfs/mod.ts";

let count = 0;

/** The path of a directory that nobody has used. */
export function freshDirectory(): string {
  return `test-${++count}-${crypto.randomUUID()}`;
}

/** A directory that is there. */
export async function directoryAt(path: string): Promise<OpfsDirectory> {
  let directory = await opfsRoot();
  for (const part of path.split("/")) directory = await directory.getDirectoryHandle(part);
  return directory;
}

export async function removeDirectory(name: string): Promise<void> {
  await (await opfsRoot()).removeEntry(name, { recursive: true });
}

/** What is in each place: the names of its files without what is chance in them. */
export async function contentOf(path: string): Promise<string[][]> {
  const places = await directoryAt(`${path}/places`);
  const all: string[][] = [];
  for (const id of await Array.fromAsync(places.keys())) {
    const names = await Array.fromAsync((await places.getDirectoryHandle(id)).keys());
    all.push(names.map((name) => name.replace(/^[0-9a-f]{64}\..*$/, "file").replace(/^(corrupt-\d+).*$/, "$1")).sort());
  }
  return all.sort();
}

/** Changes one byte of a snapshot that has one file. */
export async function flipByte(path: string, index: number, position: number): Promise<void> {
  const places = await directoryAt(`${path}/places`);
  for (const id of await Array.fromAsync(places.keys())) {
    const names = await Array.fromAsync((await places.getDirectoryHandle(id)).keys());
    if (!names.includes(`snapshot_${String(index).padStart(20, "0")}`)) continue;
    const data = names.find((name) => name.includes("."))!.split(".")[1]!;
    const file = await (await directoryAt(`${path}/data/${data}`)).getFileHandle("0");
    const bytes = new Uint8Array(await (await file.getFile()).arrayBuffer());
    bytes[position]! ^= 1;
    const out = await file.createWritable();
    await out.write(bytes);
    await out.close();
    return;
  }
  throw new Error(`There is no snapshot ${index} in ${path}`);
}
