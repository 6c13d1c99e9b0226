// What is done over and over between machines, over loopback HTTP.

import { openRemote, pull, push, SnapshotError } from "../../mod.ts";
import { bytesOf } from "../support/harness.ts";
import { type Cycle, propose, save, soon, tolerate, whenFree } from "./cycles.ts";

/** How patient it is with a source that is made to fail. */
const HASTY = { timeout: 500, retryFor: 0 };

/** A source that breaks off what it sends, or changes it. */
function badSource(url: string, how: "cut" | "changed" | "gone"): { url: string; fetch: typeof fetch } {
  const answer = async (request: Request): Promise<Response> => {
    if (how === "gone") throw new TypeError("connection refused");
    const response = await fetch(request);
    if (response.body === null || !request.url.includes("/content")) return response;
    const change = new TransformStream<Uint8Array, Uint8Array>({
      transform(piece, controller) {
        if (how === "cut") return controller.error(new TypeError("connection reset"));
        controller.enqueue(piece.map((byte) => byte ^ 1));
      },
    });
    return new Response(response.body.pipeThrough(change) as BodyInit, response);
  };
  return { url, fetch: answer as typeof fetch };
}

export const TRANSFERS: Readonly<Record<string, Cycle>> = {
  pull: async (world) => {
    await save(world);
    const options = { signal: world.forever, throttle: world.throttle };
    await whenFree(() => pull(world.mirror, [world.source], options).result);
  },

  "pull cancelled": async (world) => {
    await save(world);
    await tolerate(pull(world.mirror, [world.source], { signal: soon(world) }).result, "CANCELLED", "BUSY");
  },

  "pull from a bad source": async (world) => {
    await save(world);
    const bad = badSource(world.source, world.random.pick(["cut", "changed", "gone"]));
    const options = { signal: world.forever, ...HASTY };
    await tolerate(whenFree(() => pull(world.mirror, [bad], options).result), "UNAVAILABLE", "CORRUPT");
    await whenFree(() => pull(world.mirror, [bad, world.source], options).result);
  },

  install: async (world) => {
    await save(world);
    await whenFree(() => world.follower.install([world.source], { signal: world.forever }).result);
  },

  "install cancelled": async (world) => {
    await save(world);
    await tolerate(world.follower.install([world.source], { signal: soon(world) }).result, "CANCELLED", "BUSY");
  },

  "install of an archive": async (world) => {
    await save(world);
    const { body } = await fetch(`${world.source}/snapshots/latest/archive`);
    const signal = world.random.chance(0.5) ? world.forever : soon(world);
    await tolerate(world.follower.install(body!, { signal }).result, "CANCELLED", "BUSY");
  },

  push: async (world) => {
    await save(world);
    const reader = await world.leaderStorage.open();
    const options = { signal: world.forever, throttle: world.throttle };
    await whenFree(() => push(reader, world.target, options).result);
    await reader.close();
  },

  "push cancelled": async (world) => {
    await save(world);
    const reader = await world.leaderStorage.open();
    await tolerate(push(reader, world.target, { signal: soon(world), ...HASTY }).result, "CANCELLED", "BUSY");
    await reader.close();
  },

  "live push": async (world) => {
    await propose(world);
    await tolerate(world.leader.push(world.target, { signal: world.forever }).result, "BUSY");
  },

  "live push cancelled": async (world) => {
    await propose(world);
    await tolerate(world.leader.push(world.target, { signal: soon(world) }).result, "CANCELLED", "BUSY");
  },

  "download dropped": async (world) => {
    const what = world.random.pick(["archive", "content", "manifest", "held"]);
    const stop = new AbortController();
    const { body } = await fetch(`${world.source}/snapshots/latest/${what}`, { signal: stop.signal });
    const reader = body!.getReader();
    await reader.read();
    if (world.random.chance(0.5)) await reader.cancel();
    else stop.abort();
  },

  remote: async (world) => {
    const reader = await openRemote(world.source, { signal: world.forever });
    const { name } = reader.manifest.files[0]!;
    await tolerate(bytesOf(reader.file(name)), "NOT_FOUND");
    const stream = reader.file(name).getReader();
    await tolerate(stream.read(), "NOT_FOUND");
    if (world.random.chance(0.5)) await stream.cancel().catch(() => {});
    await reader.close();
  },

  "request that is refused": async (world) => {
    const init = { method: "PUT", body: new Uint8Array(world.random.below(5000)) };
    const response = await fetch(`${world.target}/snapshots/${world.random.pick([1, 2n ** 62n])}`, init);
    await response.body?.cancel();
    if (response.status < 400) throw new SnapshotError("CORRUPT", `${response.status} for no archive`);
  },
};
