/**
 * State in any `abstract-level` database with explicit snapshots (3 or newer): LevelDB (`classic-level`), a memory
 * store, a browser's IndexedDB …
 *
 * ```ts
 * import { MemoryLevel } from "memory-level"; // or `ClassicLevel` of `classic-level`, with a path
 * import { jsonCodec, StoredState, stringKeys } from "@snapstream/snapstream";
 * import { levelEngine } from "@snapstream/snapstream/level";
 *
 * const engine = await levelEngine(new MemoryLevel<Uint8Array, Uint8Array>());
 * await using state = await StoredState.open(engine, { keys: stringKeys() });
 * const ages = state.value("ages", jsonCodec<number>());
 * await ages.set("Ada", 36);
 * console.assert(await ages.get("Ada") === 36);
 * ```
 *
 * How a replica has its state in it: `@snapstream/snapstream/sqlite`.
 *
 * @module
 */

export * from "./state/database/level.ts";
