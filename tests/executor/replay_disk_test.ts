// Applying a long log when a replica is opened.

import { type ExecutorEvent, MemoryLog, Replica } from "../../mod.ts";
import { assert, rejects, test } from "../support/harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { entries, parts } from "../support/parts.ts";
import { MemorySharedLog } from "../support/shared_log.ts";
import type { LogEntry, StateMachine } from "../../mod.ts";

const COUNT = 300;

/** Takes a millisecond for each entry. */
class Slow implements StateMachine {
  applied = 0;
  apply(): void {
    for (const end = performance.now() + 1; performance.now() < end;);
    this.applied++;
  }
  save(): undefined {}
  load(): Promise<void> {
    return Promise.resolve();
  }
}

/** How often a timer came to its turn while something was done. */
async function ticksDuring(work: () => Promise<unknown>): Promise<number> {
  let ticks = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const tick = () => {
    ticks++;
    timer = setTimeout(tick, 0);
  };
  tick();
  try {
    await work();
  } finally {
    clearTimeout(timer);
  }
  return ticks;
}

const still = () => ({ machine: new Slow(), clock: new FakeClock(), triggers: { interval: 0, entries: 0 } });

test("replay: timers have their turn meanwhile, and events say how far it is", async () => {
  const { storage } = parts();
  const log = new MemoryLog();
  await log.append(entries(1, COUNT));
  const events: ExecutorEvent[] = [];
  let replica: Replica<Slow> | undefined;
  const ticks = await ticksDuring(async () => {
    replica = await Replica.open({ ...still(), storage, log, onEvent: (event) => void events.push(event) });
  });
  assert.isAbove(ticks, 15);
  const told = events.flatMap((event) => event.type === "replayed" ? [[event.index, event.lastIndex]] : []);
  assert.isAbove(told.length, 1);
  assert.deepEqual(told.at(-1), [BigInt(COUNT), BigInt(COUNT)]);
  assert.equal(replica!.machine.applied, COUNT);
  await replica!.close();
});

test("replay: of a shared log too", async () => {
  const { storage } = parts();
  const log = new MemorySharedLog();
  const member = log.member();
  for (const { data } of entries(1, COUNT) as LogEntry[]) await member.propose({ data });
  let replica: Replica<Slow> | undefined;
  const ticks = await ticksDuring(async () => {
    replica = await Replica.open({ ...still(), storage, log: log.member() });
  });
  assert.isAbove(ticks, 15);
  await replica!.close();
});

test("replay: can be given up, and nothing is applied after that", async () => {
  const { storage } = parts();
  const log = new MemoryLog();
  await log.append(entries(1, COUNT));
  const stop = new AbortController();
  const options = still();
  setTimeout(() => stop.abort("SIGTERM"), 30);
  const onClose = { ...options.triggers, onClose: true };
  await rejects(Replica.open({ ...options, triggers: onClose, storage, log, signal: stop.signal }), "CANCELLED");
  const { applied } = options.machine;
  assert.isBelow(applied, COUNT);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(options.machine.applied, applied);
});
