/**
 * XXH3 of 64 bits, with which RocksDB has checked its blocks since version 7. A number of 64 bits is two halves where
 * many bytes go by, and a `bigint` where few do.
 *
 * @module
 */

/** What bytes are combined with where no other secret is given: 192 bytes. */
const SECRET = "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f" +
  "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c" +
  "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8" +
  "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364" +
  "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e" +
  "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e";
const SECRET_SIZE = 192;
const [PRIME32_1, PRIME32_2, PRIME32_3] = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d] as const;
const [PRIME64_1, PRIME64_2, PRIME64_3] = [
  ...[0x9e37_79b1_85eb_ca87n, 0xc2b2_ae3d_27d4_eb4fn, 0x1656_67b1_9e37_79f9n],
] as const;
const [PRIME64_4, PRIME64_5] = [0x85eb_ca77_c2b2_ae63n, 0x27d4_eb2f_1656_67c5n] as const;
/** The bytes that the eight lanes take in at a time, and those after which the lanes are scrambled. */
const [STRIPE, BLOCK] = [64, 1024] as const;
const LANES = 8;

let secretView: DataView | undefined;

function secret(): DataView {
  if (secretView !== undefined) return secretView;
  const bytes = Uint8Array.from({ length: SECRET_SIZE }, (_, i) => parseInt(SECRET.slice(i * 2, i * 2 + 2), 16));
  return secretView = new DataView(bytes.buffer);
}

/** The hash of some bytes, with no seed. */
export function xxh3(bytes: Uint8Array): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length > 240) return ofLong(view);
  if (bytes.length > 16) return ofMiddle(view);
  return ofShort(view);
}

const u64 = (number: bigint) => BigInt.asUintN(64, number);

/** The halves of the product of two numbers, combined. */
function folded(a: bigint, b: bigint): bigint {
  const product = a * b;
  return u64(product) ^ product >> 64n;
}

function avalanche(hash: bigint): bigint {
  const mixed = u64((hash ^ hash >> 37n) * 0x1656_6791_9e37_79f9n);
  return mixed ^ mixed >> 32n;
}

/** The avalanche of XXH64, which some of the shortest have. */
function olderAvalanche(hash: bigint): bigint {
  let mixed = u64((hash ^ hash >> 33n) * PRIME64_2);
  mixed = u64((mixed ^ mixed >> 29n) * PRIME64_3);
  return mixed ^ mixed >> 32n;
}

function swapped(number: bigint): bigint {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, number);
  return view.getBigUint64(0, true);
}

const rotated = (number: bigint, bits: bigint) => u64(number << bits | number >> 64n - bits);

/** Up to 16 bytes. */
function ofShort(view: DataView): bigint {
  const length = view.byteLength;
  const key = (at: number) => secret().getBigUint64(at, true);
  if (length > 8) {
    const low = view.getBigUint64(0, true) ^ key(24) ^ key(32);
    const high = view.getBigUint64(length - 8, true) ^ key(40) ^ key(48);
    return avalanche(u64(BigInt(length) + swapped(low) + high + folded(low, high)));
  }
  if (length > 3) {
    const both = BigInt(view.getUint32(length - 4, true)) | BigInt(view.getUint32(0, true)) << 32n;
    let hash = both ^ key(8) ^ key(16);
    hash = u64((hash ^ rotated(hash, 49n) ^ rotated(hash, 24n)) * 0x9fb2_1c65_1e98_df25n);
    hash = u64((hash ^ (hash >> 35n) + BigInt(length)) * 0x9fb2_1c65_1e98_df25n);
    return hash ^ hash >> 28n;
  }
  if (length === 0) return olderAvalanche(key(56) ^ key(64));
  const [first, middle, last] = [view.getUint8(0), view.getUint8(length >> 1), view.getUint8(length - 1)];
  const all = (first << 16 | middle << 24 | last | length << 8) >>> 0;
  return olderAvalanche(BigInt(all) ^ BigInt((secret().getUint32(0, true) ^ secret().getUint32(4, true)) >>> 0));
}

