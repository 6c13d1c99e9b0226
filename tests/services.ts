// What some suites need beside the runtimes: servers, a browser. Each suite says what it needs, whether that is here, and
// how it is installed.

import { browser } from "./browser/suite.ts";
import { edge } from "./edge/suite.ts";
import { jetstream } from "./jetstream/suite.ts";
import { s3 } from "./s3/suite.ts";
