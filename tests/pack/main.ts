// Writes the npm package, as it is to be published, into a directory: `deno task pack [DIR]`, by default the project's.

import { makePackage } from "./npm_package.ts";

console.log(await makePackage(await Deno.realPath(Deno.args[0] ?? ".")));
