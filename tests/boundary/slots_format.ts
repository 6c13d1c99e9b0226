// The parameters of what reads the snapshots of other systems.

import {
  blobFiles,
  detectFormat,
  listFormat,
  openFormat,
  SYSTEMS,
  WRITABLE_SYSTEMS,
  writeFormat,
} from "../../src/formats.ts";
import { members, optional, parameter, type Slot } from "./slot.ts";
import { isArrayOf, isIndex, isNothing, isObject, isOne, isString } from "./values.ts";

// deno-lint-ignore no-explicit-any -- what is given is not of the type
type Any = any;

const META = '{"Version":1,"ID":"1-5-1","Index":5,"Term":1,"Size":0,"CRC":"AAAAAAAAAAA="}';
const files = blobFiles({ "meta.json": new Blob([META]), "state.bin": new Blob([]) }, "1-5-1");

/** The parameters of `./formats`. */
export const formatSlots: readonly Slot[] = [
  parameter("blobFiles", "files", isObject, (_, v: Any) => blobFiles(v)),
  parameter("blobFiles", "files[", (v) => v instanceof Blob, (_, v: Any) => blobFiles({ a: v })),
  optional("blobFiles", "name", isString, (_, v: Any) => blobFiles(new Blob([]), v)),
  parameter("detectFormat", "files", isNothing, (_, v: Any) => detectFormat(v)),
  parameter("listFormat", "files", isNothing, (_, v: Any) => listFormat(v)),
  ...members("listFormat", (_, it) => listFormat(files, it), { system: isOne(...SYSTEMS), index: isIndex }),
  parameter("openFormat", "files", isNothing, (_, v: Any) => openFormat(v)),
  parameter("writeFormat", "reader", isNothing, (_, v: Any) => writeFormat(v, { system: "ratis" })),
  ...members("writeFormat", async (_, it) => writeFormat(await openFormat(files), it), {
    ...{ "!system": isOne(...WRITABLE_SYSTEMS), file: isString, servers: isArrayOf(isObject) },
  }, () => ({ system: "ratis" })),
  ...members("openFormat", (_, it) => openFormat(files, it), { system: isOne(...SYSTEMS), index: isIndex }),
];
