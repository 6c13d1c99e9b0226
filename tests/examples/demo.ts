// The main job, on a real data set: taken while it runs, served, installed, killed, recovered, compacted, followed, and
// backed up.
// `deno task demo [--json]`

import { type ExecutorEvent, keyGroupOf, keyGroupRange, openRemote } from "../../mod.ts";
import { Backup, restoreBackup } from "../../src/backup.ts";
import { hashString } from "../../src/extend.ts";
import { DirectoryBucket } from "../../src/fs.ts";
import { processIo } from "../../src/cli/io.ts";
import { cityCommands, cityMachine } from "./cities.ts";
import { catchUp, type CityReplica, openNode, serveNode, stateDigest } from "./node.ts";

const json = Deno.args.includes("--json");
const figures: Record<string, unknown> = {};
const { watch } = processIo();

function say(line: string): void {
  if (!json) console.log(line);
}

/** Notes what was found, and stops the demo if it is not as claimed. */
function claim(what: string, holds: boolean): void {
  if (!holds) throw new Error(`Not as claimed: ${what}`);
  say(`  ✓ ${what}`);
}

const number = (value: number | bigint) => value.toLocaleString("en");
const ms = (value: number) => `${value.toFixed(value < 10 ? 3 : 0)} ms`;

async function demo(root: string): Promise<void> {
  const start = performance.now();
  const events: ExecutorEvent[] = [];
  const { replica: leader, storage } = await openNode(`${root}/leader`, {
    onEvent: (event) => void events.push(event),
  });

  say("1. A leader applies commands, each durable in its log before it is applied");
  const commands = cityCommands(leader.machine);
  const first = 100_000;
  let begun = performance.now();
  await proposeAll(leader, commands.slice(0, first));
  const loadRate = first / (performance.now() - begun) * 1000;
  say(`  ${number(first)} of ${number(commands.length)} cities, ${number(Math.round(loadRate))} commands a second`);

  say("2. It takes a snapshot while it goes on");
  const saving = leader.snapshot();
  const watched = watch(saving);
  let next = first;
  let busy = true;
  saving.result.then(() => busy = false, () => busy = false);
  while (busy && next < commands.length) {
    await proposeAll(leader, commands.slice(next, next += 500));
  }
  const saved = await watched;
  const index = saved.snapshot!.meta.lastIncludedIndex;
  await proposeAll(leader, commands.slice(next));
  const meanwhile = Math.min(next, commands.length) - first;
  say(
    `  synchronous part ${ms(saved.syncDuration)}, asynchronous part ${ms(saved.asyncDuration)}, ${
      number(saved.bytes)
    } bytes`,
  );
  claim(`${number(meanwhile)} commands were applied meanwhile`, meanwhile > 0);
  const copy = cityMachine();
  const reader = await storage.open(index);
  await copy.load(reader);
  await reader.close();
  const replayed = cityMachine();
  for await (const entry of leader.entries(1n)) {
    if (entry.index > index) break;
    replayed.apply(entry);
  }
  claim(
    `what was saved is the state at index ${number(index)}, to the byte`,
    await stateDigest(copy) === await stateDigest(replayed),
  );
  const { bytes, syncDuration, asyncDuration } = saved;
  Object.assign(figures, {
    cities: commands.length,
    loadRate,
    syncDuration,
    asyncDuration,
    bytes,
    appliedMeanwhile: meanwhile,
  });

  say("3. An empty follower installs it over HTTP and catches up by the log");
  const { server, handler } = await serveNode(leader, storage);
  const { replica: follower } = await openNode(`${root}/follower`);
  begun = performance.now();
  const { snapshot: installed } = await watch(follower.install([server.url]));
  const installDuration = performance.now() - begun;
  const entries = await catchUp(follower, server.url);
  say(
    `  snapshot ${number(installed!.meta.lastIncludedIndex)} in ${ms(installDuration)}, then ${
      number(entries)
    } entries`,
  );
  claim("both states have the same digest", await stateDigest(follower.machine) === await stateDigest(leader.machine));
  Object.assign(figures, { installDuration, caughtUp: entries });

  say("4. A node is killed (SIGKILL) in the middle of a save");
  const crashed = `${root}/crashed`;
  const acknowledged = await killChild("save", crashed, "30000");
  const { replica: recovered } = await openNode(crashed);
  claim(
    `all ${number(acknowledged)} acknowledged commands are there`,
    recovered.status().appliedIndex === acknowledged,
  );
  claim("the state is what they make", await stateDigest(recovered.machine) === await stateAfter(commands, 30_000));
  claim("no litter", (await litter(crashed)).length === 0);
  await recovered.close();

  say("5. Another in the middle of an install");
  const interrupted = `${root}/interrupted`;
  await killChild("install", interrupted, server.url);
  const { replica: resumed } = await openNode(interrupted);
  claim("it comes up empty: nothing half-installed", resumed.machine.size === 0);
  const resuming = resumed.install([server.url]);
  await watch(resuming);
  const { reused } = resuming.progress;
  claim(`it goes on where it was: ${number(reused)} of ${number(resuming.progress.bytes)} bytes were here`, reused > 0);
  claim("no litter", (await litter(interrupted)).length === 0);
  await catchUp(resumed, server.url);
  claim("the state is the leader's", await stateDigest(resumed.machine) === await stateDigest(leader.machine));
  await resumed.close();
  Object.assign(figures, { acknowledgedBeforeKill: Number(acknowledged), resumedBytes: reused });

  say("6. A second snapshot, after a small change, is incremental, and lets the log behind the first be purged");
  const before = leader.status();
  const changed = await changeSome(leader);
  const delta = await watch(leader.snapshot());
  const after = leader.status();
  say(
    `  ${number(delta.bytes)} bytes written in ${ms(delta.asyncDuration)}, ${
      number(delta.reused)
    } of the first one reused`,
  );
  claim("it has what was put since, and reuses the rest", delta.reused > 0 && delta.bytes < delta.reused / 2);
  say(
    `  log ${number(before.firstIndex)} … ${number(before.lastIndex)} → ${number(after.firstIndex)} … ${
      number(after.lastIndex)
    }`,
  );
  claim("it begins behind the oldest snapshot that is kept", after.firstIndex === index + 1n);
  claim("an event says so", events.some((event) => event.type === "purged" && event.index === index));

  say(`7. The follower installs it: ${changed} of its ${number(commands.length)} records differ`);
  const second = follower.install([server.url]);
  await watch(second);
  const { bytes: all, reused: kept } = second.progress;
  claim(
    `${number(kept)} of ${number(all)} bytes were here already (${(kept / all * 100).toFixed(1)} %)`,
    kept > all / 2,
  );
  claim("both states have the same digest", await stateDigest(follower.machine) === await stateDigest(leader.machine));
  Object.assign(figures, {
    logEntriesBefore: Number(before.lastIndex - before.firstIndex) + 1,
    logEntriesAfter: Number(after.lastIndex - after.firstIndex) + 1,
    reusedBytes: kept,
    installedBytes: all,
    incrementalBytes: delta.bytes,
    incrementalDuration: delta.asyncDuration,
  });

  say("8. One of four workers restores its key groups, over HTTP, out of the same snapshot");
  const requested: string[] = [];
  const remote = await openRemote({
    url: server.url,
    fetch(request) {
      requested.push(request.headers.get("Range") ?? "");
      return fetch(request);
    },
  });
  const worker = cityMachine({ range: keyGroupRange(128, 4, 1) });
  begun = performance.now();
  await worker.load(remote);
  const restoreDuration = performance.now() - begun;
  await remote.close();
  const fetched = requested.reduce((sum, range) => {
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range) ?? [];
    return first === undefined ? sum : sum + Number(last) - Number(first) + 1;
  }, 0);
  say(`  ${number(worker.size)} of ${number(commands.length)} cities in ${ms(restoreDuration)}`);
  claim(
    `it asked for ${number(fetched)} of ${number(remote.manifest.size)} bytes`,
    fetched < remote.manifest.size * 0.3,
  );
  const theirs = [...leader.machine.entries()].filter(([key]) => owns(key));
  claim("it has what the leader has in them", JSON.stringify([...worker.entries()]) === JSON.stringify(theirs));
  Object.assign(figures, { restoredBytes: fetched, restoreDuration });

  say("9. The state goes to a third node as it is now, with no snapshot of it on the leader's disk");
  const { replica: third, storage: thirdStorage } = await openNode(`${root}/third`);
  const { server: thirdServer, handler: thirdHandler } = await serveNode(third, thirdStorage);
  await changeSome(leader);
  begun = performance.now();
  const sent = await watch(leader.push(thirdServer.url));
  const pushDuration = performance.now() - begun;
  say(`  up to entry ${sent!.lastIncludedIndex}, in ${ms(pushDuration)}`);
  claim("it has what the leader has", await stateDigest(third.machine) === await stateDigest(leader.machine));
  claim(
    "the leader has no snapshot of that",
    leader.status().snapshot!.meta.lastIncludedIndex < sent!.lastIncludedIndex,
  );
  await Promise.all([third.close(), thirdServer.close(), thirdHandler.close()]);
  Object.assign(figures, { pushDuration });

  say("10. The follower stays on the leader's log, and a bucket has each entry within a second");
  const bucket = await DirectoryBucket.open(`${root}/bucket`);
  const backup = await Backup.start(leader, bucket);
  const following = follower.follow([server.url]);
  await changeSome(leader);
  const point = leader.status().appliedIndex;
  const atPoint = await stateDigest(leader.machine);
  await changeSome(leader);
  await following.caughtUp(leader.status().appliedIndex);
  claim("both states have the same digest", await stateDigest(follower.machine) === await stateDigest(leader.machine));
  await backup.flush();
  await backup.close();
  const past = cityMachine();
  begun = performance.now();
  const { entries: replayedEntries } = await restoreBackup(past, bucket, { index: point });
  const backupDuration = performance.now() - begun;
  say(
    `  restored to entry ${number(point)} in ${ms(backupDuration)}: a snapshot, and ${number(replayedEntries)} entries`,
  );
  claim("it is the state of that point", await stateDigest(past) === atPoint);

  say("11. The leader is lost, and the follower promoted");
  await server.close();
  await handler.close();
  const had = leader.status().appliedIndex;
  await leader.close();
  const { term } = await following.promote();
  await changeSome(follower);
  claim(`it takes commands in term ${term}, after all ${number(had)} entries`, follower.status().firstIndex <= had);
  Object.assign(figures, { backupDuration });

  await follower.close();
  Object.assign(figures, { seconds: (performance.now() - start) / 1000 });
  say(`Done in ${((performance.now() - start) / 1000).toFixed(1)} s`);
}

