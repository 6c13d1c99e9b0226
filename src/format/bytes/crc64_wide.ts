/**
 * CRC-64 four times as fast as JavaScript computes it, which has no quick integers of 64 bits: by a few instructions of
 * WebAssembly, over four stretches of a block at a time, as each look-up has to wait for the one before it.
 *
 * ```text
 * memory = 8 tables of 256 u64, the CRCs of the four stretches, the block
 * ```
 *
 * @module
 */

const LANES = 4;
/** Bytes of a stretch; of a power of two, stretches would be in each other's way in the cache. */
const LANE = 32_760;
/** Bytes of a block: eight of them are a MiB, but for a few bytes. */
export const WIDE_BLOCK: number = LANES * LANE;
const TABLES = 8 * 256 * 8;
const DATA = TABLES + LANES * 8;

/** Instructions, and types, of WebAssembly. */
const [BLOCK, LOOP, END, BRANCH, BRANCH_IF, EMPTY] = [0x02, 0x03, 0x0b, 0x0c, 0x0d, 0x40];
const [GET, SET, LOAD, STORE, I32, I64] = [0x20, 0x21, 0x29, 0x37, 0x7f, 0x7e];
const [I32_CONST, I64_CONST, AT_LEAST, ADD, AND, XOR, RIGHT, LEFT, WRAP] = [
  ...[0x41, 0x42, 0x4f, 0x6a, 0x83, 0x85, 0x88, 0x86, 0xa7],
] as [number, number, number, number, number, number, number, number, number];

/** A number in groups of seven bits, with a sign where there is one to take for it. */
function leb(value: number, signed = false): number[] {
  const bytes: number[] = [];
  for (let rest = value;; rest >>>= 7) {
    if (rest < (signed ? 0x40 : 0x80)) return [...bytes, rest];
    bytes.push(rest & 0x7f | 0x80);
  }
}

const load = (offset: number) => [LOAD, 3, ...leb(offset)];

/** The look-ups for eight bytes in the variable of a lane, and where they are put. */
function lookUps(lane: number): number[] {
  const code: number[] = [];
  for (let byte = 0; byte < 8; byte++) {
    const shift = byte === 0 ? [I64_CONST, 3, LEFT] : [I64_CONST, ...leb(8 * byte - 3, true), RIGHT];
    code.push(GET, lane, ...shift, I64_CONST, ...leb(255 * 8, true), AND, WRAP, ...load((7 - byte) * 2048));
    if (byte > 0) code.push(XOR);
  }
  return [...code, SET, lane];
}

/** The module: `f()` takes in a block. */
function assemble(): Uint8Array<ArrayBuffer> {
  const lanes = Array.from({ length: LANES }, (_, lane) => lane);
  const at = LANES; // the variable behind those of the lanes
  const code = [
    ...[2, LANES, I64, 1, I32],
    ...lanes.flatMap((lane) => [I32_CONST, 0, ...load(TABLES + lane * 8), SET, lane]),
    ...[BLOCK, EMPTY, LOOP, EMPTY, GET, at, I32_CONST, ...leb(LANE, true), AT_LEAST, BRANCH_IF, 1],
    ...lanes.flatMap((lane) => [GET, lane, GET, at, ...load(DATA + lane * LANE), XOR, SET, lane]),
    ...lanes.flatMap(lookUps),
    ...[GET, at, I32_CONST, 8, ADD, SET, at, BRANCH, 0, END, END],
    ...lanes.flatMap((lane) => [I32_CONST, 0, GET, lane, STORE, 3, ...leb(TABLES + lane * 8)]),
    END,
  ];
  const section = (id: number, ...content: number[]) => [id, ...leb(content.length), ...content];
  const pages = Math.ceil((DATA + WIDE_BLOCK) / 65_536);
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, 1, 0x60, 0, 0),
    ...section(3, 1, 0),
    ...section(5, 1, 0, pages),
    ...section(7, 2, 1, 0x6d, 2, 0, 1, 0x66, 0, 0), // "m" and "f"
    ...section(10, 1, ...leb(code.length), ...code),
  ]);
}

/** A CRC as its low and its high half, as it is within the computation. */
export type Halves = readonly [low: number, high: number];

/** Takes in a block of {@linkcode WIDE_BLOCK} bytes after those that a CRC is of. */
export type WideCrc = (crc: Halves, block: Uint8Array) => Halves;

/**
 * A CRC-64 of whole blocks; nothing where no code may be made of bytes, as on workerd.
 *
 * @param tables the eight tables, a low and a high half each
 */
export function wideCrc64(tables: Int32Array): WideCrc | undefined {
  let memory: WebAssembly.Memory, run: () => void;
  try {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(assemble()));
    [memory, run] = [exports.m as WebAssembly.Memory, exports.f as () => void];
  } catch {
    return undefined;
  }
  const [lanes, data] = [
    new Int32Array(memory.buffer, TABLES, LANES * 2),
    new Uint8Array(memory.buffer, DATA, WIDE_BLOCK),
  ];
  new Int32Array(memory.buffer, 0, tables.length).set(tables);
  // What each bit of a CRC becomes by as many zeros as a stretch has bytes: by it stretches are put together.
  const shifted = new Int32Array(64 * 2);
  for (let bit = 0; bit < 64; bit += LANES) {
    lanes.fill(0);
    for (let lane = 0; lane < LANES && bit + lane < 64; lane++) {
      lanes[lane * 2 + (bit + lane >> 5)] = 1 << (bit + lane & 31);
    }
    run();
    shifted.set(lanes.subarray(0, Math.min(LANES, 64 - bit) * 2), bit * 2);
  }
  return ([first, second], block) => {
    data.set(block);
    lanes.fill(0);
    [lanes[0], lanes[1]] = [first, second];
    run();
    let [low, high] = [lanes[0]!, lanes[1]!];
    for (let lane = 1; lane < LANES; lane++) {
      let [l, h] = [lanes[lane * 2]!, lanes[lane * 2 + 1]!];
      for (let bit = 0; bit < 64; bit++) {
        if (((bit < 32 ? low : high) >>> (bit & 31) & 1) === 0) continue;
        l ^= shifted[bit * 2]!;
        h ^= shifted[bit * 2 + 1]!;
      }
      [low, high] = [l, h];
    }
    return [low, high];
  };
}
