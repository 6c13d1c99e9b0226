// A node of the demo that is going to be killed: it says when it is in the middle of a save or an install, and then
// stays there.

import { defaultDisk, type Disk, type DiskFile } from "../../src/fs/mod.ts";
import { cityCommands } from "./cities.ts";
import { openNode } from "./node.ts";

const [what, directory, argument] = Deno.args as [string, string, string];

/** A disk on which the writes after the first few never end. */
function stuckDisk(writes: number): Disk {
  const disk = defaultDisk();
  let armed = false;
  const stuck = (file: DiskFile): DiskFile => ({
    read: (buffer, position) => file.read(buffer, position),
    async write(bytes, position) {
      if (armed && --writes < 0) {
        console.log("in the middle");
        await new Promise(() => setInterval(() => {}, 1000)); // until it is killed
      }
      await file.write(bytes, position);
    },
    sync: () => file.sync(),
    size: () => file.size(),
    close: () => file.close(),
  });
  addEventListener("armed", () => armed = true);
  return new Proxy(disk, {
    get(target, key) {
      if (key !== "open") return (Reflect.get(target, key) as (...args: unknown[]) => unknown).bind(target);
      return async (path: string, mode: "read" | "create" | "update") => {
        const file = await target.open(path, mode);
        return path.includes("/state") ? stuck(file) : file;
      };
    },
  });
}

const { replica } = await openNode(directory, { disk: stuckDisk(what === "save" ? 0 : 12) });
if (what === "save") {
  const commands = cityCommands(replica.machine);
  const count = Number(argument);
  for (let at = 0; at < count; at += 1000) {
    await Promise.all(commands.slice(at, Math.min(at + 1000, count)).map((command) => replica.propose(command)));
  }
  console.log(`acknowledged ${replica.status().appliedIndex}`);
  await replica.snapshot().result;
  dispatchEvent(new Event("armed"));
  await Promise.all(commands.slice(0, 100).map((command) => replica.propose(command)));
  console.log(`acknowledged ${replica.status().appliedIndex}`);
  await replica.snapshot().result;
} else {
  dispatchEvent(new Event("armed"));
  await replica.install([argument]).result;
}
console.log("was not killed");
Deno.exit(1);
