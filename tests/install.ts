// Installs what the suites need that need more than the runtimes, so that all of them run.

import { allGroups, ready } from "./suites/groups.ts";

for (const group of await allGroups()) await ready(group);
