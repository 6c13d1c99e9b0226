// Names of servers that lead to where a cloud gives out credentials.

import { MemoryStorage, snapshotHandler } from "../../mod.ts";
import { type LookUp, NameChecks, runtimeLookUp } from "../../src/transfer/server/names.ts";
import { inFakeTime } from "../support/fake_clock.ts";
import { assert, rejects, test } from "../support/harness.ts";

const NAMES: Readonly<Record<string, readonly string[]>> = {
  "good.example": ["203.0.113.7", "2001:db8::7"],
  "local.example": ["127.0.0.1"],
  "evil.example": ["169.254.169.254"],
  "mixed.example": ["203.0.113.7", "169.254.170.2"],
  "six.example": ["fe80::1%eth0"],
  "mapped.example": ["::ffff:169.254.169.254"],
  "aws6.example": ["fd00:ec2::254"],
  "alibaba.example": ["100.100.100.200"],
};
const lookUp = (name: string) => {
  const found = NAMES[name];
  return found === undefined ? Promise.reject(new Error("ENOTFOUND")) : Promise.resolve(found);
};
const checkNames = (sources: readonly string[], lookUp: LookUp | undefined) => new NameChecks(lookUp).check(sources);
const sources = (...names: string[]) => names.map((name) => `http://${name}:8000/x`);

test("names: one that leads to credentials is refused, among others too, and by any of its addresses", async () => {
  await checkNames(sources("good.example", "local.example", "nowhere.example", "192.0.2.1", "[::1]"), lookUp);
  for (const name of ["evil", "mixed", "six", "mapped", "aws6", "alibaba"]) {
    const error = await rejects(checkNames(sources("good.example", `${name}.example`), lookUp), "FORBIDDEN");
    assert.strictEqual(error.fields.status, 403, name);
  }
});

test("names: one that nobody looks up in time is refused; where none can be looked up, all pass", () =>
  inFakeTime(async (clock) => {
    await rejects(checkNames(sources("slow.example"), () => new Promise(() => {})), "FORBIDDEN");
    assert.isBelow(clock.passed, 10_000);
    await checkNames(sources("evil.example"), undefined);
  }));

test("names: however many notifications name however many names, one is looked up at a time", () =>
  inFakeTime(async () => {
    let [running, most, asked] = [0, 0, 0];
    const checks = new NameChecks(async (name) => {
      most = Math.max(most, ++running);
      asked++;
      if (name.startsWith("slow")) await new Promise((resolve) => setTimeout(resolve, 4000));
      running--;
      return ["203.0.113.7"];
    });
    const many = Array.from({ length: 60 }, (_, i) => `slow-${i}.example`);
    const refused = rejects(checks.check(sources(...many)), "FORBIDDEN");
    const later = await rejects(checks.check(sources("quick.example")), "UNAVAILABLE");
    assert.strictEqual(later.fields.status, 503, "it is not this one's fault");
    await refused;
    await checks.check(sources("quick.example"));
    assert.deepEqual([running, most, asked], [0, 1, 3], "what nobody waits for any more is not looked up");
  }));

test("names: a notification names 64 sources at most", async () => {
  const storage = new MemoryStorage();
  const handler = snapshotHandler(storage, { allowWrites: true });
  const notify = async (count: number) => {
    const named = Array.from({ length: count }, (_, i) => `http://127.0.0.1:${i + 1}/`);
    const body = JSON.stringify({ term: "1", firstAvailable: { index: "1", term: "1" }, sources: named });
    const headers = { "Content-Type": "application/json" };
    const response = await handler(new Request("http://h/snapshots/notification", { method: "POST", headers, body }));
    await response.body?.cancel();
    return response.status;
  };
  assert.deepEqual([await notify(64), await notify(65)], [200, 400]);
  await handler.close();
  await storage.close();
});

test("names: only true allows a source", async () => {
  const storage = new MemoryStorage();
  const headers = { "Content-Type": "application/json" };
  const named = ["http://127.0.0.1:1/"];
  const body = JSON.stringify({ term: "1", firstAvailable: { index: "1", term: "1" }, sources: named });
  for (const said of [true, false, undefined, "no", Promise.resolve(false)]) {
    const handler = snapshotHandler(storage, { allowWrites: true, isSource: () => said as boolean });
    const response = await handler(new Request("http://h/snapshots/notification", { method: "POST", headers, body }));
    await response.body?.cancel();
    assert.strictEqual(response.status, said === true ? 200 : 403, String(said));
    await handler.close();
  }
  await storage.close();
});

test("names: a notification whose sources are names or addresses is taken", async () => {
  const storage = new MemoryStorage();
  const taken: string[] = [];
  const target = {
    snapshot: () => assert.fail(),
    install: () => assert.fail(),
    notify({ sources = [] }: { readonly sources?: readonly string[] }) {
      taken.push(...sources);
      return Promise.resolve({ result: "IN_PROGRESS" as const });
    },
  };
  const handler = snapshotHandler(storage, { allowWrites: true, target });
  const all = ["http://localhost:1/", "http://127.0.0.1:1/"];
  const headers = { "Content-Type": "application/json" };
  const body = JSON.stringify({ term: "1", firstAvailable: { index: "1", term: "1" }, sources: all });
  const response = await handler(new Request("http://h/snapshots/notification", { method: "POST", headers, body }));
  assert.strictEqual(response.status, 200, await response.text());
  assert.deepEqual(taken, all);
  if (runtimeLookUp() !== undefined) assert.isNotEmpty(await runtimeLookUp()!("localhost"));
  await handler.close();
  await storage.close();
});
