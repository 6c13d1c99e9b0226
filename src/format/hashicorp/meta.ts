/**
 * The metadata of HashiCorp raft's snapshots: `meta.json`, in a `FileSnapshotStore` and in Consul's archives.
 *
 * ```text
 * {"Version":1,"ID":"3-10-1795289823797","Index":10,"Term":3,"Peers":base64 of MessagePack,
 *  "Configuration":{"Servers":[{"Suffrage":0,"ID":"node1","Address":"h:p"}]},"ConfigurationIndex":2,
 *  "Size":27,"CRC":base64 of 8 bytes}                                      an archive's has no CRC
 * ```
 *
 * Nothing protects it: damage is found only where it makes no sense any more.
 *
 * @module
 */

import { messageOf, SnapshotError } from "../../errors.ts";
import { MAX_INDEX, type SnapshotMeta } from "../../snapshot/mod.ts";
import { bytesOfText, textOfBytes } from "../../stream/mod.ts";
import { Cursor } from "../bytes/cursor.ts";

/** The longest `meta.json` that is read: archives allow 8 KiB, and a store names no limit. */
export const MAX_META_BYTES: number = 1024 * 1024;

/** A server of the configuration. */
export interface HashicorpServer {
  /** Whether it votes. */
  readonly suffrage: "voter" | "nonvoter" | "staging";
  /** Its identifier. */
  readonly id: string;
  /** Its address. */
  readonly address: string;
}

/** The metadata. */
export interface HashicorpMeta {
  readonly version: number;
  readonly id: string;
  readonly index: bigint;
  readonly term: bigint;
  readonly servers: readonly HashicorpServer[];
  readonly configurationIndex: bigint;
  readonly size: number;
  /** The CRC-64 of the state, if it says one. */
  readonly crc: bigint | undefined;
}

const SUFFRAGES = ["voter", "nonvoter", "staging"] as const;
/** Marks an integer that a number of JavaScript may not hold, in the place of which a text is parsed. */
const LONG = "\0integer ";

/** Reads `meta.json`. */
export function parseHashicorpMeta(bytes: Uint8Array, file: string): HashicorpMeta {
  const json = parseJson(bytes, file);
  const integer = (name: string) => {
    const value = json[name];
    const long = typeof value === "string" && value.startsWith(LONG) ? BigInt(value.slice(LONG.length)) : undefined;
    const found = long ?? (Number.isSafeInteger(value) ? BigInt(value as number) : undefined);
    if (found !== undefined && found >= 0n && found < 1n << 64n) return found;
    throw malformed(file, `its ${name} is no number from 0 to 2^64 - 1`);
  };
  const version = Number(integer("Version"));
  if (version > 1) {
    throw new SnapshotError("UNSUPPORTED", `${JSON.stringify(file)} is of version ${version}; 0 and 1 are known`, {
      file,
      expected: 1,
      actual: version,
    });
  }
  const [index, term, size] = [integer("Index"), integer("Term"), integer("Size")];
  if (index > MAX_INDEX || term > MAX_INDEX) throw malformed(file, "its index or its term is over 2^63 - 1");
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw malformed(file, "its size is over 2^53");
  if (typeof json.ID !== "string") throw malformed(file, "it has no ID");
  return {
    version,
    id: json.ID,
    index,
    term,
    servers: json.Configuration === undefined ? legacyPeers(json.Peers, file) : serversOf(json.Configuration, file),
    configurationIndex: json.ConfigurationIndex === undefined ? 0n : integer("ConfigurationIndex"),
    size: Number(size),
    crc: crcOf(json.CRC, file),
  };
}

/** Parses JSON whose integers may have 64 bits. */
function parseJson(bytes: Uint8Array, file: string): Record<string, unknown> {
  let json: unknown;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    const quoted = text.replace(
      /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g,
      (token) => /^\d{16,20}$/.test(token) ? JSON.stringify(LONG + token) : token,
    );
    json = JSON.parse(quoted);
  } catch (error) {
    throw malformed(file, messageOf(error), error);
  }
  if (typeof json === "object" && json !== null && !Array.isArray(json)) return json as Record<string, unknown>;
  throw malformed(file, "it is no object");
}

function serversOf(configuration: unknown, file: string): HashicorpServer[] {
  const { Servers: servers = null } = (configuration ?? {}) as { Servers?: unknown };
  if (servers === null) return [];
  if (!Array.isArray(servers)) throw malformed(file, "its Servers are no array");
  return servers.map((server) => {
    const { Suffrage, ID, Address } = (server ?? {}) as Record<string, unknown>;
    const suffrage = SUFFRAGES[Suffrage as number];
    if (suffrage === undefined || typeof ID !== "string" || typeof Address !== "string") {
      throw malformed(file, "one of its Servers has no Suffrage, ID or Address");
    }
    return { suffrage, id: ID, address: Address };
  });
}

