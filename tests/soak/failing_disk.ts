// A disk that fails when it is told to, and remembers nothing: it lives as long as the soak.

import { SnapshotError } from "../../mod.ts";
import { defaultDisk, type Disk, type DiskFile } from "../../src/storage/directory.ts";

/** The disk, but for what is told to fail. */
export class FailingDisk {
  /** How many more operations succeed before one fails. */
  failsAfter: number = Infinity;
  readonly disk: Disk;

  constructor() {
    const disk = defaultDisk();
    this.disk = this.#between(disk, async (mode, path) => {
      const file = await disk.open(path as string, mode as "read");
      return this.#between(file as DiskFile, undefined);
    });
  }

  /** The same object, each of whose methods may fail in its stead; `close` and `lock` do what they do all the same. */
  #between<T extends object>(target: T, open: ((mode: unknown, path: unknown) => Promise<unknown>) | undefined): T {
    return new Proxy(target, {
      get: (_, name) => {
        const method =
          (target as Record<string | symbol, ((...args: unknown[]) => Promise<unknown>) | undefined>)[name];
        if (method === undefined) return undefined; // it is asked for a `then`
        return async (...args: unknown[]) => {
          const fails = name !== "lock" && --this.failsAfter < 0;
          if (fails) this.failsAfter = Infinity;
          const done = fails && name !== "close"
            ? undefined
            : await (name === "open" && open !== undefined ? open(args[1], args[0]) : method.apply(target, args));
          if (fails) throw new SnapshotError("UNAVAILABLE", `EIO: ${String(name)}`);
          return done;
        };
      },
    });
  }
}