/** 17 to 240 bytes. */
function ofMiddle(view: DataView): bigint {
  const length = view.byteLength;
  let sum = BigInt(length) * PRIME64_1;
  const mix = (at: number, key: number) => {
    const [low, high] = [view.getBigUint64(at, true), view.getBigUint64(at + 8, true)];
    sum += folded(low ^ secret().getBigUint64(key, true), high ^ secret().getBigUint64(key + 8, true));
  };
  if (length <= 128) {
    for (let i = Math.ceil(length / 32) - 1; i >= 0; i--) {
      mix(i * 16, i * 32);
      mix(length - 16 - i * 16, i * 32 + 16);
    }
    return avalanche(u64(sum));
  }
  for (let i = 0; i < 8; i++) mix(i * 16, i * 16);
  sum = avalanche(u64(sum));
  for (let i = 8; i < Math.floor(length / 16); i++) mix(i * 16, (i - 8) * 16 + 3);
  mix(length - 16, 136 - 17);
  return avalanche(u64(sum));
}

/** More than 240 bytes: eight lanes, whose low halves are at even places and whose high ones behind them. */
function ofLong(view: DataView): bigint {
  const length = view.byteLength;
  const lanes = new Uint32Array(LANES * 2);
  const begin = [BigInt(PRIME32_3), PRIME64_1, PRIME64_2, PRIME64_3, PRIME64_4, BigInt(PRIME32_2), PRIME64_5];
  [...begin, BigInt(PRIME32_1)].forEach((lane, i) => {
    lanes[i * 2] = Number(lane & 0xffff_ffffn);
    lanes[i * 2 + 1] = Number(lane >> 32n);
  });
  const key = secret();
  const whole = Math.floor((length - 1) / BLOCK) * BLOCK;
  for (let block = 0; block < whole; block += BLOCK) {
    for (let i = 0; i < BLOCK / STRIPE; i++) accumulate(lanes, view, block + i * STRIPE, key, i * 8);
    scramble(lanes, key);
  }
  const stripes = Math.floor((length - 1 - whole) / STRIPE);
  for (let i = 0; i < stripes; i++) accumulate(lanes, view, whole + i * STRIPE, key, i * 8);
  accumulate(lanes, view, length - STRIPE, key, SECRET_SIZE - STRIPE - 7);
  let sum = BigInt(length) * PRIME64_1;
  const lane = (i: number) => BigInt(lanes[i * 2]!) | BigInt(lanes[i * 2 + 1]!) << 32n;
  for (let i = 0; i < LANES; i += 2) {
    const at = 11 + i * 8;
    sum += folded(lane(i) ^ key.getBigUint64(at, true), lane(i + 1) ^ key.getBigUint64(at + 8, true));
  }
  return avalanche(u64(sum));
}

/** Takes a stripe in: each lane the product of its own halves, and its neighbour's bytes. */
function accumulate(lanes: Uint32Array, view: DataView, at: number, key: DataView, from: number): void {
  for (let i = 0; i < LANES * 2; i += 2) {
    const low = view.getUint32(at + i * 4, true);
    const high = view.getUint32(at + i * 4 + 4, true);
    const a = low ^ key.getUint32(from + i * 4, true);
    const b = high ^ key.getUint32(from + i * 4 + 4, true);
    add(lanes, i, Math.imul(a, b) >>> 0, highOf(a, b));
    add(lanes, i ^ 2, low, high);
  }
}

function scramble(lanes: Uint32Array, key: DataView): void {
  for (let i = 0; i < LANES * 2; i += 2) {
    const from = SECRET_SIZE - STRIPE + i * 4;
    const a = lanes[i]! ^ lanes[i + 1]! >>> 15 ^ key.getUint32(from, true);
    const b = lanes[i + 1]! ^ key.getUint32(from + 4, true);
    lanes[i] = Math.imul(a, PRIME32_1);
    lanes[i + 1] = Math.imul(b, PRIME32_1) + highOf(a, PRIME32_1);
  }
}

function add(lanes: Uint32Array, i: number, low: number, high: number): void {
  const sum = lanes[i]! + low;
  lanes[i] = sum;
  lanes[i + 1] = lanes[i + 1]! + high + (sum > 0xffff_ffff ? 1 : 0);
}

/** The high half of the product of two numbers of 32 bits. */
function highOf(a: number, b: number): number {
  const a0 = a & 0xffff;
  const b0 = b & 0xffff;
  const middle = Math.imul(a >>> 16, b0) + (Math.imul(a0, b0) >>> 16) >>> 0;
  const other = Math.imul(a0, b >>> 16) + (middle & 0xffff) >>> 0;
  return Math.imul(a >>> 16, b >>> 16) + (middle >>> 16) + (other >>> 16) >>> 0;
}