/** Whether a city is the second worker's of four. */
function owns(key: string): boolean {
  const group = keyGroupOf(hashString(key), 128);
  const { first, last } = keyGroupRange(128, 4, 1);
  return first <= group && group <= last;
}

async function proposeAll(replica: CityReplica, commands: readonly Uint8Array[]): Promise<void> {
  for (let at = 0; at < commands.length; at += 1000) {
    await Promise.all(commands.slice(at, at + 1000).map((command) => replica.propose(command)));
  }
}

/** Recounts the inhabitants of some cities; the numbers keep their length. */
async function changeSome(replica: CityReplica): Promise<number> {
  const some = [...replica.machine.entries()].filter(([, { population }]) => population > 10 && population % 10 < 9)
    .slice(5000, 5100);
  await proposeAll(
    replica,
    some.map(([key, city]) => replica.machine.put(key, { ...city, population: city.population + 1 })),
  );
  return some.length;
}

/** The state that a number of commands make, and the first hundred once more. */
async function stateAfter(commands: readonly Uint8Array[], count: number): Promise<string> {
  const machine = cityMachine();
  [...commands.slice(0, count), ...commands.slice(0, 100)].forEach((data, i) => {
    machine.apply({ index: BigInt(i + 1), term: 1n, data });
  });
  return await stateDigest(machine);
}

