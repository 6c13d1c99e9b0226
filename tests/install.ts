// Installs what the suites need that need more than the runtimes, so that all of them run.

import { service, SERVICES } from "./service.ts";

for (const name of SERVICES) {
  const suite = await service(name);
  if (!await suite.installed()) await suite.install();
}
