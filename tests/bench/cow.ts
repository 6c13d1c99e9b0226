// CowMap against Map: get, set and iterate, with no view and with one open that was taken when the map was full.

import { CowMap } from "../../mod.ts";
import { median, report } from "./report.ts";

const SIZE = 1e6;
const OPERATIONS = 1e6;
const ROUNDS = 5;
/** Rounds before those, until the compiler has made up its mind. */
const WARM_UP = 2;

const keys = Array.from({ length: SIZE }, (_, i) => `key-${(i * 2_654_435_761 >>> 0).toString(36)}-${i}`);
const order = Uint32Array.from({ length: OPERATIONS }, () => Math.random() * SIZE);

interface Subject {
  get(key: string): number | undefined;
  set(key: string, value: number): unknown;
  entries(): Iterable<[string, number]>;
}

const work: Record<string, (subject: Subject) => number> = {
  get(subject) {
    let sum = 0;
    for (let i = 0; i < OPERATIONS; i++) sum += subject.get(keys[order[i]!]!)!;
    return sum;
  },
  set(subject) {
    for (let i = 0; i < OPERATIONS; i++) subject.set(keys[order[i]!]!, i);
    return 0;
  },
  iterate(subject) {
    let sum = 0;
    for (const [, value] of subject.entries()) sum += value;
    return sum;
  },
};

function time(name: string, subject: Subject): number {
  const start = performance.now();
  work[name]!(subject);
  return performance.now() - start;
}

const native = new Map(keys.map((key, i) => [key, i]));
const plain = new CowMap(keys.map((key, i) => [key, i] as const));
const viewed = new CowMap(keys.map((key, i) => [key, i] as const));

for (const [name, subject, goal] of [["no view", plain, 0.9], ["one view open", viewed, 0.5]] as const) {
  for (const operation of ["get", "set", "iterate"]) {
    const ratios: number[] = [];
    for (let round = -WARM_UP; round < ROUNDS; round++) {
      const base = time(operation, native);
      const view = subject === viewed ? viewed.snapshot() : undefined;
      const ratio = base / time(operation, subject);
      if (round >= 0) ratios.push(ratio);
      view?.release();
      // Folded back, so that the next round begins as this one did.
      for (let i = 0; i < OPERATIONS && operation === "set"; i++) subject.set(keys[i]!, i);
    }
    report("cow", `${operation}, ${name} / Map`, median(ratios), "ratio", { atLeast: goal });
  }
}
