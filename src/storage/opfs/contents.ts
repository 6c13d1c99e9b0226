/**
 * The contents of files in OPFS, each under a name of its own: several files may share one content.
 *
 * @module
 */

import { inOpfs, namesInOpfs, type OpfsDirectory, removeOpfsEntry } from "../../opfs/mod.ts";
import type { MediumFile } from "../medium.ts";
import { SegmentedFile } from "./segmented_file.ts";
import { Unwritten } from "./segment.ts";

/** A content that is open. */
interface OpenContent {
  readonly file: Promise<SegmentedFile>;
  users: number;
}

/** The contents of a storage. */
export class OpfsContents {
  readonly #directory: OpfsDirectory;
  readonly #path: string;
  readonly #unwritten = new Unwritten();
  readonly #open = new Map<string, OpenContent>();

  /**
   * @param directory where they are
   * @param path for messages
   */
  constructor(directory: OpfsDirectory, path: string) {
    this.#directory = directory;
    this.#path = path;
  }

  /** Makes an empty content, and returns its name. */
  async create(): Promise<string> {
    const id = crypto.randomUUID();
    await inOpfs("create", this.#pathOf(id), () => this.#directory.getDirectoryHandle(id, { create: true }));
    return id;
  }

  /** Opens a content; all its users share one object underneath. */
  async open(id: string): Promise<MediumFile> {
    const open: OpenContent = this.#open.get(id) ?? { file: this.look(id), users: 0 };
    this.#open.set(id, open);
    open.users++;
    try {
      const file = await open.file;
      let closed: Promise<void> | undefined;
      return {
        read: (buffer, position) => file.read(buffer, position),
        write: (bytes, position) => file.write(bytes, position),
        sync: () => file.sync(),
        size: () => file.size(),
        close: () => closed ??= this.#release(id, open),
      };
    } catch (error) {
      await this.#release(id, open);
      throw error;
    }
  }

  async #release(id: string, open: OpenContent): Promise<void> {
    // Data that cannot be written is lost: it was not promised to be durable.
    if (open.users === 1) await open.file.then((file) => file.sync()).catch(() => {});
    if (--open.users > 0) return; // it was opened again meanwhile
    this.#open.delete(id);
    await open.file.then((file) => file.forget(), () => {});
  }

  /** Returns a content as it is stored, without opening it for writes. */
  look(id: string): Promise<SegmentedFile> {
    return inOpfs("open", this.#pathOf(id), async () => {
      return new SegmentedFile(await this.#directory.getDirectoryHandle(id), this.#pathOf(id), this.#unwritten);
    });
  }

  /** The names of all contents. */
  list(): Promise<string[]> {
    return namesInOpfs(this.#directory, this.#path);
  }

  /** Removes a content. */
  remove(id: string): Promise<void> {
    return removeOpfsEntry(this.#directory, id, this.#pathOf(id));
  }

  #pathOf(id: string): string {
    return `${this.#path}/${id}`;
  }
}
