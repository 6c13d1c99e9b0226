// What braft itself wrote (`accepted`, values as it read them back), and what it was shown by hand (`rejects`).
// Made from its fixtures: `metaFile.hex` of each EXPECTED.json, and the files `__raft_snapshot_meta` of the rejects.

import { fromHex } from "./samples.ts";

/** A manifest of braft's and what it says. */
export interface BraftManifest {
  readonly name: string;
  readonly hex: string;
  readonly index: bigint;
  readonly term: bigint;
  readonly peers: readonly string[];
  readonly oldPeers: readonly string[];
  readonly files: readonly {
    readonly name: string;
    readonly userMetaHex?: string;
    readonly source?: "local" | "reference";
    readonly checksum?: string;
  }[];
}

/** Written by braft. */
export const accepted: readonly BraftManifest[] = [
  {
    name: "bigint",
    hex:
      "000000410a38088180808080808010108180808080201a123132372e302e302e313a383230303a303a301a123132372e302e302e313a383230313a313a3112050a01731200",
    index: 9007199254740993n,
    term: 1099511627777n,
    peers: ["127.0.0.1:8200:0:0", "127.0.0.1:8201:1:1"],
    oldPeers: [],
    files: [{ name: "s" }],
  },
  {
    name: "empty",
    hex: "0000001a0a18080110011a123132372e302e302e313a383230303a303a30",
    index: 1n,
    term: 1n,
    peers: ["127.0.0.1:8200:0:0"],
    oldPeers: [],
    files: [],
  },
  {
    name: "joint",
    hex:
      "000000860a7708801010071a1131302e302e302e323a383230303a303a301a1131302e302e302e333a383230303a303a301a1131302e302e302e343a383230303a303a30221131302e302e302e313a383230303a303a30221131302e302e302e323a383230303a303a30221131302e302e302e333a383230303a303a30120b0a05737461746512021000",
    index: 2048n,
    term: 7n,
    peers: ["10.0.0.2:8200:0:0", "10.0.0.3:8200:0:0", "10.0.0.4:8200:0:0"],
    oldPeers: ["10.0.0.1:8200:0:0", "10.0.0.2:8200:0:0", "10.0.0.3:8200:0:0"],
    files: [{ name: "state", source: "local" }],
  },
  {
    name: "leftovers",
    hex:
      "000000470a3e08c80110011a1131302e302e302e313a383230303a303a301a1131302e302e302e323a383230303a303a301a1131302e302e302e333a383230303a303a3012050a01731200",
    index: 200n,
    term: 1n,
    peers: ["10.0.0.1:8200:0:0", "10.0.0.2:8200:0:0", "10.0.0.3:8200:0:0"],
    oldPeers: [],
    files: [{ name: "s" }],
  },
  {
    name: "names",
    hex:
      "0000007e0a18084d10021a123132372e302e302e313a383230303a303a3012050a015a120012050a01611200120b0a076120622e747874120012050a01621200120b0a07642f652f662f67120012090a05656d707479120012150a11e69687e4bbb62fe5bfabe785a72e62696e120012070a03efbd9e120012080a04f09f98801200",
    index: 77n,
    term: 2n,
    peers: ["127.0.0.1:8200:0:0"],
    oldPeers: [],
    files: [
      { name: "Z" },
      { name: "a" },
      { name: "a b.txt" },
      { name: "b" },
      { name: "d/e/f/g" },
      { name: "empty" },
      { name: "文件/快照.bin" },
      { name: "～" },
      { name: "😀" },
    ],
  },
  {
    name: "nested",
    hex:
      "000000c90a3e08e80710031a1131302e302e302e313a383230303a303a301a1131302e302e302e323a383230303a303a301a1131302e302e302e333a383230303a303a3012130a0f646174612f73746174652e6a736f6e120012720a15646174612f7461626c652f3030303030312e73737412590a0e0001feff20757365722d6d6574611a477368613235363a32326136363637633063313338306436626433343239336538393339323731323930336337626634396634363339376537633766613430303439363134396431",
    index: 1000n,
    term: 3n,
    peers: ["10.0.0.1:8200:0:0", "10.0.0.2:8200:0:0", "10.0.0.3:8200:0:0"],
    oldPeers: [],
    files: [{ name: "data/state.json" }, {
      name: "data/table/000001.sst",
      userMetaHex: "0001feff20757365722d6d657461",
      checksum: "sha256:22a6667c0c1380d6bd34293e89392712903c7bf49f46397e7c7fa400496149d1",
    }],
  },
  {
    name: "reference",
    hex:
      "0000006f0a3e08f40310041a1131302e302e302e313a383230303a303a301a1131302e302e302e323a383230303a303a301a1131302e302e302e333a383230303a303a3012220a0c65787465726e616c2e737374121210011a0e63726333323a646561646265656612090a056c6f63616c1200",
    index: 500n,
    term: 4n,
    peers: ["10.0.0.1:8200:0:0", "10.0.0.2:8200:0:0", "10.0.0.3:8200:0:0"],
    oldPeers: [],
    files: [{ name: "external.sst", source: "reference", checksum: "crc32:deadbeef" }, { name: "local" }],
  },
];

