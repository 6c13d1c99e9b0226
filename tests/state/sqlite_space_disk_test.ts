// How much room the file of a state takes, in bytes.

import type { Change } from "../../src/extend.ts";
import type { Engine } from "../../src/state/database/engine.ts";
import { existsSync, statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { sqliteEngine } from "../../src/sqlite.ts";
import { assert, noise, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";

const MIB = 1024 * 1024;
const ALL: [Uint8Array, Uint8Array] = [new Uint8Array(0), Uint8Array.of(255)];

function sizeOf(path: string): number {
  return existsSync(path) ? statSync(path).size : 0;
}

function keyOf(i: number): Uint8Array {
  return Uint8Array.of(1, i >> 16, i >> 8, i);
}

function changes(from: number, count: number, size: number | undefined, salt = 0): Change[] {
  return Array.from({ length: count }, (_, i) => ({
    key: keyOf(from + i),
    value: size === undefined ? undefined : noise(size, from + i + salt),
  }));
}

async function onEngine(
  work: (engine: Engine, path: string) => Promise<void>,
  prepare: (path: string) => void = () => {},
): Promise<void> {
  await inTemp(async (directory) => {
    const path = `${directory}/state.db`;
    prepare(path);
    const engine = sqliteEngine(path);
    try {
      await work(engine, path);
    } finally {
      await engine.close();
    }
  });
}

async function count(source: Pick<Engine, "entries">): Promise<number> {
  let found = 0;
  for await (const pairs of source.entries(...ALL)) found += pairs.length;
  return found;
}

/** Cuts the file to what is in it; writing does that sooner or later. */
async function settle(engine: Engine): Promise<void> {
  for (let i = 0; i < 1100; i++) await engine.write([{ key: Uint8Array.of(2), value: Uint8Array.of(i) }]);
}

for (const by of ["clear", "delete"]) {
  test(`a state in SQLite: ${by === "clear" ? "what is cleared" : "what is deleted"} is given back`, () =>
    onEngine(async (engine, path) => {
      for (let i = 0; i < 4000; i += 200) await engine.write(changes(i, 200, 2000));
      if (by === "clear") await engine.clear(keyOf(0), keyOf(3990));
      else for (let i = 0; i < 3990; i += 30) await engine.write(changes(i, 30, undefined));
      await settle(engine);
      assert.isBelow(sizeOf(path), 1.5 * MIB);
      assert.equal(await count(engine), 11);
      assert.deepEqual(await engine.getMany([keyOf(3995)]), [noise(2000, 3995)]);
    }));
}

test("a state in SQLite: the write-ahead log is cut when the view ends under which it grew, and the view was as it was", () =>
  onEngine(async (engine, path) => {
    await engine.write(changes(0, 256, 1000));
    const views = [engine.view(), engine.view()];
    for (let round = 1; round <= 40; round++) await engine.write(changes(0, 256, 1000, round));
    assert.isAbove(sizeOf(`${path}-wal`), 8 * MIB);
    await views[0]!.close();
    assert.isAbove(sizeOf(`${path}-wal`), 8 * MIB); // the other one still reads from it
    assert.deepEqual(await views[1]!.getMany([keyOf(7)]), [noise(1000, 7)]);
    await views[1]!.close();
    assert.isAtMost(sizeOf(`${path}-wal`), 4 * MIB);
    assert.deepEqual(await engine.getMany([keyOf(7)]), [noise(1000, 47)]);
  }));

test("a state in SQLite: a reader of another program is not waited for when the write-ahead log is to be cut", () =>
  onEngine(async (engine, path) => {
    await engine.write(changes(0, 256, 1000));
    const other = new DatabaseSync(path);
    other.exec("BEGIN");
    other.prepare("SELECT count(*) FROM keyed_state").get();
    const view = engine.view();
    for (let round = 1; round <= 40; round++) await engine.write(changes(0, 256, 1000, round));
    await view.close();
    assert.isAbove(sizeOf(`${path}-wal`), 8 * MIB);
    other.exec("COMMIT");
    other.close();
    await engine.view().close();
    assert.isAtMost(sizeOf(`${path}-wal`), 4 * MIB);
  }));

test("a state in SQLite: a file that is there already keeps its mode, its tables and its pages", () =>
  onEngine(async (engine, path) => {
    for (let i = 0; i < 2000; i += 200) await engine.write(changes(i, 200, 2000));
    await engine.clear(...ALL);
    await settle(engine);
    assert.isAbove(sizeOf(path), 3 * MIB);
    const other = new DatabaseSync(path, { readOnly: true });
    assert.equal(Number(Object.values(other.prepare("PRAGMA auto_vacuum").get()!)[0]), 0);
    assert.equal(other.prepare("SELECT x FROM mine").get()!["x"], 7);
    other.close();
  }, (path) => {
    const mine = new DatabaseSync(path);
    mine.exec("CREATE TABLE mine (x); INSERT INTO mine VALUES (7)");
    mine.close();
  }));