/** Starts a node, kills it when it says that it is in the middle, and returns the last index that it acknowledged. */
async function killChild(...args: string[]): Promise<bigint> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-all",
      "--quiet",
      "--lock=.deno.lock",
      new URL("./demo_child.ts", import.meta.url).pathname,
      ...args,
    ],
    stdout: "piped",
  }).spawn();
  let output = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    const before = output.includes("in the middle");
    output += text;
    if (!before && output.includes("in the middle")) child.kill("SIGKILL"); // once: several writes may say so
  }
  const { signal } = await child.status;
  claim("it was killed in the middle", signal === "SIGKILL" && !output.includes("was not killed"));
  return BigInt([...output.matchAll(/acknowledged (\d+)/g)].at(-1)?.[1] ?? 0);
}

/** What a crash left in a storage. */
async function litter(directory: string): Promise<string[]> {
  const names = (await Array.fromAsync(Deno.readDir(`${directory}/snapshots`))).map(({ name }) => name);
  return names.filter((name) => !/^snapshot_\d{20}$|^\.lock$/.test(name));
}

const root = await Deno.makeTempDir({ prefix: "snapstream-demo-" });
let code = 0;
try {
  await demo(root);
  if (json) console.log(JSON.stringify({ ok: true, ...figures }));
} catch (error) {
  code = 1;
  if (json) console.log(JSON.stringify({ ok: false, error: String(error), ...figures }));
  else console.error(error);
} finally {
  await Deno.remove(root, { recursive: true });
}
Deno.exit(code);
