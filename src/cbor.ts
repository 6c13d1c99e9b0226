/**
 * Values as CBOR, for those who have `cborg`.
 *
 * @example
 * ```ts
 * import { KeyValueMachine } from "@snapstream/snapstream";
 * import { cborCodec } from "@snapstream/snapstream/cbor";
 *
 * const machine = new KeyValueMachine(cborCodec<{ name: string; picture: Uint8Array }>());
 * console.assert(machine.size === 0);
 * ```
 *
 * @module
 */

export { cborCodec } from "./state/codecs/cbor.ts";
