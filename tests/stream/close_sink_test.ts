import { SnapshotError } from "../../mod.ts";
import { closeSink } from "../../src/stream/mod.ts";
import { rejects, test, turns } from "../support/harness.ts";

test("closing a sink that has failed, or is about to, fails with its error", async () => {
  for (const late of [false, true]) {
    for (const fails of ["start", "write"] as const) {
      const fail = () => Promise.reject(new SnapshotError("MALFORMED", "a bad name"));
      const writer = new WritableStream<Uint8Array>({ [fails]: fail }).getWriter();
      writer.closed.catch(() => {});
      await writer.ready.catch(() => {});
      writer.write(Uint8Array.of(1)).catch(() => {});
      if (late) await turns();
      await rejects(closeSink(writer), "MALFORMED");
    }
  }
});