function crcOf(value: unknown, file: string): bigint | undefined {
  if (value === null || value === undefined) return undefined;
  const bytes = typeof value === "string" ? fromBase64(value) : undefined;
  if (bytes?.length !== 8) throw malformed(file, "its CRC is not 8 bytes of base64");
  return new DataView(bytes.buffer).getBigUint64(0);
}

/** Before configurations there were addresses, in MessagePack: an array of raw strings. */
function legacyPeers(value: unknown, file: string): HashicorpServer[] {
  const bytes = typeof value === "string" ? fromBase64(value) : undefined;
  if (bytes === undefined || bytes.length === 0) return [];
  const cursor = new Cursor(bytes, file);
  const length = (tag: number, fixed: number, mask: number, wide: number) =>
    (tag & ~mask) === fixed ? tag & mask : tag === wide ? cursor.u16() : tag === wide + 1 ? cursor.u32() : -1;
  const count = length(cursor.u8(), 0x90, 0x0f, 0xdc);
  if (count < 0 || count > cursor.left) throw malformed(file, "its Peers are no array of MessagePack");
  return Array.from({ length: count }, () => {
    const size = length(cursor.u8(), 0xa0, 0x1f, 0xda);
    if (size < 0) throw malformed(file, "one of its Peers is no text");
    const address = cursor.text(size);
    return { suffrage: "voter" as const, id: address, address };
  });
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return bytesOfText(atob(text)) as Uint8Array<ArrayBuffer>;
  } catch {
    return undefined;
  }
}

/** The metadata in our terms: its peers are the addresses of those that vote. */
export function snapshotMetaOf({ index, term, servers, id }: HashicorpMeta): SnapshotMeta {
  const millis = Number(/-(\d{1,15})$/.exec(id)?.[1] ?? NaN);
  return {
    lastIncludedIndex: index,
    lastIncludedTerm: term,
    peers: servers.filter(({ suffrage }) => suffrage === "voter").map(({ address }) => address),
    ...(Number.isSafeInteger(millis) && { createdAt: millis }),
  };
}

/** Encodes `meta.json`, with its keys in Go's order. */
export function encodeHashicorpMeta(meta: HashicorpMeta, inArchive: boolean): Uint8Array {
  const voters = meta.servers.filter(({ suffrage }) => suffrage === "voter");
  const servers = meta.servers.map(({ suffrage, id, address }) => ({
    Suffrage: SUFFRAGES.indexOf(suffrage),
    ID: id,
    Address: address,
  }));
  const crc = new Uint8Array(8);
  new DataView(crc.buffer).setBigUint64(0, meta.crc ?? 0n);
  const members = [
    `"Version":1`,
    `"ID":${JSON.stringify(meta.id)}`,
    `"Index":${meta.index}`,
    `"Term":${meta.term}`,
    `"Peers":${JSON.stringify(btoa(textOfBytes(encodePeers(voters.map(({ address }) => address)))))}`,
    `"Configuration":${JSON.stringify({ Servers: servers })}`,
    `"ConfigurationIndex":${meta.configurationIndex}`,
    `"Size":${meta.size}`,
    ...(inArchive ? [] : [`"CRC":${JSON.stringify(btoa(textOfBytes(crc)))}`]),
  ];
  return new TextEncoder().encode(`{${members.join(",")}}\n`);
}

function encodePeers(addresses: readonly string[]): Uint8Array {
  const bytes: number[] = addresses.length < 16
    ? [0x90 | addresses.length]
    : [0xdc, addresses.length >> 8, addresses.length & 0xff];
  for (const address of addresses) {
    const text = new TextEncoder().encode(address);
    if (text.length < 32) bytes.push(0xa0 | text.length);
    else bytes.push(0xda, text.length >> 8, text.length & 0xff);
    bytes.push(...text);
  }
  return Uint8Array.from(bytes);
}

/** The members of `details` that a store and an archive share. */
export function hashicorpDetails(meta: HashicorpMeta): Record<string, unknown> {
  const { version, id, servers, configurationIndex } = meta;
  return { version, id, servers, configurationIndex };
}

function malformed(file: string, what: string, cause?: unknown): SnapshotError {
  return new SnapshotError("MALFORMED", `${JSON.stringify(file)} is not the metadata of a snapshot: ${what}`, {
    file,
    cause,
  });
}
