// Bytes of another realm, where there is one: elsewhere bytes of a class that is derived, as Node's `Buffer` is.

class Derived extends Uint8Array {
  /** As `Buffer` has it: no copy. */
  override slice(start?: number, end?: number): Uint8Array<ArrayBuffer> {
    return this.subarray(start, end) as Uint8Array<ArrayBuffer>;
  }
}

let make: (() => Uint8Array) | undefined;

/** Eight bytes, 1 to 8, that are no instance of this realm's `Uint8Array` where that can be. */
export function foreignBytes(): Uint8Array {
  make ??= ofRealm() ?? (() => new Derived([1, 2, 3, 4, 5, 6, 7, 8]));
  return make();
}

/** Bytes whose `slice` does not copy, as that of Node's `Buffer`. */
export function sharedSlices(...bytes: number[]): Uint8Array {
  return new Derived(bytes);
}

function ofRealm(): (() => Uint8Array) | undefined {
  const { process } = globalThis as { process?: { getBuiltinModule?(name: string): unknown } };
  try {
    const vm = process?.getBuiltinModule?.("node:vm") as { runInNewContext(code: string): unknown } | undefined;
    const value = vm?.runInNewContext("() => Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)") as (() => Uint8Array) | undefined;
    return value !== undefined && value().length === 8 ? value : undefined;
  } catch {
    return undefined; // no other realm here
  }
}
