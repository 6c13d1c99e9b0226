// Replicas that can be followed, each behind a handler of its own.

import {
  KeyValueMachine,
  type KeyValueMachine as Machine,
  MemoryLog,
  MemoryStorage,
  Replica,
  type ReplicaOptions,
  snapshotHandler,
  type SnapshotHandlerOptions,
  type SourceOptions,
  utf8Codec,
} from "../../mod.ts";

/** A replica, and how it is reached. */
export type Node = {
  readonly machine: Machine<string>;
  readonly log: MemoryLog;
  readonly storage: MemoryStorage;
  readonly replica: Replica<Machine<string>>;
  readonly source: SourceOptions;
  /** True: it answers. */
  isUp: boolean;
  close(): Promise<void>;
};

/** Opens one. */
export async function node(
  name: string,
  options: Partial<ReplicaOptions<Machine<string>>> = {},
  served: SnapshotHandlerOptions = { allowWrites: true },
): Promise<Node> {
  const machine = new KeyValueMachine(utf8Codec());
  const log = new MemoryLog();
  const storage = new MemoryStorage();
  const replica = await Replica.open({ machine, log, storage, ...options });
  const handler = snapshotHandler(storage, { target: replica, ...served });
  const it: Node = {
    machine,
    log,
    storage,
    replica,
    isUp: true,
    source: {
      url: `http://${name}`,
      fetch: (request) => it.isUp ? handler(request) : Promise.reject(new TypeError("connection refused")),
    },
    async close() {
      await handler.close();
      await replica.close();
    },
  };
  return it;
}

/** Proposes so many entries. */
export function put({ replica, machine }: Node, count: number, from = 0): Promise<unknown> {
  return Promise.all(
    Array.from({ length: count }, (_, i) => replica.propose(machine.put(`k${from + i}`, `v${from + i}`))),
  );
}

/** Does something, and closes nodes after it. */
export async function within(nodes: readonly Node[], work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } finally {
    for (const node of nodes) await node.close();
  }
}
