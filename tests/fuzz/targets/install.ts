// Installs: chunks that are right, wrong, of other places, and of none.

import { MemoryStorage, SnapshotError } from "../../../mod.ts";
import { equal } from "../../../src/stream/mod.ts";
import { mutate } from "../mutate.ts";
import { law, must, type Target } from "../target.ts";
import { checkNewest, contentOf } from "./content.ts";
import { commitFiles, cut, META, reading, sampleStorage } from "./samples.ts";

export const install: Target = {
  name: "install",
  share: 15,
  codes: ["CORRUPT", "MALFORMED"],
  async prepare() {
    const storage = await sampleStorage();
    const { manifest, chunks } = await reading(storage, async (reader) => {
      const chunks = new Map<string, Uint8Array[]>();
      for (const file of reader.manifest.files) chunks.set(file.name, cut(file, await contentOf(reader, file.name)));
      return { manifest: reader.manifest, chunks };
    });
    const all = [...chunks.values()].flat();
    return async (random) => {
      const here = new MemoryStorage({ retain: 5 });
      if (random.chance(0.3)) {
        await commitFiles(here, { ...META, lastIncludedIndex: 1n }, { old: [chunks.get("one")![0]!] });
      }
      const install = await here.install(manifest);
      await install.prepare();
      let refusal: unknown;
      const whole = random.chance(0.6);
      const given = whole ? random.below(4) : random.below(12);
      for (let i = 0; i < given; i++) {
        const odd = [-1, all.length, 0.5, NaN, 2 ** 32, Infinity, -0];
        const number = random.chance(0.15) ? random.pick(odd) : random.below(all.length);
        const right = all[number];
        const bytes = random.chance(0.4) && right !== undefined ? right : mutate(random.pick(all), random, all);
        const isRight = right !== undefined && equal(right, bytes);
        const had = right !== undefined && install.has(number);
        try {
          await install.write(number, bytes);
          law(isRight, `chunk ${number} is taken and wrong`);
        } catch (error) {
          if (!(error instanceof SnapshotError)) throw error;
          law(!isRight, `chunk ${number} is refused and right: ${error.message}`);
          law((error.code === "MALFORMED") === (right === undefined), `chunk ${number} is ${error.code}`);
          refusal = error;
        }
        const has = right !== undefined && install.has(number);
        law(has === (had || isRight), `chunk ${number} is here if it has come`);
      }
      const held = install.held();
      for (let n = 0; n < held.count; n++) {
        const { file, chunk } = manifest.content.locate(n);
        law(held.has(n) === install.has(n), "what is held is here");
        if (!held.has(n)) continue;
        const range = { start: file.chunks.offset(chunk), end: file.chunks.offset(chunk) + file.chunks.length(chunk) };
        const [bytes] = await must("a chunk is here", () => Array.fromAsync(install.file(file.name, range)));
        law(equal(bytes!, chunks.get(file.name)![chunk]!), "what is here is right");
      }
      if (whole) {
        for (const [number, chunk] of all.entries()) await install.write(number, chunk);
      }
      const isWhole = [...install.missing()].length === 0;
      try {
        await install.commit();
        law(isWhole, "what is not whole is no snapshot");
        await checkNewest(here);
      } catch (error) {
        law(!isWhole, `what is whole is a snapshot: ${error}`);
        throw error;
      } finally {
        await install.close();
        await here.close();
      }
      if (refusal !== undefined) throw refusal;
    };
  },
};
