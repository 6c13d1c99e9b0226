/**
 * A log, and keyed state, in SQLite.
 *
 * ### State that is larger than memory, in a database
 *
 * ```ts
 * import { mkdtemp } from "node:fs/promises";
 * import { tmpdir } from "node:os";
 * import { jsonCodec, Replica, StoredState, stringKeys } from "@snapstream/snapstream";
 * import { DirectoryStorage } from "@snapstream/snapstream/fs";
 * import { sqliteEngine, SqliteLog } from "@snapstream/snapstream/sqlite"; // or levelEngine, rocksEngine
 *
 * const directory = await mkdtemp(`${tmpdir()}/visits-`);
 * const engine = sqliteEngine(`${directory}/state.db`);
 * const state = await StoredState.open(engine, { keys: stringKeys(), incremental: true });
 * const counts = state.value("counts", jsonCodec<number>());
 * const machine = state.machine(async ({ data }) => { // all of it, and which entry it was, in one write
 *   const page = new TextDecoder().decode(data);
 *   await counts.set(page, (await counts.get(page) ?? 0) + 1);
 * });
 * const storage = await DirectoryStorage.open(`${directory}/snapshots`);
 * const log = await SqliteLog.open(`${directory}/log.db`);
 * const replica = await Replica.open({ machine, storage, log });
 * await replica.propose(new TextEncoder().encode("/"));
 * console.assert(await counts.get("/") === 1);
 * await replica.close();
 * await state.close();
 * ```
 *
 * The database says which entries it has (`durable`), so that a replica begins there: it loads no snapshot that is not
 * newer, and applies no entry again. Nobody waits for the database, since the log has every entry: those of a few
 * milliseconds are one write. A class of your own applies in `state.apply(entry, work)`, and passes `durable`,
 * `reconfigure` and `flush` on; a machine that does neither is refused before it changes anything. After a restart the
 * first incremental save is a full one.
 *
 * ## Without snapshots
 *
 * What such a database has on its disk need not be in the log (Ratis: disk-based machines). Where triggers would have a
 * snapshot taken, the database is synced and the log is purged up to there, under every rule of purge. A snapshot is
 * taken when somebody is to be sent one (a handler with `target: replica` that is asked for the newest;
 * `replica.push`), or when you ask for it, as a backup. That holds for LevelDB, RocksDB, SQLite, and any machine that
 * says what is `synced` in `durable()`; not for databases in memory, nor where the log is shared, since who comes later
 * needs a snapshot there. Without a replica a state is changed, saved and loaded as it is in memory; such a change
 * belongs to no entry, and only a snapshot makes a replica's state of it.
 *
 * @module
 */

export * from "./log/sqlite.ts";
export * from "./state/database/sqlite.ts";
