// A Yjs document, an Automerge document, an XState actor and an object as machines, each in a few lines, with the real
// packages: what one replica saves another restores, and goes on from.

import * as Automerge from "@automerge/automerge";
import { createActor, createMachine } from "xstate";
import * as Y from "yjs";
import { bytesMachine, MemoryLog, MemoryStorage, Replica, restore, type StateMachine } from "../../mod.ts";
import { assert, test } from "../support/harness.ts";

const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const parsed = (bytes: Uint8Array) => JSON.parse(new TextDecoder().decode(bytes));

/** A machine, commands for it, and a look at its state. */
interface Example {
  readonly machine: StateMachine;
  readonly commands: readonly Uint8Array[];
  readonly look: () => unknown;
}

function yjs(): Example {
  let doc = new Y.Doc();
  const author = new Y.Doc();
  const commands: Uint8Array[] = [];
  author.on("update", (update: Uint8Array) => commands.push(update));
  author.getText("title").insert(0, "Snapshots");
  author.getMap("votes").set("Ada", 3);
  const machine = bytesMachine({
    apply: ({ data }) => Y.applyUpdate(doc, data),
    encode: () => Y.encodeStateAsUpdate(doc),
    decode: (bytes) => Y.applyUpdate(doc = new Y.Doc(), bytes),
  });
  return { machine, commands, look: () => [doc.getText("title").toString(), doc.getMap("votes").toJSON()] };
}

function automerge(): Example {
  let doc = Automerge.init<{ title?: string; votes?: number }>();
  let author = Automerge.init<{ title?: string; votes?: number }>();
  author = Automerge.change(author, (draft) => void (draft.title = "Snapshots"));
  author = Automerge.change(author, (draft) => void (draft.votes = 3));
  const machine = bytesMachine({
    apply: ({ data }) => void ([doc] = Automerge.applyChanges(doc, [data])),
    encode: () => Automerge.save(doc),
    decode: (bytes) => void (doc = Automerge.load(bytes)),
  });
  return { machine, commands: Automerge.getAllChanges(author), look: () => ({ ...doc }) };
}

function xstate(): Example {
  const light = createMachine({
    initial: "red",
    states: { red: { on: { NEXT: "green" } }, green: { on: { NEXT: "red" } } },
  });
  let actor = createActor(light).start();
  const machine = bytesMachine({
    apply: ({ data }) => actor.send(parsed(data)),
    encode: () => json(actor.getPersistedSnapshot()),
    decode: (bytes) => void (actor = createActor(light, { snapshot: parsed(bytes) }).start()),
  });
  return {
    machine,
    commands: [{ type: "NEXT" }, { type: "NEXT" }, { type: "NEXT" }].map(json),
    look: () => actor.getSnapshot().value,
  };
}

function plain(): Example {
  let votes: Record<string, number> = {};
  const machine = bytesMachine({
    apply: ({ data }) => void (votes[parsed(data)] = (votes[parsed(data)] ?? 0) + 1),
    encode: () => json(votes),
    decode: (bytes) => void (votes = parsed(bytes)),
  });
  return { machine, commands: ["Ada", "Ada", "Grace"].map(json), look: () => votes };
}

for (const [name, make] of Object.entries({ yjs, automerge, xstate, plain })) {
  test(`machines in a few lines: ${name}`, async () => {
    const [first, second, expected] = [make(), make(), make()];
    const { commands } = first;
    for (const [i, data] of commands.entries()) await expected.machine.apply({ index: BigInt(i + 1), term: 1n, data });
    const storage = new MemoryStorage();
    const options = { log: new MemoryLog(), storage, triggers: { interval: 0 } };
    const replica = await Replica.open({ ...options, machine: first.machine });
    for (const command of commands.slice(0, -1)) await replica.propose(command);
    await replica.snapshot().result;
    const meta = await restore(second.machine, storage);
    assert.equal(meta?.lastIncludedIndex, BigInt(commands.length - 1));
    await second.machine.apply({ index: BigInt(commands.length), term: 1n, data: commands.at(-1)! });
    assert.deepEqual(second.look(), expected.look());
    await replica.close();
  });
}
