// Serves the page, and the snapshot that it works from: `deno run --allow-all tests/examples/offline_page/server.ts [port]`.
// With `changed` after the port, one city has grown since the snapshot that is served without.

import { MemoryStorage, snapshotHandler } from "../../../mod.ts";
import { cityCommands, cityMachine } from "../cities.ts";

const [port = "8080", changed] = Deno.args;
const HERE = new URL("./", import.meta.url).pathname;

/** A script of the page, as one module. */
async function script(name: string): Promise<Uint8Array<ArrayBuffer>> {
  const args = ["bundle", "--quiet", "--platform", "browser", `${HERE}${name}.ts`];
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd: `${HERE}../../..` })
    .output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return stdout;
}

/** The cities, as of now. */
async function snapshot(): Promise<MemoryStorage> {
  const machine = cityMachine();
  const commands = cityCommands(machine);
  let index = 0n;
  for (const data of commands) machine.apply({ index: ++index, term: 1n, data });
  if (changed !== undefined) {
    const [key, ulm] = [...machine.entries()].find(([, { name, country }]) => name === "Ulm" && country === "DE")!;
    machine.apply({ index: ++index, term: 1n, data: machine.put(key, { ...ulm, population: 130_000 }) });
  }
  const storage = new MemoryStorage();
  const task = machine.save()!;
  const writer = await storage.create();
  await task.write(writer, new AbortController().signal);
  task.release();
  await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: [] });
  return storage;
}

const files: Readonly<Record<string, readonly [type: string, content: Uint8Array<ArrayBuffer>]>> = {
  "/": ["text/html", await Deno.readFile(`${HERE}index.html`)],
  "/page": ["text/javascript", await script("page")],
  "/service_worker": ["text/javascript", await script("service_worker")],
};
const handler = snapshotHandler(await snapshot());
Deno.serve({
  port: Number(port),
  hostname: "127.0.0.1",
  onListen: (address) => console.log(`http://127.0.0.1:${address.port}/`),
}, (request) => {
  const [type, content] = files[new URL(request.url).pathname] ?? [];
  return type === undefined ? handler(request) : new Response(content!, { headers: { "Content-Type": type } });
});
