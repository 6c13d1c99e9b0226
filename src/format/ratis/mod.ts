/**
 * Apache Ratis: snapshots of one file, as `SimpleStateMachineStorage` keeps them.
 *
 * ```text
 * GROUP/sm/snapshot.TERM_INDEX           the state
 * GROUP/sm/snapshot.TERM_INDEX.md5       32 hexadecimal digits, a space, `*`, the name, a line feed
 * GROUP/current/raft-meta.conf           the configuration: protobuf of { 1: term, 2: index, 4: { 1: peers } }
 * GROUP/current/log_…                    segments of the log
 * ```
 *
 * Ratis itself does not compare a state with its digest when it loads one.
 *
 * @module
 */

import { hasCode, SnapshotError } from "../../errors.ts";
import { toHex } from "../../stream/mod.ts";
import { protobufFields } from "../bytes/cursor.ts";
import { runningHash } from "../bytes/hash.ts";
import { readBlocks, readSmall, type SourceFiles } from "../files.ts";
import type { Format, FormatSnapshot } from "../format.ts";
import { chosen, ForeignReader, ofOnePlace, type RunningCheck } from "../reader.ts";

/** The name of a snapshot. */
const SNAPSHOT = /^snapshot\.(\d{1,19})_(\d{1,19})$/;
/** The line of a digest. */
const DIGEST = /^([0-9a-f]{32}) [ *](.+)$/;
const MD5 = ".md5";
/** The most bytes of a digest's file, and of the configuration. */
const MAX_SMALL = 64 * 1024;

interface Found extends FormatSnapshot {
  /** The path of the file. */
  readonly path: string;
  /** The path of its digest, if it has one. */
  readonly digest: string | undefined;
}

/** The snapshots, those with a digest first, as one that is being written has none. */
function snapshotsOf({ entries }: SourceFiles): Found[] {
  const names = new Set(entries.map(({ name }) => name));
  return entries.flatMap(({ name: path, size }) => {
    const name = path.split("/").at(-1)!;
    const [, term, index] = SNAPSHOT.exec(name) ?? [];
    if (term === undefined || index === undefined) return [];
    const digest = names.has(path + MD5) ? path + MD5 : undefined;
    return [{ index: BigInt(index), term: BigInt(term), size, name, path, digest }];
  }).sort((a, b) =>
    Number(b.digest !== undefined) - Number(a.digest !== undefined) ||
    (a.index < b.index ? 1 : a.index > b.index ? -1 : 0)
  );
}

/** Reads a digest. */
async function digestOf(files: SourceFiles, { digest, name }: Found): Promise<string | undefined> {
  if (digest === undefined) return undefined;
  const [line = ""] = new TextDecoder().decode(await readSmall(files, digest, MAX_SMALL)).split("\n");
  const [, hex, of] = DIGEST.exec(line.trim()) ?? [];
  if (hex !== undefined && of!.split("/").at(-1) === name) return hex;
  throw new SnapshotError("MALFORMED", `${JSON.stringify(digest)} is not the MD5 of ${name}`, { file: digest });
}

function md5Check(expected: string, file: string): RunningCheck {
  const hash = runningHash("md5");
  return {
    update: (bytes) => hash.update(bytes),
    end() {
      const actual = toHex(hash.digest());
      if (actual === expected) return;
      throw new SnapshotError("CORRUPT", `${JSON.stringify(file)} does not have its MD5: it was changed or damaged`, {
        file,
        expected,
        actual,
      });
    },
  };
}

const list = (files: SourceFiles) => ofOnePlace(snapshotsOf(files), ({ path }) => path, "ratis");

/** A peer of the configuration. */
interface RatisPeer {
  readonly id: string;
  readonly address: string;
}

/** The path of the files of a snapshot's group. */
const currentOf = ({ path }: Found) => path.replace(/(sm\/)?[^/]*$/, "current/");

/** The path of the configuration, of which a snapshot itself has none. */
function configurationOf({ entries }: SourceFiles, found: Found): string | undefined {
  return entries.find(({ name }) => name === `${currentOf(found)}raft-meta.conf`)?.name;
}

async function peersOf(files: SourceFiles, path: string | undefined): Promise<RatisPeer[]> {
  if (path === undefined) return [];
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  const peers: RatisPeer[] = [];
  try {
    for (const { number, bytes } of protobufFields(await readSmall(files, path, MAX_SMALL), path)) {
      if (number !== 4) continue;
      for (const { number, bytes: peer } of protobufFields(bytes, path)) {
        if (number !== 1) continue;
        const fields = new Map([...protobufFields(peer, path)].map(({ number, bytes }) => [number, text(bytes)]));
        peers.push({ id: fields.get(1) ?? "", address: fields.get(2) ?? "" });
      }
    }
  } catch (error) {
    if (!hasCode(error, "MALFORMED")) throw error;
    return []; // it is beside the snapshot, and no part of it
  }
  return peers;
}

/** Apache Ratis: a group's directory, its `sm`, or a storage in which one group has snapshots. */
export const ratis: Format = {
  system: "ratis",
  detect(files) {
    const found = snapshotsOf(files);
    if (found.length === 0) return Promise.resolve(undefined);
    const sure = found.some(({ digest }) => digest !== undefined) ? "certain" : "likely";
    return Promise.resolve({ system: "ratis", sure, description: "Apache Ratis SimpleStateMachineStorage" });
  },
  async list(files) {
    return await Promise.resolve(list(files));
  },
  async open(files, index) {
    const found = list(files);
    const one = chosen(found, index, "ratis");
    const expected = await digestOf(files, one);
    const configuration = configurationOf(files, one);
    const peers = await peersOf(files, configuration);
    const current = currentOf(one);
    const log = files.entries.filter(({ name }) => name.startsWith(current)).map(({ name }) =>
      name.slice(current.length)
    )
      .filter((name) => /^log_(inprogress_)?\d+(-\d+)?$/.test(name));
    return await ForeignReader.of({
      system: "ratis",
      meta: {
        lastIncludedIndex: one.index,
        lastIncludedTerm: one.term,
        peers: peers.map(({ address }) => address).filter((address) => address !== ""),
      },
      files: [{
        name: one.name,
        size: one.size,
        read: (start, end, options) => readBlocks(files, one.path, start, end, options),
        ...(expected !== undefined && { check: () => md5Check(expected, one.path) }),
      }],
      details: {
        md5: expected,
        peers,
        retained: found.map(({ name }) => name),
        log,
      },
      checked: expected === undefined ? [] : ["the MD5 of the state"],
      unchecked: [
        ...(expected === undefined ? ["the state: it has no .md5, so it may not have been written to its end"] : []),
        "term and index are in the file's name only",
        ...(configuration !== undefined ? ["peers: raft-meta.conf has no checksum"] : []),
      ],
    });
  },
};