/** Made by hand, and whether braft takes it. */
export const rejects: readonly { readonly name: string; readonly hex: string; readonly braftAccepts: boolean }[] = [
  {
    name: "all-zero",
    hex:
      "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
    braftAccepts: false,
  },
  {
    name: "body-garbage",
    hex: "00000028ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    braftAccepts: false,
  },
  {
    name: "dir-index-mismatch",
    hex: "000000220a1908e70710031a123132372e302e302e313a383230303a303a3012050a01611200",
    braftAccepts: true,
  },
  { name: "empty-file", hex: "", braftAccepts: false },
  {
    name: "file-without-meta",
    hex: "000000200a1908e80710031a123132372e302e302e313a383230303a303a3012030a0161",
    braftAccepts: true,
  },
  { name: "header-2-bytes", hex: "0000", braftAccepts: false },
  {
    name: "little-endian",
    hex: "220000000a1908e80710031a123132372e302e302e313a383230303a303a3012050a01611200",
    braftAccepts: false,
  },
  {
    name: "name-absolute",
    hex: "0000002e0a1908e80710031a123132372e302e302e313a383230303a303a3012110a0d2f6574632f686f73746e616d651200",
    braftAccepts: true,
  },
  {
    name: "negative-length",
    hex: "ffffffff0a1908e80710031a123132372e302e302e313a383230303a303a3012050a01611200",
    braftAccepts: false,
  },
  {
    name: "ok-handmade",
    hex: "000000220a1908e80710031a123132372e302e302e313a383230303a303a3012050a01611200",
    braftAccepts: true,
  },
  {
    name: "prefix-newer",
    hex: "000000220a1908e80710031a123132372e302e302e313a383230303a303a3012050a01611200",
    braftAccepts: false,
  },
  {
    name: "prefix-same",
    hex: "000000220a1908e80710031a123132372e302e302e313a383230303a303a3012050a01611200",
    braftAccepts: true,
  },
  {
    name: "sidecar-in-snapshot",
    hex: "000000220a1908e80710031a123132372e302e302e313a383230303a303a3012050a01611200",
    braftAccepts: true,
  },
  {
    name: "source-unknown-enum",
    hex: "000000240a1908e80710031a123132372e302e302e313a383230303a303a3012070a016112021007",
    braftAccepts: true,
  },
  {
    name: "unknown-file",
    hex: "000000280a1908e80710031a123132372e302e302e313a383230303a303a30120b0a01611200c23e03657874",
    braftAccepts: true,
  },
  {
    name: "unknown-snapshotmeta",
    hex: "000000280a1f08e80710031a123132372e302e302e313a383230303a303a30c23e0365787412050a01611200",
    braftAccepts: true,
  },
  {
    name: "unpadded",
    hex: "000000220a1908e80710031a123132372e302e302e313a383230303a303a3012050a01611200",
    braftAccepts: false,
  },
];

/** The files of a storage that braft wrote, by their paths: those of one of {@linkcode accepted}, each with the content. */
export function braftFiles(name: string, content: Uint8Array): Record<string, Uint8Array> {
  const { hex, index, files } = accepted.find((manifest) => manifest.name === name)!;
  const directory = `snapshot_${String(index).padStart(20, "0")}`;
  const own = files.filter(({ source }) => source !== "reference");
  return {
    ...Object.fromEntries(own.map(({ name }) => [`${directory}/${name}`, content])),
    [`${directory}/__raft_snapshot_meta`]: fromHex(hex),
  };
}
