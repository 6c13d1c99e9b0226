// Frames of braft's FileService: what a stranger sends to the server, and a node to who copies from it.

import {
  decodeGetFile,
  decodePart,
  decodeSegments,
  encodeError,
  encodeGetFile,
  encodePart,
  FrameReader,
} from "../../../src/braft/frames.ts";
import { noise } from "../../support/harness.ts";
import type { Random } from "../../support/random.ts";
import { concat } from "../../../src/stream/mod.ts";
import { mutate } from "../mutate.ts";
import { law, type Target } from "../target.ts";

const MOST = 64 * 1024;
const ASKED = 1000;

async function* pieces(bytes: Uint8Array, random: Random): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.length;) {
    const length = 1 + random.below(random.pick([1, 20, 2000]));
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

/** Whatever comes out of a frame is inside of what was sent, and of what was asked for. */
export const braftFrames: Target = {
  name: "braft-frames",
  share: 10,
  codes: ["MALFORMED"],
  prepare() {
    const request = { reader: -5n, name: "a/b", count: 131_072n, offset: 7n, partly: true };
    const corpus = [
      encodeGetFile(1n, request),
      encodeError(2n, 11, "later"),
      encodePart(3n, 100n, true, [noise(40, 1), noise(ASKED - 40, 2)]),
      encodePart(4n, 100n, false, []),
    ];
    return async (random) => {
      const sent = concat(
        Array.from({ length: 1 + random.below(3) }, () => mutate(random.pick(corpus), random, corpus)),
      );
      const frames = new FrameReader(pieces(sent, random));
      for (let frame = await frames.next(MOST); frame !== undefined; frame = await frames.next(MOST)) {
        const { message, attachment } = frame;
        law(message.length + attachment.length <= sent.length, "what is in a frame was sent");
        if (random.chance(0.5)) decodeGetFile(message);
        const { size } = decodePart(message);
        law(decodeSegments(attachment, 100, ASKED, size).length <= ASKED, "no more than was asked for");
      }
    };
  },
};
