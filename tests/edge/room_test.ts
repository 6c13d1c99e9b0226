import { jsonCodec, KeyValueMachine, MemoryLog, MemoryStorage, Replica } from "../../mod.ts";
import type { Message } from "../examples/room.ts";
import { assert, gate, test } from "../support/harness.ts";
import { ask, withWorker } from "../support/miniflare.ts";

const Authorization = "Bearer sesame";

test("the room: what was said is heard by all, and outlives hibernation, eviction and a power cut", () =>
  withWorker(async (worker) => {
    const room = () => `${worker.url}/lobby`;
    const heard: Message[] = [];
    let told = gate();
    const socket = new WebSocket(`${room().replace("http", "ws")}/socket`);
    socket.onopen = () => told.open();
    socket.onmessage = ({ data }) => {
      heard.push(JSON.parse(data as string));
      told.open();
    };
    await told.promise;
    const say = async (id: string, text: string) => {
      told = gate();
      socket.send(JSON.stringify({ id, from: "ann", text }));
      await told.promise;
    };
    await say("1", "hello");
    await worker.evict("Room", "lobby");
    await say("2", "still here?");
    await ask(`${room()}/messages`, {
      method: "POST",
      body: JSON.stringify({ id: "2", from: "ann", text: "still here?" }),
    });
    await ask(`${room()}/messages`, { method: "POST", body: JSON.stringify({ id: "3", from: "bob", text: "yes" }) });
    assert.deepEqual(heard.map(({ id }) => id), ["1", "2", "2", "3"]);
    socket.close();
    await worker.crash();
    const said = JSON.parse(await ask(`${room()}/messages`)) as Message[];
    assert.deepEqual(said.map(({ id, text }) => `${id} ${text}`).sort(), ["1 hello", "2 still here?", "3 yes"]);
  }));

test("the room: its snapshots are for who knows the secret, and a Node process goes on with one", () =>
  withWorker(async (worker) => {
    const room = `${worker.url}/lobby`;
    await ask(`${room}/messages`, { method: "POST", body: JSON.stringify({ id: "1", from: "ann", text: "hello" }) });
    assert.equal((await fetch(`${room}/snapshots`)).status, 403);
    await ask(`${room}/snapshots?gap=1`, {
      method: "POST",
      headers: { Authorization, "Content-Type": "application/json" },
    });
    const machine = new KeyValueMachine(jsonCodec<Message>());
    const node = await Replica.open({ machine, log: new MemoryLog(), storage: new MemoryStorage() });
    await node.install([{ url: room, headers: { Authorization } }]).result;
    assert.equal(machine.get("1")?.text, "hello");
    await node.close();
    assert.equal(await fetch(`${worker.url}/other/messages`).then((it) => it.text()), "[]", "another room");
  }));
