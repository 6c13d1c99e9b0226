/**
 * A place that another system wrote: a file, or a directory.
 *
 * @module
 */

import { type Detection, type FormatReader, listFormat, openFormat, type SourceFiles } from "../../format/mod.ts";
import type { Place, Row, Trouble } from "./place.ts";

/** Snapshots of another system. */
export class ForeignPlace implements Place {
  readonly name: string;
  readonly format: string;
  readonly description: string;
  readonly #files: SourceFiles;
  readonly #system: Detection["system"];

  /**
   * @param name its path
   * @param files what is there
   * @param detection the system that wrote it
   */
  constructor(name: string, files: SourceFiles, { system, description }: Detection) {
    this.name = name;
    this.format = this.#system = system;
    this.description = description;
    this.#files = files;
  }

  troubles(): Promise<readonly Trouble[]> {
    return Promise.resolve([]);
  }

  async list(): Promise<readonly Row[]> {
    return (await listFormat(this.#files, { system: this.#system })).map((one) => ({ ...one }));
  }

  async open(index?: bigint): Promise<FormatReader> {
    return await openFormat(this.#files, { system: this.#system, ...(index !== undefined && { index }) });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
