// The peak of memory of saving and of pulling 4 GiB, above that of the same runtime with the same modules and 1 MiB.

import { rm } from "node:fs/promises";
import { inTemp } from "../temp.ts";
import { allOutput, firstLine, startModule } from "./child.ts";
import { report } from "./report.ts";

await inTemp(async (directory) => {
  const peak = async (...args: string[]) => Number(await allOutput(startModule("memory_child", ...args)));
  const own = await peak("nothing", `${directory}/nothing`);
  report("memory", "the runtime's own", own, "MiB");
  report("memory", "save of 4 GiB, above that", await peak("save", `${directory}/source`) - own, "MiB", { atMost: 64 });
  const server = startModule("pull_server", `${directory}/source`);
  const url = await firstLine(server);
  report("memory", "pull of 4 GiB, above that", await peak("pull", `${directory}/target`, url) - own, "MiB", {
    atMost: 64,
  });
  server.stdin!.end();
  await rm(`${directory}/target`, { recursive: true });
});
