/**
 * Puts files of a disk into a snapshot that is being written: by link, clone or copy, or as references.
 *
 * @module
 */

import { checkPath, checkString } from "../checks.ts";
import { hasCode, SnapshotError } from "../errors.ts";
import { type AddOptions, checkAddOptions, type FileInfo, type FileOptions } from "../snapshot/mod.ts";
import { InPlaceFile } from "./in_place_file.ts";
import type { LocalFile, LocalFiles, MediumFile, Place, PlaceWriter } from "./medium.ts";
import { writeAll } from "./write_all.ts";

/** A place and its writer, and the disk that the place is on. */
export interface AddContext {
  /** Where the files go. */
  readonly place: Place;
  /** The writer of the place. */
  readonly writer: PlaceWriter;
  /** The files of the disk that the place is on. */
  readonly local: LocalFiles;
}

/**
 * Adds all of the files at a path, or none: what {@linkcode Place.add} of a place on a disk does.
 *
 * @param context the place, its writer, and the disk
 * @param path a file or a directory
 * @param name its name in the snapshot: see `SnapshotWriter.add`
 * @param options whether it may be linked, or only referred to
 * @throws {SnapshotError} as `SnapshotWriter.add`
 */
export async function addLocal(
  context: AddContext,
  path: string,
  name: string | undefined,
  options: AddOptions = {},
): Promise<FileInfo[]> {
  checkPath(path, "path");
  if (name !== undefined) checkString(name, "name");
  const { immutable = false, reference = false } = checkAddOptions(options);
  const { local, writer } = context;
  if (reference && local.refer === undefined) throw nobodyKnows(path);
  const added: string[] = [];
  try {
    for (const file of await local.list(path, name)) {
      if (reference) await addReference(context, file);
      else await addFile(context, file, immutable);
      added.push(file.name);
    }
    return added.map((as) => writer.info(as));
  } catch (error) {
    for (const as of added) {
      if (writer.isOpen()) await writer.withdraw(as, error);
    }
    throw error;
  }
}

async function addFile(context: AddContext, file: LocalFile, link: boolean): Promise<void> {
  const { place } = context;
  let stored: MediumFile | undefined;
  await takeIn(context, file, {}, {
    open: async () => {
      stored = await put(context, file, link);
      return stored === undefined ? await place.open(file.name, "create") : stored;
    },
    readFrom: () => stored,
  });
}

/** Adds a file that stays where it is: it is read, and made durable there. */
async function addReference(context: AddContext, file: LocalFile): Promise<void> {
  await takeIn(context, file, { source: "reference" }, {
    open: () => context.local.refer!(file.path),
    readFrom: () => undefined,
  });
}

/** Where the bytes of a file go, and where they are read, if not where they were. */
interface Target {
  open(): Promise<MediumFile>;
  readFrom(): MediumFile | undefined;
}

async function takeIn(
  { local, writer }: AddContext,
  { path, name }: LocalFile,
  options: FileOptions,
  target: Target,
): Promise<void> {
  const source = await local.open(path);
  try {
    let begun = false; // false still if the name is not allowed, or that of another file
    const file = writer.stream(name, { ...options, size: source.size }, () => {
      begun = true;
      return target.open();
    });
    try {
      await writeAll(file, () => target.readFrom() ?? source, source.size);
      await source.checkUnchanged();
    } catch (error) {
      if (begun) await writer.withdraw(name, error);
      throw error;
    }
  } finally {
    await source.close();
  }
}

/** Puts a file into the snapshot without reading it. Returns nothing if it has to be copied. */
async function put(
  { place, local }: AddContext,
  { path, name }: LocalFile,
  link: boolean,
): Promise<MediumFile | undefined> {
  if (!await local.put(path, name, link)) return undefined;
  try {
    return new InPlaceFile(await place.open(name, "update"));
  } catch (error) {
    await place.unlink(name);
    if (hasCode(error, "FORBIDDEN")) return undefined; // one that may only be read cannot be synced: it is copied
    throw error;
  }
}

function nobodyKnows(path: string): SnapshotError {
  return new SnapshotError(
    "UNSUPPORTED",
    `${path} cannot be added as a reference: the storage has no \`resolve\`, so nobody could find it again`,
    { file: path },
  );
}
