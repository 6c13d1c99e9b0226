/**
 * Digests of whole files, computed as bytes come: Web Crypto wants all bytes at once. Node, Deno and Bun have them
 * natively; elsewhere they are computed here.
 *
 * @module
 */

/** A digest that is computed as bytes come. */
export interface RunningHash {
  /** Takes in bytes. */
  update(bytes: Uint8Array): void;
  /** The digest of all bytes; to be called once, last. */
  digest(): Uint8Array;
}

interface NativeCrypto {
  createHash(name: string): { update(bytes: Uint8Array): unknown; digest(): Uint8Array };
}

/**
 * A running digest.
 *
 * @param name which one: `"md5"` for Ratis, `"sha256"` for the others
 */
export function runningHash(name: "md5" | "sha256"): RunningHash {
  const native = nativeCrypto()?.createHash(name);
  if (native !== undefined) {
    return { update: (bytes) => void native.update(bytes), digest: () => new Uint8Array(native.digest()) };
  }
  return portableHash(name);
}

/** The same without anything native. */
export function portableHash(name: "md5" | "sha256"): RunningHash {
  return name === "md5" ? new BlockHash(MD5) : new BlockHash(SHA256);
}

/** The runtime's own module, where there is one: not an import, so that the rest runs without it. */
function nativeCrypto(): NativeCrypto | undefined {
  const { process } = globalThis as { process?: { getBuiltinModule?: (name: string) => unknown } };
  try {
    return process?.getBuiltinModule?.("node:crypto") as NativeCrypto | undefined;
  } catch {
    return undefined; // a runtime that has `process` and not this
  }
}

/** A digest of blocks of 64 bytes that ends with the length, as MD5 and the SHA-2s do. */
interface Algorithm {
  readonly initial: readonly number[];
  readonly littleEndian: boolean;
  readonly block: (state: Int32Array, block: DataView, words: Int32Array) => void;
}

class BlockHash implements RunningHash {
  readonly #algorithm: Algorithm;
  readonly #state: Int32Array;
  readonly #words = new Int32Array(64);
  readonly #block = new Uint8Array(64);
  readonly #view = new DataView(this.#block.buffer);
  #held = 0;
  #length = 0;

  constructor(algorithm: Algorithm) {
    this.#algorithm = algorithm;
    this.#state = Int32Array.from(algorithm.initial);
  }

  update(bytes: Uint8Array): void {
    this.#length += bytes.length;
    let at = 0;
    while (at < bytes.length) {
      const length = Math.min(64 - this.#held, bytes.length - at);
      this.#block.set(bytes.subarray(at, at + length), this.#held);
      this.#held += length;
      at += length;
      if (this.#held === 64) this.#flush();
    }
  }

  digest(): Uint8Array {
    const { littleEndian } = this.#algorithm;
    const bits = BigInt(this.#length) * 8n;
    this.#block[this.#held++] = 0x80;
    this.#block.fill(0, this.#held);
    if (this.#held > 56) {
      this.#flush();
      this.#block.fill(0);
    }
    this.#view.setBigUint64(56, bits, littleEndian);
    this.#flush();
    const result = new DataView(new ArrayBuffer(this.#state.length * 4));
    this.#state.forEach((word, i) => result.setInt32(i * 4, word, littleEndian));
    return new Uint8Array(result.buffer);
  }

  #flush(): void {
    this.#algorithm.block(this.#state, this.#view, this.#words);
    this.#held = 0;
  }
}

const rotateLeft = (value: number, by: number) => value << by | value >>> 32 - by;
const rotateRight = (value: number, by: number) => value >>> by | value << 32 - by;
const MD5_SHIFTS = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21];

const MD5: Algorithm = {
  initial: [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476],
  littleEndian: true,
  block(state, block, words) {
    for (let i = 0; i < 16; i++) words[i] = block.getInt32(i * 4, true);
    let [a, b, c, d] = [state[0]!, state[1]!, state[2]!, state[3]!];
    for (let i = 0; i < 64; i++) {
      const round = i >> 4;
      const mixed = round === 0
        ? b & c | ~b & d
        : round === 1
        ? d & b | ~d & c
        : round === 2
        ? b ^ c ^ d
        : c ^ (b | ~d);
      const index = (round === 0 ? i : round === 1 ? 5 * i + 1 : round === 2 ? 3 * i + 5 : 7 * i) & 15;
      const constant = Math.floor(Math.abs(Math.sin(i + 1)) * 2 ** 32) | 0;
      const sum = a + mixed + constant + words[index]! | 0;
      [a, d, c, b] = [d, c, b, b + rotateLeft(sum, MD5_SHIFTS[round * 4 + (i & 3)]!) | 0];
    }
    [a, b, c, d].forEach((word, i) => state[i] = state[i]! + word | 0);
  },
};

let constants: Int32Array | undefined;

/** The first 32 bits of the fractions of the cube roots of the first 64 primes. */
function sha256Constants(): Int32Array {
  if (constants !== undefined) return constants;
  const primes: number[] = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  return constants = Int32Array.from(primes, (prime) => (Math.cbrt(prime) % 1) * 2 ** 32 | 0);
}

const SHA256: Algorithm = {
  initial: [
    ...[0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a],
    ...[0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19],
  ],
  littleEndian: false,
  block(state, block, w) {
    const k = sha256Constants();
    for (let i = 0; i < 64; i++) {
      if (i < 16) {
        w[i] = block.getInt32(i * 4);
        continue;
      }
      const [x, y] = [w[i - 15]!, w[i - 2]!];
      const first = rotateRight(x, 7) ^ rotateRight(x, 18) ^ x >>> 3;
      const second = rotateRight(y, 17) ^ rotateRight(y, 19) ^ y >>> 10;
      w[i] = w[i - 16]! + first + w[i - 7]! + second | 0;
    }
    let [a, b, c, d, e, f, g, h] = state as unknown as [number, number, number, number, number, number, number, number];
    for (let i = 0; i < 64; i++) {
      const high = rotateRight(e, 6) ^ rotateRight(e, 11) ^ rotateRight(e, 25);
      const one = h + high + (e & f ^ ~e & g) + k[i]! + w[i]! | 0;
      const low = rotateRight(a, 2) ^ rotateRight(a, 13) ^ rotateRight(a, 22);
      const two = low + (a & b ^ a & c ^ b & c) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, d + one | 0, c, b, a, one + two | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((word, i) => state[i] = state[i]! + word | 0);
  },
};
