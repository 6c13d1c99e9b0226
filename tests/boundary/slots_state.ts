// The parameters of states, machines, their codecs and commands.

import type { Engine } from "../../src/state/database/engine.ts";
import { checkFollows } from "../../src/log/log.ts";
import { checkRange } from "../../src/state/key_groups.ts";
import {
  bytesMachine,
  commandCodec,
  CowMap,
  intKeys,
  jsonCodec,
  KeyedState,
  KeyValueMachine,
  MemoryStorage,
  notifyInstall,
  restore,
  save,
  StoredState,
  stringKeys,
  utf8Codec,
} from "../../mod.ts";
import { members, parameter, type Slot } from "./slot.ts";
import {
  isArrayOf,
  isBoolean,
  isBytes,
  isEither,
  isFunction,
  isGroup,
  isIndex,
  isInteger,
  isNothing,
  isObject,
  isOne,
  isSignal,
  isString,
  isText,
  type Right,
} from "./values.ts";

// deno-lint-ignore no-explicit-any -- what is given is not of the type
type Any = any;

/** A database that has nothing, and keeps nothing. */
function empty(): Engine {
  const none = {
    getMany: (keys: readonly Uint8Array[]) => Promise.resolve(keys.map(() => undefined)),
    async *entries() {},
    close: () => Promise.resolve(),
  };
  return {
    ...none,
    write: () => Promise.resolve(),
    clear: () => Promise.resolve(),
    view: () => none,
    codeOf: () => "UNAVAILABLE",
  };
}

async function onStored(work: (state: StoredState<string>) => unknown): Promise<void> {
  const state = await StoredState.open(empty(), { keys: stringKeys() });
  try {
    await work(state);
  } finally {
    await state.close();
  }
}

const keyed = () => new KeyedState({ keys: stringKeys() });
const entry = { index: 1n, term: 1n, data: new Uint8Array(1) };

const alone: Slot[] = [
  ...members("bytesMachine", (_, it) => bytesMachine(it), {
    "!apply": isFunction,
    "!encode": isFunction,
    "!decode": isFunction,
  }, () => ({ apply() {}, encode: () => undefined, decode() {} })),
  parameter("save", "machine", isNothing, (_, v: Any) => save(v, new MemoryStorage())),
  parameter("save", "storage", isNothing, (_, v: Any) => save(keyed(), v)),
  ...members("save", (_, it) => save(keyed(), new MemoryStorage(), it), {
    index: isIndex,
    term: isIndex,
    peers: isArrayOf(isText),
    createdAt: isInteger(0),
    signal: isSignal,
  }),
  parameter("restore", "machine", isNothing, (_, v: Any) => restore(v, new MemoryStorage())),
  parameter("restore", "storage", isNothing, (_, v: Any) => restore(keyed(), v)),
  ...members("restore", (_, it) => restore(keyed(), new MemoryStorage(), it), { index: isIndex }),
];

const stored: Slot[] = [
  ...members("StoredState.open", async (_, it) => (await StoredState.open(empty(), it)).close(), {
    "!keys": isNothing,
    maxParallelism: isInteger(1, 32768),
    range: isNothing,
    incremental: isEither(isBoolean, isObject),
    drop: isArrayOf(isString),
  }, () => ({ keys: stringKeys() })),
  parameter(
    "StoredState.open",
    "",
    (v) => v === undefined || isText(v) && v !== "" && (v as string).length < 1000,
    async (_, v: Any) => (await StoredState.open(empty(), { keys: stringKeys(), name: v })).close(),
  ),
  parameter("StoredState.owns", "key", isText, (_, v: Any) => onStored((it) => it.owns(v))),
  parameter("StoredState.keyGroup", "key", isText, (_, v: Any) => onStored((it) => it.keyGroup(v))),
  parameter("StoredState.value", "name", isText, (_, v: Any) => onStored((it) => it.value(v, utf8Codec()))),
  parameter("StoredState.value", "codec", isNothing, (_, v: Any) => onStored((it) => it.value("a", v))),
  parameter("StoredState.list", "name", isText, (_, v: Any) => onStored((it) => it.list(v, utf8Codec()))),
  parameter("StoredState.list", "codec", isNothing, (_, v: Any) => onStored((it) => it.list("a", v))),
  parameter(
    "StoredState.map",
    "name",
    isText,
    (_, v: Any) => onStored((it) => it.map(v, stringKeys(), utf8Codec())),
  ),
  parameter("StoredState.map", "userKeys", isNothing, (_, v: Any) => onStored((it) => it.map("a", v, utf8Codec()))),
  parameter("StoredState.map", "codec", isNothing, (_, v: Any) => onStored((it) => it.map("a", stringKeys(), v))),
  parameter("StoredState.bindGroup", "group", isGroup, (_, v: Any) => onStored((it) => it.bindGroup(v))),
  parameter("StoredState.apply", "entry", isNothing, (_, v: Any) => onStored((it) => it.apply(v))),
  parameter(
    "StoredState.apply",
    "index",
    isOne(0n, 1n),
    (_, v: Any) => onStored((it) => it.apply({ ...entry, index: v })),
  ),
  parameter("StoredState.apply", "term", isIndex, (_, v: Any) => onStored((it) => it.apply({ ...entry, term: v }))),
  parameter(
    "StoredState.apply",
    "onfiguration",
    isOne(undefined),
    (_, v: Any) => onStored((it) => it.apply({ ...entry, configuration: v })),
  ),
  parameter(
    "StoredState.apply",
    "work",
    (v) => v === undefined || isFunction(v),
    (_, v: Any) => onStored((it) => it.apply(entry, v)),
  ),
  parameter("StoredState.machine", "apply", isFunction, (_, v: Any) => onStored((it) => it.machine(v))),
  parameter("StoredState.load", "readers", isNothing, (_, v: Any) => onStored((it) => it.load(v))),
  parameter("StoredState.check", "readers", isNothing, (_, v: Any) => onStored((it) => it.check(v))),
];

