// The peak of memory of saving and of pulling 4 GiB, above the runtime's own: that of the same modules and 1 MiB, and that
// of a bare `fetch` of 4 GiB, whose pieces a runtime does not hurry to collect.

import { rm } from "node:fs/promises";
import { inTemp } from "../support/temp.ts";
import { allOutput, firstLine, startModule } from "./child.ts";
import { report } from "./report.ts";

await inTemp(async (directory) => {
  const peak = async (...args: string[]) => Number(await allOutput(startModule("memory_child", ...args)));
  const own = await peak("nothing", `${directory}/nothing`);
  report("memory", "the runtime's own", own, "MiB");
  report("memory", "save of 4 GiB, above that", await peak("save", `${directory}/source`) - own, "MiB", { atMost: 64 });
  const server = startModule("pull_server", `${directory}/source`);
  const url = await firstLine(server);
  const fetching = await peak("fetch", `${directory}/fetched`, url);
  report("memory", "the runtime's own, with a fetch of 4 GiB", fetching, "MiB");
  const pulling = await peak("pull", `${directory}/target`, url);
  report("memory", "pull of 4 GiB, above that", pulling - fetching, "MiB", { atMost: 64 });
  report("memory", "pull of 4 GiB, above the bare runtime", pulling - own, "MiB");
  server.stdin!.end();
  await rm(`${directory}/target`, { recursive: true });
});
