// What is besieged: a leader that serves its snapshots, and a follower that installs what is pushed to it, each with a
// replica on a disk and a real server, and what honest people do with them.

import { readdir, stat } from "node:fs/promises";
import {
  archive,
  ed25519Signer,
  ed25519Verifier,
  hasCode,
  KeyValueMachine,
  MemoryLog,
  MemoryStorage,
  pull,
  push,
  Replica,
  type SnapshotHandler,
  snapshotHandler,
  type SnapshotVerifier,
  type SourceOptions,
  utf8Codec,
} from "../../mod.ts";
import { LogSource } from "../../src/transfer/mod.ts";
import { equal, toHex } from "../../src/stream/mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { serve, type Server } from "../../src/transfer/server/serve.ts";
import { bytesOf, turns } from "../support/harness.ts";
import type { Loot } from "./loot.ts";
import { mirrors } from "./mirrors.ts";
import { CLIENT } from "./strangers.ts";
import type { Random } from "../support/random.ts";

/** Not the defaults, which are minutes: a stranger may be as patient as the handler. */
const LIMITS = { leaseDuration: 100, stallTimeout: 500 };
const GROUP = "besieged";
/** Entries of the state, and bytes of each value. */
const [KEYS, VALUE] = [256, 4000];
/** How often a save may meet a snapshot that is being loaded. */
const MOST_LOADS = 5;

type Machine = KeyValueMachine<string>;

/** One of the two that are besieged. */
interface Besieged {
  readonly replica: Replica<Machine>;
  readonly storage: DirectoryStorage;
  readonly handler: SnapshotHandler;
  readonly server: Server;
}

/** What is on a disk, and in the process. */
export interface Usage {
  readonly bytes: number;
  readonly inodes: number;
}

/** What is besieged. */
export class World {
  readonly #root: string;
  readonly #random: Random;
  readonly #verifier: SnapshotVerifier;
  readonly leader: Besieged;
  readonly follower: Besieged;
  readonly #foreign: Uint8Array;
  readonly #unsigned: Uint8Array;
  /** The digests of all that was taken by somebody who is trusted. */
  readonly #taken: Set<string> = new Set();
  /** Errors of a server's own, which no stranger may cause. */
  readonly errors: unknown[];

  private constructor(
    root: string,
    random: Random,
    verifier: SnapshotVerifier,
    [leader, follower]: readonly [Besieged, Besieged],
    [unsigned, foreign]: readonly [Uint8Array, Uint8Array],
    errors: unknown[],
  ) {
    this.#root = root;
    this.#random = random;
    this.#verifier = verifier;
    this.leader = leader;
    this.follower = follower;
    this.#unsigned = unsigned;
    this.#foreign = foreign;
    this.errors = errors;
  }

