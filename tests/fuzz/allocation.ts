// How many bytes are asked for, to the byte and the same each time: what a garbage collector shows is neither.

const ARRAYS = ["ArrayBuffer", "Uint8Array", "Uint32Array", "Float64Array"] as const;

/** Counts what is asked for in arrays of numbers. */
export class Meter {
  /** Bytes since {@linkcode begin}. */
  bytes = 0;
  readonly #originals = ARRAYS.map((name) => globalThis[name]);

  /** Begins to count, for everybody who makes an array from now on. */
  install(): void {
    ARRAYS.forEach((name, i) => {
      const original = this.#originals[i]!;
      const size = "BYTES_PER_ELEMENT" in original ? original.BYTES_PER_ELEMENT : 1;
      const counted: object = new Proxy(original, {
        construct: (target, args: unknown[], newTarget): object => {
          if (typeof args[0] === "number") this.bytes += args[0] * size;
          return Reflect.construct(target, args, newTarget === counted ? target : newTarget) as object;
        },
      });
      Object.assign(globalThis, { [name]: counted });
    });
  }

  /** Puts back what was there. */
  uninstall(): void {
    ARRAYS.forEach((name, i) => Object.assign(globalThis, { [name]: this.#originals[i] }));
  }
}
