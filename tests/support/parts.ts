// What a replica in memory is made of, so that it can be opened again.

import {
  type LogEntry,
  type LogStorage,
  MemoryLog,
  Replica,
  type ReplicaOptions,
  type SnapshotStorage,
} from "../../mod.ts";
import { FakeClock } from "./fake_clock.ts";
import { SpoiledStorage } from "./faulty_medium.ts";
import { Probe } from "./probe.ts";

export interface Parts {
  readonly log: MemoryLog;
  readonly storage: SpoiledStorage;
}

/** A log and a storage that outlive their replica: closing is nothing to them. */
export function parts(): Parts {
  const storage = new SpoiledStorage();
  storage.close = () => Promise.resolve();
  return { log: new MemoryLog(), storage };
}

/** A replica whose clock stands still, and that saves only when it is told to. */
export function open(
  parts: { readonly log: LogStorage; readonly storage: SnapshotStorage },
  options: Partial<ReplicaOptions<Probe>> = {},
): Promise<Replica<Probe>> {
  const triggers = { interval: 0, entries: 0, ...options.triggers };
  return Replica.open({ machine: new Probe(), clock: new FakeClock(), ...parts, ...options, triggers });
}

/** Proposes entries, one after the other. */
export async function fill(replica: Replica<Probe>, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await replica.propose(bytes("x"));
}

/** Entries as another replica gives them. */
export function entries(from: number, count: number, term = 1n): LogEntry[] {
  return Array.from({ length: count }, (_, i) => ({ index: BigInt(from + i), term, data: bytes("x") }));
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