  /** Makes all of it. */
  static async open(root: string, random: Random): Promise<World> {
    const keys = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]) as CryptoKeyPair;
    const [signer, verifier] = [ed25519Signer(keys), ed25519Verifier([{ publicKey: keys.publicKey }])];
    const errors: unknown[] = [];
    const besieged = async (name: string): Promise<Besieged> => {
      const storage = await DirectoryStorage.open(`${root}/${name}`, { durability: "none", group: GROUP, signer });
      const replica = await Replica.open({
        machine: new KeyValueMachine(utf8Codec()),
        log: new MemoryLog(),
        storage,
        triggers: { interval: 0, entries: 0 },
        purge: { gap: 1, preserve: 0 },
        onNotification: () => undefined,
      });
      const handler = snapshotHandler(storage, {
        ...LIMITS,
        allowWrites: true,
        authorizeLeader: (request) => request.headers.get(CLIENT) === "honest",
        verifier,
        target: replica,
        client: (request) => request.headers.get(CLIENT) ?? "",
        onError: (error) => errors.push(error),
      });
      return {
        replica,
        storage,
        handler,
        server: await serve(handler, { port: 0, stallTimeout: LIMITS.stallTimeout }),
      };
    };
    const both = [await besieged("leader"), await besieged("follower")] as const;
    const others = [await archiveOf(GROUP, {}), await archiveOf("another group", { signer })] as const;
    const world = new World(root, random, verifier, both, others, errors);
    await world.save();
    return world;
  }

  /** Proposes what changes a part of the state. */
  async propose(): Promise<void> {
    const { replica } = this.leader;
    const isFirst = replica.status().lastIndex === 0n;
    const keys = isFirst ? Array.from({ length: KEYS }, (_, i) => i) : [this.#random.below(KEYS), 0];
    await Promise.all(
      keys.map((key) =>
        replica.propose(replica.machine.put(`key ${key}`, String(this.#random.next()).padEnd(VALUE, "x")))
      ),
    );
  }

  /** The leader saves: nothing that a stranger does may have it wait. */
  async save(): Promise<void> {
    await this.propose();
    await this.#saved(this.leader);
  }

  /** The follower applies what came after its newest snapshot, and saves. */
  async followerSaves(): Promise<void> {
    const { replica } = this.follower;
    const { appliedIndex } = replica.status();
    await this.propose();
    const entries = [];
    for await (const entry of this.leader.replica.entries(appliedIndex + 1n)) entries.push(entry);
    await replica.append(entries);
    await this.#saved(this.follower);
  }

  async #saved({ replica }: Besieged): Promise<void> {
    for (let loading = 0;; loading++) {
      try {
        const { snapshot } = await replica.snapshot({ gap: 1 }).result;
        return void this.#taken.add(toHex(snapshot!.digest));
      } catch (error) {
        // What is all here is loaded, and that is soon over; what still comes is in nobody's way.
        if (!hasCode(error, "BUSY") || loading === MOST_LOADS) throw error;
        await turns();
      }
    }
  }

  /** A client pulls the newest, from the leader and what else says that it has it. */
  async pull(): Promise<void> {
    const storage = new MemoryStorage({ group: GROUP });
    const sources = [...mirrors(this.#random, this.#unsigned), this.#source(this.leader)];
    const options = { verifier: this.#verifier, timeout: 2000, retryFor: 2000 };
    const { snapshot } = await pull(storage, sources, options).result;
    if (!this.#taken.has(toHex(snapshot.digest))) throw new Error("It pulled what nobody has taken");
    await storage.close();
  }

  /** A client reads the log of the leader; as a follower does, it asks again if its connection was closed meanwhile. */
  async readLog(): Promise<void> {
    await this.#readLog().catch((error) => hasCode(error, "UNAVAILABLE") ? this.#readLog() : Promise.reject(error));
  }

  /** Reads the log, each batch proven to be of the history before it. */
  async #readLog(): Promise<void> {
    const source = new LogSource(this.#source(this.leader), 5000);
    const { first, last } = await source.status(undefined);
    let read = 0n;
    const request = { from: first, digest: undefined, group: GROUP, wait: false };
    const { isWhole } = await source.read(request, undefined, (record) => {
      if (record.kind === "batch") read += BigInt(record.batch.entries.length);
    });
    if (!isWhole || read < last - first + 1n) throw new Error(`It read ${read} entries of ${first} to ${last}`);
  }

  /** The leader pushes its newest to the follower. */
  async push(): Promise<void> {
    const { appliedIndex } = this.follower.replica.status();
    const { snapshot } = this.leader.replica.status();
    if (appliedIndex >= snapshot!.meta.lastIncludedIndex) await this.save();
    const reader = await this.leader.storage.open();
    try {
      await push(reader, this.#source(this.follower)).result;
    } catch (error) {
      // Whoever sends on what the leader has signed may be faster.
      const here = await this.follower.storage.list();
      const isHere = here.some(({ digest }) => equal(digest, reader.manifest.digest));
      if (!hasCode(error, "STALE") || !isHere) throw error;
    } finally {
      await reader.close();
    }
  }

  #source({ server }: Besieged): SourceOptions {
    return { url: server.url, headers: { [CLIENT]: "honest" } };
  }

  /** What strangers can get hold of now. */
  async loot(): Promise<Loot> {
    const reader = await this.leader.storage.open();
    try {
      return {
        archive: await bytesOf(archive(reader)),
        manifest: reader.manifest.bytes,
        unsigned: this.#unsigned,
        foreign: this.#foreign,
        next: reader.manifest.index,
        last: this.leader.replica.status().lastIndex,
      };
    } finally {
      await reader.close();
    }
  }

  /** Snapshots that are here, and that nobody who is trusted has taken. */
  async untrusted(): Promise<string[]> {
    const lists = await Promise.all([this.leader, this.follower].map(({ storage }) => storage.list()));
    return lists.flat().map(({ digest }) => toHex(digest)).filter((digest) => !this.#taken.has(digest));
  }

  /** Snapshots that somebody keeps from being retired. */
  async pins(): Promise<number> {
    const lists = await Promise.all([this.leader, this.follower].map(({ storage }) => storage.list()));
    return lists.flat().filter(({ pinned }) => pinned).length;
  }

  /** What is on the disk. */
  async usage(): Promise<Usage> {
    let bytes = 0;
    let inodes = 0;
    for (const name of await readdir(this.#root, { recursive: true })) {
      const found = await stat(`${this.#root}/${name}`).catch(() => undefined); // it may be gone by now
      if (found === undefined) continue;
      inodes++;
      if (found.isFile()) bytes += found.size;
    }
    return { bytes, inodes };
  }

  /** The entries that the logs still have. */
  get logged(): number {
    const logs = [this.leader, this.follower].map(({ replica }) => replica.status());
    return Number(logs.reduce((sum, { firstIndex, lastIndex }) => sum + lastIndex - firstIndex + 1n, 0n));
  }

  async close(): Promise<void> {
    for (const { server, handler, replica } of [this.leader, this.follower]) {
      await server.close();
      await handler.close();
      await replica.close();
    }
  }
}

/** The archive of a snapshot that is newer than all. */
async function archiveOf(group: string, options: ConstructorParameters<typeof MemoryStorage>[0]): Promise<Uint8Array> {
  const storage = new MemoryStorage({ ...options, group });
  const machine = new KeyValueMachine(utf8Codec());
  const writer = await storage.create();
  machine.apply({ index: 1n, term: 1n, data: machine.put("forged", "forged") });
  const task = machine.save();
  await task!.write(writer, new AbortController().signal);
  task!.release();
  await writer.commit({ lastIncludedIndex: 1_000_000n, lastIncludedTerm: 1n, peers: [] });
  const reader = await storage.open();
  const bytes = await bytesOf(archive(reader));
  await reader.close();
  await storage.close();
  return bytes;
}
