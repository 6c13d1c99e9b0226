import fc from "fast-check";
import { CowMap, type CowView } from "../../mod.ts";
import { assert, rejects, test } from "../support/harness.ts";
import { runs } from "../support/random.ts";

type Key = number;
type Value = number | undefined;

interface Open {
  readonly view: CowView<Key, Value>;
  readonly copy: [Key, Value][];
}

type Step =
  | { readonly do: "set" | "update"; readonly key: Key; readonly value: Value }
  | { readonly do: "delete"; readonly key: Key }
  | { readonly do: "clear" | "snapshot" }
  | { readonly do: "release" | "peek"; readonly which: number }
  | { readonly do: "live"; readonly count: number };

// Few keys, so that the same ones are put, deleted and put again on several layers.
const key = fc.integer({ min: 0, max: 7 });
const value = fc.option(fc.integer({ min: 0, max: 99 }), { nil: undefined });
const which = fc.nat(5);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("set" as const), key, value }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("update" as const), key, value }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("delete" as const), key }) },
  { weight: 3, arbitrary: fc.constant({ do: "snapshot" as const }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("release" as const), which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("peek" as const), which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("live" as const), count: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.constant({ do: "clear" as const }) },
);

// To walk over a view keeps its layers: half of the runs do not.
for (const [part, walking] of [false, true, false, true].entries()) {
  test(`a CowMap is a Map, and each view is the map of its time, in order, part ${part + 1}`, () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
        const map = new CowMap<Key, Value>();
        const model = new Map<Key, Value>();
        const open: Open[] = [];
        for (const step of steps) {
          take(step, map, model, open);
          if (walking) same(map, model);
          else sameKeys(map, model);
          for (const { view, copy } of open) walking ? same(view, new Map(copy), copy) : sameKeys(view, new Map(copy));
        }
        same(map, model);
        for (const { view, copy } of open) same(view, new Map(copy), copy);
      }),
      { numRuns: runs(250) },
    );
  });
}

for (const part of [1, 2, 3, 4]) {
  test(`what changed between two views leads from the one to the other, in order, part ${part}`, () => {
    let compared = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 80, size: "max" }), (steps) => {
        const map = new CowMap<Key, Value>();
        const model = new Map<Key, Value>();
        const open: Open[] = [];
        let cleared = 0;
        const clears = new Map<Open, number>();
        for (const step of steps) {
          if (step.do === "peek") continue; // it would keep the layers as they are
          take(step, map, model, open);
          if (step.do === "clear") cleared++;
          if (step.do === "snapshot") clears.set(open.at(-1)!, cleared);
          for (const { view, copy } of open) sameKeys(view, new Map(copy));
        }
        for (const [i, later] of open.entries()) {
          for (const earlier of open.slice(0, i)) {
            const changes = later.view.changesSince(earlier.view);
            assert.equal(changes === undefined, clears.get(earlier) !== clears.get(later));
            if (changes === undefined) continue;
            const replayed = new Map(earlier.copy);
            for (const { deleted, put } of changes) {
              for (const key of deleted) replayed.delete(key);
              for (const [key, value] of put) replayed.set(key, value);
            }
            assert.deepEqual([...replayed], later.copy);
            compared++;
          }
        }
      }),
      { numRuns: runs(375) },
    );
    assert.isAbove(compared, runs(100));
  });
}

test("a view that is kept while others come and go costs one layer, not one for each of them", () => {
  const map = new CowMap(Array.from({ length: 1000 }, (_, i): [number, number] => [i, i]));
  let committed = map.snapshot();
  for (let round = 0; round < 50; round++) {
    for (let i = 0; i < 30; i++) map.set(1000 + i, round);
    const saved = map.snapshot();
    assert.deepEqual(saved.changesSince(committed)!.map(({ put }) => put.size), [30]);
    committed.release();
    committed = saved.share();
    saved.release();
  }
  for (let i = 0; i < 30; i++) map.set(i, -1);
  assert.isTrue(isNative(committed.entries()), "it lies on the lowest layer");
  assert.equal(committed.size, 1030);
  assert.equal(committed.get(0), 0);
  committed.release();
  for (let i = 0; i < 30; i++) map.set(i, -2);
  assert.isTrue(isFolded(map));
});