const states: Slot[] = [
  parameter("KeyedState.keyGroup", "key", isText, ({ state }, v: Any) => state.keyGroup(v)),
  parameter("KeyedState.check", "readers", isNothing, ({ state }, v: Any) => state.check(v)),
  parameter("KeyedState.list", "name", isText, (_, v: Any) => keyed().list(v, utf8Codec())),
  parameter("KeyedState.map", "name", isText, (_, v: Any) => keyed().map(v, stringKeys(), utf8Codec())),
  parameter("KeyedState.map", "codec", isNothing, (_, v: Any) => keyed().map("a", stringKeys(), v)),
  parameter(
    "KeyedState",
    "",
    (v) => v === undefined || isText(v) && v !== "" && (v as string).length < 1000,
    (_, v: Any) => new KeyedState({ keys: stringKeys(), name: v }),
  ),
  parameter("KeyValueMachine.has", "key", isText, ({ machine }, v: Any) => machine.has(v)),
  parameter("KeyValueMachine.put", "value", isText, ({ machine }, v: Any) => machine.put("a", v)),
  parameter("KeyValueMachine.load", "readers", isNothing, ({ machine }, v: Any) => machine.load(v)),
  parameter("KeyValueMachine.check", "readers", isNothing, ({ machine }, v: Any) => machine.check(v)),
  parameter(
    "KeyValueMachine.apply",
    "data",
    isBytes,
    (_, v: Any) => new KeyValueMachine(utf8Codec()).apply({ ...entry, data: v }),
  ),

  parameter("commandCodec", "codec", isNothing, (_, v: Any) => commandCodec(v)),
  parameter("commandCodec.decode", "data", isBytes, (_, v: Any) => commandCodec(jsonCodec()).decode(v)),
  parameter("checkFollows", "entr", (v) => Array.isArray(v) && v.length === 0, (_, v: Any) => checkFollows(v, 0n, 0n)),
  parameter("checkFollows", "lastIndex", isIndex, (_, v: Any) => checkFollows([], v, 0n)),
  parameter("checkFollows", "lastTerm", isIndex, (_, v: Any) => checkFollows([], 0n, v)),
  parameter("checkRange", "range", isNothing, (_, v: Any) => checkRange(v, 128)),
  parameter("checkRange", "parallelism", isInteger(1, 32768), (_, v: Any) => checkRange({ first: 0, last: 0 }, v)),
  parameter("intKeys.hash", "key", isInteger(-(2 ** 31), 2 ** 31 - 1), (_, v: Any) => intKeys().hash(v)),
  parameter(
    "notifyInstall",
    "source",
    (v) => v instanceof URL,
    (_, v: Any) => notifyInstall(v, { term: 1n, firstAvailable: { index: 1n, term: 1n } }),
  ),
  parameter("CowView.changesSince", "earlier", isNothing, (_, v: Any) => new CowMap().snapshot().changesSince(v)),
];

/** Gives a value in one place of the arguments of a method of a state. */
function ofState(
  kind: "value" | "list" | "map",
  method: string,
  right: readonly (readonly [string, Right, unknown])[],
) {
  return [true, false].flatMap((isStored) => {
    const of = `${isStored ? "stored " : ""}${kind}.${method}`;
    if (isStored && /has|update|keys|clear/.test(method)) return []; // it has no such method
    return right.map(([name, right], at) => {
      const call = (state: Any, v: unknown) => {
        const made = kind === "map" ? state.map("a", stringKeys(), utf8Codec()) : state[kind]("a", utf8Codec());
        const args = rightOf(at, v);
        return Promise.resolve(made[method](...args)).then(drain);
      };
      return parameter(of, name, right, (_, v) => isStored ? onStored((it) => call(it, v)) : call(keyed(), v));
    });
  });
  function rightOf(at: number, v: unknown): unknown[] {
    return right.map(([, , value], i) => i === at ? v : value);
  }
}

/** Reads what a state gives one by one. */
async function drain(given: Any): Promise<void> {
  if (typeof given?.next !== "function") return;
  for await (const _ of given);
}

const key = ["", isText, "a"] as const;
const anyKey = ["", () => true, "a"] as const; // one that cannot be is not there
const text = ["value", isText, "b"] as const;
const made: Slot[] = [
  ...ofState("value", "get", [key]),
  ...ofState("value", "has", [key]),
  ...ofState("value", "set", [key, text]),
  ...ofState("value", "update", [key, ["change", isFunction, () => "b"]]),
  ...ofState("value", "delete", [key]),
  ...ofState("list", "get", [key]),
  ...ofState("list", "add", [key, ["", isText, "b"]]),
  ...ofState("list", "set", [key, ["", isArrayOf(isText), ["b"]]]),
  ...ofState("list", "delete", [key]),
  ...ofState("map", "get", [key, anyKey]),
  ...ofState("map", "has", [key, anyKey]),
  ...ofState("map", "set", [key, key, text]),
  ...ofState("map", "delete", [key, anyKey]),
  ...ofState("map", "entries", [key]),
  ...ofState("map", "clear", [key]),
];

/** The parameters of these. */
export const stateSlots: readonly Slot[] = [...stored, ...alone, ...states, ...made];
