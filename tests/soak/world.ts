// What is used in a soak, from its beginning to its end: a leader that serves its snapshots over HTTP, a follower that
// installs them, a storage that mirrors them, and one on a disk that fails at times.

import { readdir } from "node:fs/promises";
import {
  KeyValueMachine,
  type LogEntry,
  MemoryLog,
  Replica,
  type SaveTask,
  type SnapshotHandler,
  snapshotHandler,
  type SnapshotReader,
  type StateMachine,
  Throttle,
  utf8Codec,
} from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { serve, type Server } from "../../src/transfer/server/serve.ts";
import type { Random } from "../support/random.ts";
import { FaultyDisk } from "../support/faulty_disk.ts";

/** How its next save goes wrong. */
export type Mischief = "throws" | "hangs" | undefined;

/** A small machine that goes wrong when it is told to; counts the views that it has given out. */
export class SoakMachine implements StateMachine {
  readonly #machine = new KeyValueMachine(utf8Codec(), { incremental: true });
  mischief: Mischief;
  views = 0;

  /** A command that puts one of a few keys. */
  put(random: Random): Uint8Array {
    return this.#machine.put(`key ${random.below(32)}`, String(random.below(1e9)).repeat(1 + random.below(200)));
  }

  apply(entry: LogEntry): void {
    this.#machine.apply(entry);
  }

  save(): SaveTask {
    const { mischief } = this;
    this.mischief = undefined;
    this.views++;
    const task = this.#machine.save()!;
    return {
      async write(writer, signal) {
        if (mischief === undefined) return await task.write(writer, signal);
        const stream = writer.file("half").getWriter();
        stream.closed.catch(() => {});
        await stream.write(new Uint8Array(100_000));
        if (mischief === "throws") throw new Error("The machine goes wrong");
        await new Promise((_, reject) => {
          if (signal.aborted) reject(signal.reason);
          signal.addEventListener("abort", () => reject(signal.reason), { once: true });
        });
      },
      committed: (snapshot) => task.committed?.(snapshot),
      release: () => {
        this.views--;
        task.release();
      },
    };
  }

  load(reader: SnapshotReader): Promise<void> {
    return this.#machine.load(reader);
  }
}

/** Not the defaults, which are minutes: a server is not always told that a client has gone, and goes by its time-outs. */
const LIMITS = { leaseDuration: 20, stallTimeout: 3000 };

/** Everything that lives as long as the soak. */
export class World {
  readonly root: string;
  readonly random: Random;
  /** Given to everything that takes a signal; never fires. */
  readonly forever: AbortSignal;
  readonly throttle: Throttle = new Throttle(1e12);
  /** How many more operations of the disk that fails succeed before one does not. */
  failsAfter: number = Infinity;
  readonly #disk: FaultyDisk = new FaultyDisk(() => {
    const fails = --this.failsAfter < 0;
    if (fails) this.failsAfter = Infinity;
    return fails;
  });
  leader!: Replica<SoakMachine>;
  leaderStorage!: DirectoryStorage;
  follower!: Replica<SoakMachine>;
  followerStorage!: DirectoryStorage;
  mirror!: DirectoryStorage;
  faulty!: DirectoryStorage;
  /** The addresses of the leader and the follower. */
  source!: string;
  target!: string;
  readonly #servers: Server[] = [];
  readonly #handlers: SnapshotHandler[] = [];

  constructor(root: string, random: Random, forever: AbortSignal) {
    this.root = root;
    this.random = random;
    this.forever = forever;
  }

  /** Makes all of it. */
  static async open(root: string, random: Random, forever: AbortSignal): Promise<World> {
    const world = new World(root, random, forever);
    const at = (name: string) => DirectoryStorage.open(`${root}/${name}`, { durability: "none" });
    world.leaderStorage = await at("leader");
    world.followerStorage = await at("follower");
    world.mirror = await at("mirror");
    world.leader = await openReplica(world.leaderStorage);
    world.follower = await openReplica(world.followerStorage);
    await world.openFaulty();
    world.source = await world.#serve(snapshotHandler(world.leaderStorage, LIMITS));
    world.target = await world.#serve(
      snapshotHandler(world.followerStorage, { allowWrites: true, ...LIMITS, target: world.follower }),
    );
    return world;
  }

  async #serve(handler: SnapshotHandler): Promise<string> {
    this.#handlers.push(handler);
    const server = await serve(handler, { port: 0 });
    this.#servers.push(server);
    return server.url;
  }

  /** Opens the storage on the disk that fails. */
  async openFaulty(): Promise<void> {
    this.faulty = await DirectoryStorage.open(`${this.root}/faulty`, { disk: this.#disk, durability: "full" });
  }

  /** Snapshots that somebody keeps from being retired, in any storage. */
  async pins(): Promise<number> {
    const lists = await Promise.all(this.#storages().map((storage) => storage.list()));
    return lists.flat().filter(({ pinned }) => pinned).length;
  }

  /** What is in the roots beside the lock and the snapshots that are kept. */
  async litter(): Promise<string[]> {
    const found: string[] = [];
    for (const name of ["leader", "follower", "mirror", "faulty"]) {
      const names = await readdir(`${this.root}/${name}`);
      const snapshots = names.filter((entry) => entry.startsWith("snapshot_"));
      const others = names.filter((entry) => entry !== ".lock" && !entry.startsWith("snapshot_"));
      found.push(...[...others, ...snapshots.slice(2)].map((entry) => `${name}/${entry}`));
    }
    return found;
  }

  /** Opens the storage on the disk that fails anew: what it did not let be removed goes then. */
  async reopenFaulty(): Promise<void> {
    await this.faulty.close();
    await this.openFaulty();
  }

  #storages(): DirectoryStorage[] {
    return [this.leaderStorage, this.followerStorage, this.mirror, this.faulty];
  }

  async close(): Promise<void> {
    for (const server of this.#servers) await server.close();
    for (const handler of this.#handlers) await handler.close();
    await Promise.all([this.leader.close(), this.follower.close(), this.mirror.close(), this.faulty.close()]);
  }
}

/** A replica that saves only when it is told to. */
export async function openReplica(storage: DirectoryStorage, options = {}): Promise<Replica<SoakMachine>> {
  const triggers = { interval: 0, entries: 0 };
  const purge = { gap: 1, preserve: 0 };
  return await Replica.open({ machine: new SoakMachine(), log: new MemoryLog(), storage, triggers, purge, ...options });
}
