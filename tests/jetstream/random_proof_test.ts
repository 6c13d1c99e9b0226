// Three members to which anything happens, in an order that is drawn; a few seeds. What was acknowledged is there once.

import { MemoryStorage, snapshotHandler, type Source } from "../../mod.ts";
import { Random } from "../support/random.ts";
import { assert, test } from "../support/harness.ts";
import { bytes, type OpenReplica, openReplica, reaches } from "./kit.ts";
import { type NatsServer, withNats } from "../support/nats.ts";

const STEPS = 40;
const SEEDS = [1, 2, 3];

class Member {
  readonly name: string;
  readonly #server: NatsServer;
  readonly #peers: () => readonly Member[];
  #storage = keptStorage();
  opened!: OpenReplica;

  constructor(name: string, server: NatsServer, peers: () => readonly Member[]) {
    this.name = name;
    this.#server = server;
    this.#peers = peers;
  }

  /** Starts it, with what it has. */
  async open(): Promise<void> {
    const onNotification = () => ({
      sources: this.#peers().filter((peer) => peer !== this).map((peer) => peer.#source()),
    });
    this.opened = await openReplica(this.#server, this.name, { storage: this.#storage, onNotification });
  }

  /** Ends it as a crash does: its connection is gone in the middle of all. */
  async crash(): Promise<void> {
    await this.opened.connection.close();
    await this.opened.replica.close();
  }

  /** All that it had on its disk is gone. */
  loseDisk(): void {
    this.#storage = keptStorage();
  }

  #source(): Source {
    const storage = this.#storage;
    return {
      url: `http://${this.name}`,
      async fetch(request) {
        const handler = snapshotHandler(storage, { allowWrites: true });
        const { status, headers, body } = await handler(request);
        const bytes = await new Response(body).arrayBuffer();
        await handler.close();
        return new Response(request.method === "HEAD" ? null : bytes, { status, headers });
      },
    };
  }
}

/** A storage that outlives its replica. */
function keptStorage(): MemoryStorage {
  const storage = new MemoryStorage({ retain: 1 });
  storage.close = () => Promise.resolve();
  return storage;
}

for (const seed of SEEDS) {
  test(`random: proposals, snapshots, restarts, crashes, lost disks and server kills, seed ${seed}`, () =>
    withNats(async (server) => {
      const random = new Random(seed);
      const members: Member[] = [];
      for (const name of ["a", "b", "c"]) members.push(new Member(name, server, () => members));
      for (const member of members) await member.open();
      const acknowledged = new Map<bigint, string>();
      const unknown = new Set<string>();
      let count = 0;
      const propose = async (member: Member) => {
        const command = `${seed}.${count++}`;
        unknown.add(command);
        const { index } = await member.opened.replica.propose(bytes(command));
        unknown.delete(command);
        acknowledged.set(index, command);
      };
      const some = (member: Member) => Array.from({ length: 1 + random.below(60) }, () => propose(member));
      for (let step = 0; step < STEPS; step++) {
        const member = random.pick(members);
        const what = random.below(10);
        if (what < 4) {
          await Promise.all(some(random.pick(members)).concat(some(member)));
        } else if (what < 6) {
          for (const { opened } of members) if (random.chance(0.7)) await opened.replica.snapshot().result;
        } else if (what === 6) {
          await member.opened.close();
          await member.open();
        } else if (what === 7) {
          const proposing = Promise.allSettled(some(member));
          await member.crash();
          await proposing;
          if (random.chance(0.5)) member.loseDisk();
          await member.open();
        } else if (what === 8) {
          await member.opened.replica.purge();
        } else {
          const proposing = some(member);
          await server.kill();
          await server.start();
          await Promise.all(proposing);
        }
      }
      await propose(members[0]!);
      const last = [...acknowledged.keys()].reduce((a, b) => a > b ? a : b);
      for (const { opened } of members) await reaches(opened.replica, last);
      const states = members.map(({ opened }) => opened.replica.machine.state);
      assert.isTrue(states.every((state) => state === states[0]), "all are the same");
      const applied = new Map(
        states[0]!.trim().split(" ").map((word) => {
          const [index, command] = word.split(":") as [string, string];
          return [BigInt(index), command];
        }),
      );
      assert.equal(applied.size, Number(last), "no gap");
      assert.equal(new Set(applied.values()).size, applied.size, "no double");
      for (const [index, command] of acknowledged) assert.equal(applied.get(index), command);
      const others = [...applied.values()].filter((command) => !unknown.has(command));
      assert.equal(others.length, acknowledged.size, "and nothing that nobody proposed");
      for (const { opened } of members) await opened.close();
    }));
}
