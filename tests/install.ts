// Installs what the suites need that need more than the runtimes, so that all of them run but those that take long.

import { allGroups, ready } from "./suites/groups.ts";

for (const group of await allGroups()) {
  if (group.onRequest !== true) await ready(group);
}
