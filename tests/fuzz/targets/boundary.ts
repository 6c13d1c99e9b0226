// Every parameter of every public function that needs no disk, with values that are not for it.

import { SnapshotError } from "../../../mod.ts";
import { give, isRight } from "../../boundary/check.ts";
import { appSlots } from "../../boundary/slots_app.ts";
import { continuousSlots } from "../../boundary/slots_continuous.ts";
import { coreSlots } from "../../boundary/slots_core.ts";
import { formatSlots } from "../../boundary/slots_format.ts";
import { groupSlots } from "../../boundary/slots_groups.ts";
import { stateSlots } from "../../boundary/slots_state.ts";
import { settle, type Slot } from "../../boundary/slot.ts";
import { KINDS, valueOf } from "../../boundary/values.ts";
import { fingerprint, makeWorld, type World } from "../../boundary/world.ts";
import { Random } from "../../support/random.ts";
import { law, type Target } from "../target.ts";

/** The parameters. */
export const slots: readonly Slot[] = [
  ...coreSlots,
  ...appSlots,
  ...continuousSlots,
  ...groupSlots,
  ...stateSlots,
  ...formatSlots,
];

/** Those that have wrong values at all. */
const wrongable = slots.filter((slot) =>
  Array.from({ length: KINDS }, (_, kind) => valueOf(kind, new Random(1))).some((value) => !isRight(slot, value))
);

/** Those that may be left out. */
export const leavable: readonly Slot[] = slots.filter(({ without }) => without !== undefined);

/** How many cases of all say that an `undefined` is nothing at all: each takes two worlds. */
const ABSENT = 0.02;

/** A wrong value is refused with `MALFORMED`, which names the parameter and what came; and nothing has changed. */
export const boundary: Target = {
  name: "boundary",
  share: 150,
  codes: ["MALFORMED"],
  mostBytes: 64 * 1024 * 1024,
  async prepare() {
    let world = await makeWorld();
    let before = await fingerprint(world);
    return async (random) => {
      if (random.chance(ABSENT)) return await checkAbsent(random.pick(leavable));
      const slot = random.pick(wrongable);
      let value: unknown;
      do value = valueOf(random.below(KINDS), random); while (isRight(slot, value));
      const { error, wrong } = await give(slot, world, value);
      const now = await fingerprint(world);
      const isSame = now === before;
      if (!isSame || error === undefined) { // the next case begins anew
        await world.close().catch(() => {});
        world = await makeWorld();
        before = await fingerprint(world);
      }
      law(wrong === undefined, wrong!);
      law(isSame, `${slot.of}, ${slot.name} is refused, and something has changed: ${now}`);
      throw error;
    };
  },
};

/** Checks that `undefined` is what it is not to be there. */
export async function checkAbsent({ of, name, call, without }: Slot): Promise<void> {
  const [there, absent] = [await outcome((world) => call(world, undefined)), await outcome(without!)];
  law(there === absent, `${of}, ${name} = undefined: ${there}; without it: ${absent}`);
  law(!there.startsWith("MALFORMED"), `${of}, ${name} = undefined is refused: ${there}`);
}

/** What comes of a call in a world of its own. */
async function outcome(call: (world: World) => unknown): Promise<string> {
  const world = await makeWorld();
  try {
    await settle(call(world));
    return "done";
  } catch (error) {
    return error instanceof SnapshotError ? `${error.code}: ${error.message}` : String(error);
  } finally {
    await world.close();
  }
}
