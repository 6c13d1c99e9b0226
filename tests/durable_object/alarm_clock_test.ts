// A Durable Object's alarm as a clock, where the platform does not do what it should.

import { AlarmClock, type AlarmStorage } from "../../src/durable_object/alarm_clock.ts";
import { inFrozenTime } from "../support/fake_clock.ts";
import { assert, test, turns } from "../support/harness.ts";

const MINUTE = 60_000;

/** The alarm of an object, which goes off when a test says so. */
class Alarms implements AlarmStorage {
  alarm: number | null = null;
  /** The times that it was set to. */
  readonly set: number[] = [];

  getAlarm(): Promise<number | null> {
    return Promise.resolve(this.alarm);
  }

  setAlarm(time: number): Promise<void> {
    this.set.push(time);
    this.alarm = time;
    return Promise.resolve();
  }

  deleteAlarm(): Promise<void> {
    this.alarm = null;
    return Promise.resolve();
  }
}

test("alarm clock: one that an earlier life has set, and that is overdue, is set anew when the object is there again", () =>
  inFrozenTime(async (clock) => {
    const storage = new Alarms();
    storage.alarm = clock.now() - 10 * MINUTE;
    const alarms = await AlarmClock.open(storage);
    await turns(2);
    assert.deepEqual(storage.set, [clock.now() - 10 * MINUTE]); // in the past: it goes off at once
    let called = 0;
    alarms.after(MINUTE, () => called++);
    await turns(2);
    assert.equal(storage.set.length, 1);
    await alarms.ring((awaited) => Promise.resolve(assert.isTrue(awaited)));
    await turns(2);
    assert.equal(storage.alarm, clock.now() + MINUTE);
    clock.advance(MINUTE);
    await alarms.ring(() => Promise.resolve());
    assert.equal(called, 1);
  }));

test("alarm clock: one that is due in time, or only just late, is left as it is", () =>
  inFrozenTime(async (clock) => {
    for (const due of [10 * MINUTE, 0, -1000]) {
      const storage = new Alarms();
      storage.alarm = clock.now() + due;
      await AlarmClock.open(storage);
      await turns(2);
      assert.deepEqual(storage.set, []);
    }
  }));

test("alarm clock: one that does not go off in this life is set anew too, not at each change", () =>
  inFrozenTime(async (clock) => {
    const storage = new Alarms();
    const alarms = await AlarmClock.open(storage);
    alarms.after(MINUTE, () => {});
    await turns(2);
    assert.equal(storage.set.length, 1);
    clock.advance(3 * MINUTE); // nothing went off
    for (let i = 0; i < 5; i++) {
      alarms.after(10 * MINUTE, () => {});
      await turns(2);
    }
    assert.equal(storage.set.length, 2);
    clock.advance(MINUTE);
    alarms.after(10 * MINUTE, () => {});
    await turns(2);
    assert.equal(storage.set.length, 3);
  }));
