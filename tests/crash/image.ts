// What is on a disk: files and directories by number, as a file system has them; and what changes it. What is on one
// disk is shared with thousands of others, and copied by the first who changes it.

/** A file. Bytes beyond the size were written, and do not count until the size says so. */
export interface FileNode {
  readonly size: number;
  readonly bytes: Uint8Array;
}

/** A directory: the numbers of what is in it, by name. */
export type DirectoryNode = ReadonlyMap<string, number>;

/** All of a disk. Number 0 is the root. */
export type Image = ReadonlyMap<number, FileNode | DirectoryNode>;

/** A disk with nothing on it. */
export const EMPTY: Image = new Map([[0, new Map<string, number>()]]);

/** A change that is made as a whole or not at all: a block, a size, or the names that an operation changes together. */
export type Effect =
  | { readonly kind: "block"; readonly node: number; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: "size"; readonly node: number; readonly size: number }
  | { readonly kind: "new"; readonly node: number; readonly content: FileNode | DirectoryNode }
  | {
    readonly kind: "names";
    readonly node: number;
    readonly names: ReadonlyMap<string, number | undefined>;
    /** The directory, and the name there, that a rename took it from, if that is another one: both at once. */
    readonly from?: { readonly node: number; readonly name: string };
  };

export function isFile(node: FileNode | DirectoryNode | undefined): node is FileNode {
  return node !== undefined && "bytes" in node;
}

/** The disk after changes, made in their order. */
export function applied(image: Image, effects: Iterable<Effect>): Image {
  const next = new Map(image);
  const owned = new Set<number>();
  for (const effect of effects) apply(next, effect, owned);
  return next;
}

/**
 * Makes a change.
 *
 * @param owned the files that belong to this disk alone, and need not be copied to be written to
 */
export function apply(image: Map<number, FileNode | DirectoryNode>, effect: Effect, owned: Set<number>): void {
  const { kind, node } = effect;
  const old = image.get(node);
  if (kind === "new") image.set(node, effect.content);
  else if (kind === "names") {
    const names = new Map(old as DirectoryNode);
    for (const [name, number] of effect.names) {
      if (number === undefined) names.delete(name);
      else names.set(name, number);
    }
    image.set(node, names);
    if (effect.from !== undefined) {
      const left = new Map(image.get(effect.from.node) as DirectoryNode);
      left.delete(effect.from.name);
      image.set(effect.from.node, left);
    }
  } else if (kind === "size") {
    const { size, bytes } = old as FileNode;
    image.set(node, { size: Math.max(size, effect.size), bytes });
  } else {
    const { size, bytes } = old as FileNode;
    const end = effect.at + effect.bytes.length;
    let target = bytes;
    if (!owned.has(node) || end > bytes.length) {
      target = new Uint8Array(Math.max(end, bytes.length, size));
      target.set(bytes);
      owned.add(node);
    }
    target.set(effect.bytes, effect.at);
    image.set(node, { size, bytes: target });
  }
}

/** What a file holds: zeros where it was made longer and nothing was written. */
export function contentOf({ size, bytes }: FileNode): Uint8Array {
  if (bytes.length >= size) return bytes.subarray(0, size);
  const content = new Uint8Array(size);
  content.set(bytes);
  return content;
}

/** The parts of a path. */
export function partsOf(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}

/** The number of what is at a path. */
export function nodeAt(image: Image, path: string): number | undefined {
  let node = 0;
  for (const part of partsOf(path)) {
    const directory = image.get(node)!;
    const next = isFile(directory) ? undefined : directory.get(part);
    if (next === undefined) return undefined;
    node = next;
  }
  return node;
}

/** The names in a directory, sorted; none if it is not there. */
export function namesIn(image: Image, path: string): string[] {
  const node = nodeAt(image, path);
  return node === undefined ? [] : [...(image.get(node) as DirectoryNode).keys()].sort();
}
