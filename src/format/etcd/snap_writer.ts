/**
 * Writing `.snap` files of etcd's raft: see `raft_snapshot.ts` for what stands where.
 *
 * @module
 */

import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { SnapshotError } from "../../errors.ts";
import type { SnapshotReader } from "../../snapshot/mod.ts";
import { crc32c } from "../bytes/crc.ts";
import type { HashicorpServer } from "../hashicorp/mod.ts";

const [VARINT, BYTES] = [0, 2];
/** A member of etcd: a number of 64 bits, in hexadecimal digits. */
const MEMBER = /^[0-9a-f]{1,16}$/i;

/** The members by their numbers. */
function membersOf(reader: SnapshotReader, servers: readonly HashicorpServer[] | undefined) {
  const { details = {} } = reader as { readonly details?: Readonly<Record<string, unknown>> };
  const own = details.voters === undefined ? undefined : details.learners as readonly string[];
  const [voters, learners] = servers === undefined
    ? [reader.meta.peers, own ?? []]
    : [servers.filter(({ suffrage }) => suffrage === "voter"), servers.filter(({ suffrage }) => suffrage !== "voter")]
      .map((some) => some.map(({ id }) => id)) as [string[], string[]];
  for (const id of [...voters, ...learners]) {
    if (MEMBER.test(id)) continue;
    throw new SnapshotError(
      "UNSUPPORTED",
      `${
        JSON.stringify(id)
      } is no member of etcd: name the servers, with the hexadecimal numbers of the members as ids`,
      { actual: id },
    );
  }
  const numbers = (ids: readonly string[]) => ids.map((id) => BigInt(`0x${id}`));
  return { voters: numbers(voters), learners: numbers(learners) };
}

/** The name that etcd looks for. */
export function snapName({ meta: { lastIncludedIndex: index, lastIncludedTerm: term } }: SnapshotReader): string {
  return `${term.toString(16).padStart(16, "0")}-${index.toString(16).padStart(16, "0")}.snap`;
}

/**
 * The content of a `.snap` file. Its check stands before what it is of: the state is read twice.
 *
 * @param reader the snapshot
 * @param file which of its files is the state
 * @param servers the members; by default the peers of the snapshot
 */
export async function* snapOfState(
  reader: SnapshotReader,
  file: string,
  servers: readonly HashicorpServer[] | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { lastIncludedIndex: index, lastIncludedTerm: term } = reader.meta;
  const { voters, learners } = membersOf(reader, servers);
  const members = new BinaryWriter();
  for (const id of voters) members.tag(1, VARINT).uint64(id);
  for (const id of learners) members.tag(2, VARINT).uint64(id);
  members.tag(5, VARINT).bool(false);
  const metadata = new BinaryWriter().tag(1, BYTES).bytes(members.finish()).tag(2, VARINT).uint64(index)
    .tag(3, VARINT).uint64(term);
  const size = await reader.size(file);
  const before = new BinaryWriter().tag(1, BYTES).uint32(size).finish();
  const after = new BinaryWriter().tag(2, BYTES).bytes(metadata.finish()).finish();
  const whole = before.length + size + after.length;
  if (whole >= 2 ** 32) {
    throw new SnapshotError("UNSUPPORTED", `A .snap file has its state in memory: ${size} bytes are too many`, {
      file,
    });
  }
  const [first, second] = [crc32c(), crc32c()];
  first.update(before);
  second.update(before);
  for await (const piece of reader.file(file)) first.update(piece);
  first.update(after);
  yield new BinaryWriter().tag(1, VARINT).uint32(Number(first.value)).tag(2, BYTES).uint32(whole).finish();
  yield before;
  let length = 0;
  for await (const piece of reader.file(file)) {
    second.update(piece);
    length += piece.length;
    yield piece;
  }
  second.update(after);
  if (first.value !== second.value || length !== size) {
    throw new SnapshotError("CORRUPT", `${JSON.stringify(file)} was not the same when it was read again`, { file });
  }
  yield after;
}