function take(step: Step, map: CowMap<Key, Value>, model: Map<Key, Value>, open: Open[]): void {
  switch (step.do) {
    case "set":
      map.set(step.key, step.value);
      model.set(step.key, step.value);
      break;
    case "update": {
      const change = (old: Value) => old === undefined ? step.value : old + 1;
      assert.equal(map.update(step.key, change), change(model.get(step.key)));
      model.set(step.key, change(model.get(step.key)));
      break;
    }
    case "delete":
      assert.equal(map.delete(step.key), model.delete(step.key));
      break;
    case "clear":
      map.clear();
      model.clear();
      break;
    case "snapshot":
      open.push({ view: map.snapshot(), copy: [...model] });
      break;
    case "release":
      open.splice(step.which % (open.length || 1), 1)[0]?.view.release();
      break;
    case "peek": // an iterator over a view that is left in the middle
      open[step.which % (open.length || 1)]?.view.entries().next();
      break;
    case "live": {
      let left = step.count;
      for (const _ of map) if (left-- === 0) break;
    }
  }
}

function same(
  map: CowMap<Key, Value> | CowView<Key, Value>,
  model: Map<Key, Value>,
  order: [Key, Value][] = [...model],
): void {
  assert.deepEqual([...map], order);
  sameKeys(map, model);
}

function sameKeys(map: CowMap<Key, Value> | CowView<Key, Value>, model: Map<Key, Value>): void {
  assert.equal(map.size, model.size);
  for (let key = 0; key <= 7; key++) {
    assert.equal(map.has(key), model.has(key));
    assert.equal(map.get(key), model.get(key));
  }
}

test("a live iteration gives what is there all the time exactly once, whatever is changed meanwhile", () => {
  const changes = fc.array(step.filter((step) => step.do !== "clear" && step.do !== "live"), {
    maxLength: 6,
    size: "max",
  });
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 30, size: "max" }),
      fc.array(changes, { maxLength: 10, size: "max" }),
      (before, during) => {
        const map = new CowMap<Key, Value>();
        const model = new Map<Key, Value>();
        const open: Open[] = [];
        for (const step of before) take(step, map, model, open);
        const steady = new Set(model.keys());
        const seen: Key[] = [];
        for (const [key] of map) {
          seen.push(key);
          for (const step of during.pop() ?? []) {
            if ("key" in step) steady.delete(step.do === "delete" ? step.key : -1);
            take(step, map, model, open);
          }
        }
        for (const key of steady) assert.equal(seen.filter((it) => it === key).length, 1, `${key} in ${seen}`);
        same(map, model);
        for (const { view, copy } of open) same(view, new Map(copy), copy);
      },
    ),
    { numRuns: runs(2000) },
  );
});

// A map of one layer iterates natively, as a map that never had a view does; one of several layers by a generator.
function isFolded(map: CowMap<unknown, unknown>): boolean {
  const iterator = map.entries();
  const native = isNative(iterator);
  iterator.return?.(undefined);
  return native;
}

function isNative(iterator: Iterator<unknown>): boolean {
  return Object.prototype.toString.call(iterator) === "[object Map Iterator]";
}

test("when all views were released, as many changes again fold everything back", () => {
  const map = new CowMap<number, number>();
  for (let i = 0; i < 1000; i++) map.set(i, i);
  const views = [];
  let changes = 0;
  for (let round = 0; round < 5; round++) {
    views.push(map.snapshot());
    for (let i = 0; i < 200; i++, changes += 2) map.set(i * 7 % 1100, round).delete(i * 3 % 1000);
  }
  const expected = [...map];
  for (const i of [2, 0, 4, 1, 3]) views[i]!.release();
  for (let i = 0; i < changes; i++) map.set(5000, i); // not looked at meanwhile: to iterate may hold it up
  assert.isTrue(isFolded(map));
  assert.deepEqual([...map].slice(0, -1), expected);
});

