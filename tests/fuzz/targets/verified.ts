// The stage that checks a stream: nothing wrong goes through, in whatever pieces it comes.

import { verified as verifiedStage } from "../../../mod.ts";
import { ChunkMapBuilder, concat, equal, sha256 } from "../../../src/stream/mod.ts";
import { noise, pieces } from "../../support/harness.ts";
import { mutate } from "../mutate.ts";
import { law, type Target } from "../target.ts";

export const verified: Target = {
  name: "verified",
  share: 15,
  codes: ["CORRUPT"],
  async prepare() {
    const chunks = [noise(40, 1), noise(1, 2), noise(100, 3), noise(40, 1), noise(64, 4), noise(9, 5)];
    const builder = new ChunkMapBuilder(undefined);
    for (const chunk of chunks) builder.add(await sha256(chunk), chunk.length);
    const map = await builder.build();
    const whole = concat(chunks);
    return async (random) => {
      const first = random.chance(0.5) ? 0 : random.below(map.count);
      const end = random.chance(0.5) ? map.count : first + random.below(map.count + 1 - first);
      const right = whole.subarray(map.offset(first), map.offset(end));
      const sent = random.chance(0.1) ? right : mutate(right, random, [whole]);
      const got: Uint8Array[] = [];
      let failure: { readonly error: unknown } | undefined;
      try {
        const stage = verifiedStage({ name: "f", chunks: map }, first, end);
        for await (const chunk of pieces(sent, 1 + random.below(150)).pipeThrough(stage)) got.push(chunk);
      } catch (error) {
        failure = { error };
      }
      const all = concat(got);
      law(equal(all, right.subarray(0, all.length)), "what is handed on is right");
      law(got.every((it, i) => it.length === map.length(first + i)), "what is handed on are whole chunks");
      law((failure === undefined) === equal(sent, right), "what is right, and nothing else, comes to its end");
      if (failure !== undefined) throw failure.error;
    };
  },
};
