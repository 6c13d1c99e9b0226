// A standby that has no state of its own pulls its snapshots beside its follower, which may install one at that moment.

import { type Follower, MemoryLog, MemoryStorage, Replica, type SourceOptions } from "../../mod.ts";
import { OpaqueMachine } from "../../src/cli/opaque_machine.ts";
import { pullNewest } from "../../src/cli/standby.ts";
import { assert, gate, test } from "../support/harness.ts";
import { type Node, node, put, within } from "../support/log_nodes.ts";

/** What a test does when the standby asks for something. */
interface Hooks {
  /** The standby's pull asks for a manifest; how often it has before. */
  onManifest(before: number): Promise<void>;
  /** The standby asks how far the leader is, before it pulls; how often it has before. */
  onStatus(before: number): Promise<void>;
}

interface Standing {
  readonly leader: Node;
  readonly replica: Replica<OpaqueMachine>;
  readonly storage: MemoryStorage;
  readonly follower: Follower;
  /** Keeps back what comes of the leader's log. */
  hold(): void;
  /** Lets that come. */
  release(): void;
  /** Pulls as the program does. */
  pull(hooks: Hooks): Promise<void>;
}

/** A leader with 20 entries, and a standby that has them. */
async function standing(work: (it: Standing) => Promise<void>): Promise<void> {
  const leader = await node("leader");
  const [storage, log] = [new MemoryStorage(), new MemoryLog()];
  const replica = await Replica.open({ machine: new OpaqueMachine(), log, storage, triggers: { interval: 0 } });
  let held: ReturnType<typeof gate<void>> | undefined;
  let hooks: Hooks | undefined;
  const counts = { manifests: 0, statuses: 0 };
  const followed: SourceOptions = {
    ...leader.source,
    async fetch(request) {
      const { pathname, searchParams } = new URL(request.url);
      if (pathname !== "/log" || !searchParams.has("from")) {
        if (!searchParams.has("follower")) await hooks?.onStatus(counts.statuses++);
        return await leader.source.fetch!(request);
      }
      const response = await leader.source.fetch!(request);
      const holding = new TransformStream<Uint8Array, Uint8Array>({
        async transform(piece, controller) {
          await held?.promise;
          controller.enqueue(piece);
        },
      });
      return new Response(response.body!.pipeThrough(holding), response);
    },
  };
  const pulled: SourceOptions = {
    ...leader.source,
    async fetch(request) {
      if (request.url.endsWith("/manifest")) await hooks?.onManifest(counts.manifests++);
      return await leader.source.fetch!(request);
    },
  };
  await within([leader], async () => {
    try {
      await put(leader, 20);
      const follower = replica.follow([followed]);
      await follower.caughtUp();
      await work({
        leader,
        replica,
        storage,
        follower,
        hold: () => void (held = gate()),
        release: () => held?.open(),
        async pull(given) {
          hooks = given;
          const standby = { replica, follower, servers: [pulled] };
          await pullNewest(standby, new AbortController().signal);
        },
      });
    } finally {
      held?.open();
      await replica.close();
    }
  });
}

const indicesOf = async (storage: MemoryStorage) => (await storage.list()).map(({ meta }) => meta.lastIncludedIndex);

test("standby: a snapshot that is ahead of the log is left to the follower, and pulled once the log is there", () =>
  standing(async ({ leader, replica, storage, hold, release, pull }) => {
    let here: bigint[] | undefined;
    await pull({
      async onManifest(before) {
        if (before > 0) return;
        hold(); // these entries do not come
        await put(leader, 10, 20);
        await leader.replica.snapshot().result;
      },
      async onStatus(before) {
        if (before !== 1) return;
        here = await indicesOf(storage);
        release();
      },
    });
    assert.deepEqual(here, [], "it was asked for again, and had not been taken before the log was there");
    assert.deepEqual(await indicesOf(storage), [30n]);
    assert.equal(replica.status().appliedIndex, 30n);
  }));

test("standby: what is pulled while another snapshot is installed waits for that, and does not fail", () =>
  standing(async ({ leader, storage, pull }) => {
    await leader.replica.snapshot().result;
    const reader = await leader.storage.open();
    const installing = await storage.install(reader.manifest); // as the follower does
    let retries = 0;
    await pull({
      onManifest: () => Promise.resolve(),
      async onStatus(before) {
        if (before === 0) return;
        retries++;
        await installing.close();
      },
    });
    await reader.close();
    assert.isAbove(retries, 0);
    assert.deepEqual(await indicesOf(storage), [20n]);
  }));