test("folding ends though every change puts a new key, and though every change deletes one", () => {
  for (const deleting of [false, true]) {
    const map = new CowMap<number, number>();
    for (let i = 0; i < 100_000; i++) map.set(i, i);
    const view = map.snapshot();
    for (let i = 0; i < 10_000; i++) map.set(i, -i);
    view.release();
    for (let i = 0; i < 10_000; i++) {
      if (deleting) map.delete(99_999 - i);
      else map.set(200_000 + i, 0);
    }
    assert.isTrue(isFolded(map));
  }
});

test("folding is held up by an iteration only as long as that is under way", () => {
  const map = new CowMap(Array.from({ length: 100 }, (_, i) => [i, i]));
  const view = map.snapshot();
  map.set(4, 5).set(100, 100).delete(0);
  view.release();
  const iterator = map.entries();
  iterator.next();
  for (let i = 0; i < 10; i++) map.set(5, i);
  assert.isFalse(isFolded(map));
  assert.equal([...iterator].length, 99);
  for (let i = 0; i < 10; i++) map.set(5, i);
  assert.isTrue(isFolded(map));
});

test("an iteration that was left in the middle does not hold folding up for ever, and goes on where it was", () => {
  const map = new CowMap(Array.from({ length: 100 }, (_, i) => [i, i]));
  const view = map.snapshot();
  map.set(100, 100);
  view.release();
  map.keys().next(); // the first key, as who evicts the oldest entry asks for it
  const iterator = map.entries();
  for (let i = 0; i < 50; i++) iterator.next();
  for (let i = 0; i < 110; i++) map.set(5, i);
  assert.isTrue(isFolded(map));
  map.delete(99);
  assert.deepEqual([...iterator].map(([key]) => key), Array.from({ length: 51 }, (_, i) => 50 + i));
  assert.equal(map.keys().next().value, 0);
});

test("views without a change between share their layers, and each release counts once", () => {
  const map = new CowMap([["a", 1]]);
  const [first, second] = [map.snapshot(), map.snapshot()];
  first.release();
  first.release();
  map.set("a", 2).set("b", 3);
  assert.deepEqual([...second], [["a", 1]]);
  second.release();
  map.set("c", 4);
  assert.isTrue(isFolded(map));
  assert.deepEqual([...map], [["a", 2], ["b", 3], ["c", 4]]);
});

test("a view that was released is closed, and one from before a clear goes on", async () => {
  const map = new CowMap([["a", 1]]);
  const [first, second] = [map.snapshot(), map.snapshot()];
  map.clear();
  map.set("b", 2);
  const third = map.snapshot();
  first.release();
  await rejects(() => first.get("a"), "CLOSED");
  await rejects(() => first.has("a"), "CLOSED");
  await rejects(() => first.entries(), "CLOSED");
  second.release();
  map.delete("b");
  assert.deepEqual([...third], [["b", 2]]);
  third.release();
});

test("keys are equal as in a Map: NaN is itself, -0 is 0", () => {
  const map = new CowMap<unknown, string>([[NaN, "a"], [-0, "b"]]);
  const view = map.snapshot();
  map.set(NaN, "c").delete(0);
  assert.equal(map.get(NaN), "c");
  assert.equal(map.size, 1);
  assert.equal(view.get(0), "b");
  assert.isTrue(Object.is([...view.entries()][1]![0], 0));
  assert.deepEqual([[...map.keys()], [...map.values()]], [[NaN], ["c"]]);
  map.forEach((value, key, of) => assert.deepEqual([value, key, of], ["c", NaN, map]));
  view.release();
});
