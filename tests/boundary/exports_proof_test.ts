import { slots } from "../fuzz/targets/boundary.ts";
import { assert, test } from "../support/harness.ts";
import { Random } from "../support/random.ts";
import { give, isRight } from "./check.ts";
import { exportedNames, givenNames } from "./exports.ts";
import { bucketSlots, logSlots, serverSlots, sqliteSlots, storageSlots } from "./slots_disk.ts";
import { serviceSlots } from "./slots_services.ts";
import { KINDS, valueOf } from "./values.ts";
import type { World } from "./world.ts";

const none = undefined as never;
const all = [
  ...slots,
  ...serviceSlots,
  ...[...storageSlots("", none), ...bucketSlots("", none), ...sqliteSlots("", none), ...serverSlots()],
  ...logSlots("OpfsLog", none),
];

/** Why these are not looked at here. */
const REASONS: Readonly<Record<string, readonly string[]>> = {
  "its constructor is private: it is opened, or made by another one": [
    ...["ChunkMap", "CowView", "Replica", "SnapshotManifest", "StoredState", "DirectoryBucket", "DirectoryStorage"],
    ...["ObjectStorage", "Backup", "SqliteLog", "AlarmClock", "DurableObjectLog", "DurableReplica", "JetStreamBucket"],
    ...["JetStreamLog", "OpfsLog", "OpfsStorage", "SqlLog"],
  ],
  "any value is a key, or a value, as in a Map": [
    ...["CowMap.get", "CowMap.has", "CowMap.set", "CowMap.delete", "CowView.get", "CowView.has"],
  ],
  "it says what went wrong, or how far something is, and does nothing": [
    ...["SnapshotError", "hasCode", "ChunkMap.corrupt", "writer.abort"],
    ...["Tracker.phase", "Tracker.add", "Tracker.reuse", "Tracker.set"],
  ],
  "as a promise's: what is no function is passed over": ["Operation.then"],
  "it is no part of the type that is given": ["writer.begin", "writer.end"],
  "a replica and its executor call it between two applies, for each entry, with what they have checked": [
    ...["FsmCaller.listen", "FsmCaller.begin", "FsmCaller.exclusive", "FsmCaller.fail", "FsmCaller.apply"],
    ...["FsmCaller.reapply", "FsmCaller.validate", "FsmCaller.checkUnderstood", "FsmCaller.prepare"],
    ...["FsmCaller.release", "FsmCaller.callBack", "FsmCaller.check", "FsmCaller.replace", "FsmCaller.load"],
    ...["FsmCaller.loaded", "FsmCaller.bindGroup", "FsmCaller.trust"],
  ],
  "a place calls it, with what the `add` of its writer was given, and it checks that": ["addLocal"],
  "it needs a server: tests/jetstream/boundary_test.ts": [
    ...["JetStreamBucket.get", "JetStreamBucket.put", "JetStreamBucket.delete", "JetStreamBucket.list"],
    ...["JetStreamLog.propose", "JetStreamLog.follow", "JetStreamLog.term", "JetStreamLog.purge"],
  ],
};
const EXEMPT = Object.values(REASONS).flat();

/** The names of the parameters' functions: of "MemoryStorage: writer.file, pieces" that is "writer.file". */
function functionOf(of: string): string {
  const [whole] = of.split(",");
  const [name, method] = whole!.split(": ");
  if (method !== undefined && /^(writer|reader)\./.test(method)) return method;
  // The classes that have the methods.
  return name!.replace(/^MemoryStorage\./, "MediumStorage.").replace(/^SqliteLog\.(?!open)/, "SqlLog.");
}

test("boundary: whatever is exported, and takes something, is looked at", async () => {
  const looked = new Set(all.map(({ of }) => functionOf(of)));
  const names = new Set([...await exportedNames(), ...await givenNames()]);
  assert.deepEqual([...names].filter((name) => !looked.has(name) && !EXEMPT.includes(name)), []);
  assert.deepEqual(EXEMPT.filter((name) => !names.has(name) || looked.has(name)), [], "needless");
  assert.isAbove(names.size, 200);
});

test("boundary: what needs a service refuses what is not for it, before it asks for anything", async () => {
  const wrong: string[] = [];
  for (const slot of serviceSlots) {
    for (let kind = 0; kind < KINDS; kind++) {
      const value = valueOf(kind, new Random(kind));
      if (isRight(slot, value)) continue;
      const outcome = await give(slot, {} as World, value);
      if (outcome.wrong !== undefined) wrong.push(outcome.wrong);
    }
  }
  if (wrong.length > 0) throw new Error(wrong.slice(0, 20).join("\n"));
});
