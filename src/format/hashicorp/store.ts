/**
 * HashiCorp raft's `FileSnapshotStore`, which Consul, Nomad, Vault and rqlite (before 10) keep their snapshots in.
 *
 * ```text
 * BASE/snapshots/TERM-INDEX-MILLISECONDS/meta.json, state.bin     `.tmp` behind it: not finished
 * ```
 *
 * The CRC-64 of `state.bin` is in `meta.json`, which has none itself.
 *
 * @module
 */

import { hasCode, SnapshotError } from "../../errors.ts";
import { crc64 } from "../bytes/crc.ts";
import { readBlocks, readSmall, type SourceFiles } from "../files.ts";
import type { Format, FormatSnapshot } from "../format.ts";
import { chosen, ForeignReader, ofOnePlace, type RunningCheck } from "../reader.ts";
import { hashicorpDetails, type HashicorpMeta, MAX_META_BYTES, parseHashicorpMeta, snapshotMetaOf } from "./meta.ts";

/** The file of the state. */
export const STATE = "state.bin";
/** The file of the metadata. */
export const META = "meta.json";

interface Found extends FormatSnapshot {
  readonly meta: HashicorpMeta;
  readonly state: string;
}

/** The directories that have a `meta.json`: their paths with a slash, and their names. */
function directoriesOf({ entries, name: root }: SourceFiles): { readonly path: string; readonly name: string }[] {
  return entries.filter(({ name }) => name === META || name.endsWith(`/${META}`)).map(({ name }) => {
    const path = name.slice(0, -META.length);
    return { path, name: path === "" ? root : path.slice(0, -1).split("/").at(-1)! };
  });
}

async function list(files: SourceFiles): Promise<Found[]> {
  const found: Found[] = [];
  let failure: unknown;
  for (const { path, name } of directoriesOf(files)) {
    if (name.endsWith(".tmp")) continue;
    const state = files.entries.find((entry) => entry.name === `${path}${STATE}`);
    try {
      const meta = parseHashicorpMeta(await readSmall(files, `${path}${META}`, MAX_META_BYTES), `${path}${META}`);
      const { index, term, id } = meta;
      // The store removes what `ID` names: it is not to be trusted where it is not the name of the directory.
      if (path !== "" && id !== name) {
        throw new SnapshotError(
          "MALFORMED",
          `${JSON.stringify(`${path}${META}`)} says that it is of ${JSON.stringify(id)}`,
          {
            file: `${path}${META}`,
            expected: name,
            actual: id,
          },
        );
      }
      if (state === undefined) {
        throw new SnapshotError("CORRUPT", `${JSON.stringify(`${path}${STATE}`)} is missing`, {
          file: `${path}${STATE}`,
        });
      }
      found.push({ index, term, size: state.size, name, meta, state: state.name });
    } catch (error) {
      if (!hasCode(error, "MALFORMED", "CORRUPT", "UNSUPPORTED")) throw error;
      failure ??= error; // as the store itself does, which takes the next older one
    }
  }
  if (found.length === 0 && failure !== undefined) throw failure;
  return ofOnePlace(found, ({ state }) => state.slice(0, -STATE.length), "hashicorp").sort((a, b) =>
    compare(b.term, a.term) || compare(b.index, a.index) || (b.name < a.name ? -1 : b.name > a.name ? 1 : 0)
  );
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** A check of the state against the CRC-64 that the metadata says. */
export function crcCheck(expected: bigint, file: string): RunningCheck {
  const crc = crc64("xz");
  return {
    update: (bytes) => crc.update(bytes),
    end() {
      if (crc.value === expected) return;
      throw new SnapshotError(
        "CORRUPT",
        `${JSON.stringify(file)} does not have its CRC-64: it was changed or damaged`,
        {
          file,
          expected,
          actual: crc.value,
        },
      );
    },
  };
}

/** HashiCorp raft's `FileSnapshotStore`: the store, its `snapshots`, or one snapshot. */
export const hashicorp: Format = {
  system: "hashicorp",
  detect(files) {
    const isOne = directoriesOf(files).some(({ path }) => files.entries.some(({ name }) => name === `${path}${STATE}`));
    return Promise.resolve(
      files.isDirectory && isOne
        ? { system: "hashicorp", sure: "certain", description: "HashiCorp raft FileSnapshotStore" }
        : undefined,
    );
  },
  list,
  async open(files, index) {
    const { meta, state, size, name } = chosen(await list(files), index, "hashicorp");
    const { crc } = meta;
    if (crc !== undefined && meta.size !== size) {
      throw new SnapshotError(
        "CORRUPT",
        `${JSON.stringify(state)} has ${size} bytes, and its metadata says ${meta.size}`,
        {
          file: state,
          expected: meta.size,
          actual: size,
        },
      );
    }
    return await ForeignReader.of({
      system: "hashicorp",
      meta: snapshotMetaOf(meta),
      files: [{
        name: STATE,
        size,
        read: (start, end, options) => readBlocks(files, state, start, end, options),
        ...(crc !== undefined && { check: () => crcCheck(crc, state) }),
      }],
      details: { ...hashicorpDetails(meta), directory: name },
      checked: crc === undefined ? [] : ["the CRC-64 and the size of state.bin"],
      unchecked: [
        "meta.json has no checksum: its index, term and servers may have been changed",
        ...(crc === undefined ? ["state.bin: its meta.json says no CRC-64, so it was not written to its end"] : []),
      ],
    });
  },
};
