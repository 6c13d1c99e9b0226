import { rm } from "node:fs/promises";
import { DirectoryBucket } from "../../src/bucket/directory/bucket.ts";
import { defaultDisk, type Disk } from "../../src/fs/mod.ts";
import { bucketConformance } from "../../src/testing/mod.ts";
import { testAll } from "../support/harness.ts";
import { overriding } from "../support/overriding.ts";
import { tempDirectory } from "../support/temp.ts";

const suiteOn = (disk: Disk) =>
  bucketConformance(async () => {
    const directory = await tempDirectory();
    const bucket = await DirectoryBucket.open(`${directory}/bucket`, { disk });
    return { bucket, cleanUp: () => rm(directory, { recursive: true }) };
  });

/** The disk, which is never asked whether anything has reached it. */
function unsynced(): Disk {
  const without = <T extends object>(target: T, name: keyof T & string): T =>
    overriding(target, { [name]: () => Promise.resolve() } as Partial<T>);
  const disk = without(defaultDisk(), "syncDirectory");
  return new Proxy(disk, {
    get: (_, key) =>
      key === "open"
        ? async (...args: Parameters<Disk["open"]>) => without(await disk.open(...args), "sync")
        : Reflect.get(disk, key),
  });
}

// Each of so many objects would be synced, with its directory, one after the other.
const isLarge = ({ name }: { readonly name: string }) => name.startsWith("1,001 objects");

testAll("DirectoryBucket", suiteOn(defaultDisk()).filter((it) => !isLarge(it)));
testAll("DirectoryBucket", suiteOn(unsynced()).filter(isLarge));
