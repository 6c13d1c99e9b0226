/**
 * A checkpoint that is open: its states, their records, and what can be checked of them.
 *
 * @module
 */

import { hasCode, messageOf, SnapshotError } from "../../errors.ts";
import type { FormatEntriesOptions, FormatEntry } from "../format.ts";
import type { Verification } from "../reader.ts";
import type { Handle, KeyedHandle } from "./handles.ts";
import { KeyedFile } from "./keyed.ts";
import { type Layout, METADATA } from "./layout.ts";
import type { Metadata, Operator, Subtask } from "./metadata.ts";
import { openOperator, operatorRecords } from "./operator.ts";
import { KeyedDatabase } from "./keyed_database.ts";
import { checkDatabaseFile, type Database } from "./rocksdb/mod.ts";
import type { KeyedHead, OperatorHead, State } from "./state_head.ts";

/** The operators whose states are described in the details: each takes reading two heads. */
const MAX_DESCRIBED = 500;
/** The most lines of a verification about states. */
const MAX_LINES = 1000;

type Groups = Extract<KeyedHandle, { readonly kind: "groups" }>;

/** The name by which a person knows an operator: the uid that the job gave it, or its identifier. */
export function operatorName({ uid, id }: Operator): string {
  return uid ?? id;
}

/** The handles of key groups, those that a log of changes is based on too. */
function groupsOf(handles: readonly KeyedHandle[]): Groups[] {
  return handles.flatMap((handle) =>
    handle.kind === "groups" ? [handle] : handle.kind === "changelog" ? groupsOf(handle.base) : []
  );
}

/** The handles of databases, those that a log of changes is based on too. */
function databasesOf(handles: readonly KeyedHandle[]): Database[] {
  return handles.flatMap((handle) =>
    handle.kind === "incremental" ? [handle] : handle.kind === "changelog" ? databasesOf(handle.base) : []
  );
}

/** All handles of bytes that keyed state has. */
function* handlesOf(handles: readonly KeyedHandle[]): Generator<Handle | undefined, void, undefined> {
  for (const handle of handles) {
    if (handle.kind === "groups") yield handle.handle;
    else if (handle.kind === "incremental") {
      yield handle.meta;
      for (const { handle: file } of [...handle.shared, ...handle.private]) yield file;
    } else {
      yield* handlesOf(handle.base);
      yield* handle.changes;
    }
  }
}

/** A checkpoint or savepoint. */
export class Checkpoint {
  readonly metadata: Metadata;
  readonly #layout: Layout;

  constructor(metadata: Metadata, layout: Layout) {
    this.metadata = metadata;
    this.#layout = layout;
  }

  *#subtasks(): Generator<[Operator, Subtask], void, undefined> {
    for (const operator of this.metadata.operators) for (const subtask of operator.subtasks) yield [operator, subtask];
  }

  /** All handles of bytes, of whatever state. */
  *handles(): Generator<Handle, void, undefined> {
    for (const { coordinator } of this.metadata.operators) if (coordinator !== undefined) yield coordinator;
    for (const [, { operator, rawOperator, keyed, rawKeyed, channels }] of this.#subtasks()) {
      for (const { handle } of [...operator, ...rawOperator]) if (handle !== undefined) yield handle;
      for (const handle of handlesOf([...keyed, ...rawKeyed])) if (handle !== undefined) yield handle;
      yield* channels;
    }
  }

  async #open(operator: Operator, groups: Groups, signal?: AbortSignal): Promise<KeyedFile | undefined> {
    const { handle, first, offsets, savepoint } = groups;
    if (handle === undefined) return undefined;
    const { maxParallelism } = operator;
    return await KeyedFile.open({ layout: this.#layout, handle, first, offsets, maxParallelism, savepoint }, signal);
  }

  /** What its operators and their states are; those of files that cannot be read are left out. */
  async describe(): Promise<Record<string, unknown>[]> {
    const found: Record<string, unknown>[] = [];
    for (const [i, operator] of this.metadata.operators.entries()) {
      const { subtasks: _, coordinator, ...rest } = operator;
      const states = i < MAX_DESCRIBED ? await this.#statesOf(operator) : undefined;
      const keyed = operator.subtasks.flatMap(({ keyed }) => keyed);
      const kinds = [...new Set(keyed.map(({ kind }) => kind))];
      found.push({
        ...rest,
        ...(coordinator !== undefined && { coordinator: coordinator.size }),
        ...(kinds.length > 0 &&
          { keyed: kinds, keyGroups: keyed.map(({ first, count }) => [first, first + count - 1]) }),
        ...(states !== undefined && { states }),
      });
    }
    return found;
  }

  async #statesOf(operator: Operator): Promise<Record<string, unknown>[]> {
    const heads: OperatorHead[] = [];
    const attempt = async (open: () => Promise<OperatorHead | undefined>) => {
      try {
        const head = await open();
        if (head !== undefined) heads.push(head);
      } catch (error) {
        // What is wrong is said by `verify`.
        if (!hasCode(error, "CORRUPT", "MALFORMED", "UNSUPPORTED", "NOT_FOUND")) throw error;
      }
    };
    const [list] = operator.subtasks.flatMap((subtask) => subtask.operator);
    if (list !== undefined) await attempt(() => openOperator(this.#layout, list));
    const [groups] = operator.subtasks.flatMap(({ keyed }) => groupsOf(keyed)).filter(({ handle }) =>
      handle !== undefined
    );
    if (groups !== undefined) await attempt(async () => (await this.#open(operator, groups))?.head);
    const [database] = operator.subtasks.flatMap(({ keyed }) => databasesOf(keyed));
    if (database !== undefined) {
      await attempt(async () => (await KeyedDatabase.open(this.#layout, database, operator.maxParallelism))?.head);
    }
    return heads.flatMap((head) => head.states.map((state) => described(state, head)));
  }

  /** The records of all states, in the order of the metadata. */
  async *entries(options: FormatEntriesOptions): AsyncGenerator<FormatEntry, void, undefined> {
    const { space, keyGroups, signal } = options;
    for (const [operator, subtask] of this.#subtasks()) {
      const name = operatorName(operator);
      if (space !== undefined && !space.startsWith(`${name}/`)) continue;
      let isOperator = false;
      for (const handle of keyGroups === undefined ? subtask.operator : []) {
        const head = await openOperator(this.#layout, handle, signal);
        if (head === undefined) continue;
        const wanted = handle.states.filter((it) => space === undefined || space === `${name}/${it.name}`);
        isOperator ||= wanted.length > 0;
        for await (const record of operatorRecords(this.#layout, handle, wanted, head, signal)) {
          const of = `${name}/${record.name}`;
          if (isReadable(record.opaque, of, space)) yield { space: of, key: record.key, value: record.value };
        }
      }
      if (subtask.keyed.some((it) => it.kind === "changelog" && it.changes.length > 0)) {
        if (space === undefined || isOperator) continue; // what is before the changes would be an older state
        throw new SnapshotError(
          "UNSUPPORTED",
          `The state of ${name} is older than a log of changes, which is not read: take a savepoint of the job`,
        );
      }
      for (const database of databasesOf(subtask.keyed)) {
        const first = Math.max(database.first, keyGroups?.first ?? 0);
        const last = Math.min(database.first + database.count - 1, keyGroups?.last ?? Infinity);
        const open = first <= last && await KeyedDatabase.open(this.#layout, database, operator.maxParallelism, signal);
        for await (const { state, keyGroup, opaque, ...record } of open ? open.records(first, last, signal) : []) {
          const of = `${name}/${state?.name}`;
          if (isReadable(opaque, state && of, space)) yield { space: of, keyGroup, ...pair(record) };
        }
      }
      for (const groups of groupsOf(subtask.keyed)) {
        const first = Math.max(groups.first, keyGroups?.first ?? 0);
        const last = Math.min(groups.first + groups.count - 1, keyGroups?.last ?? Infinity);
        if (first > last) continue;
        const file = await this.#open(operator, groups, signal);
        for (let group = first; file !== undefined && group <= last; group++) {
          for await (const batch of file.group(group, signal)) {
            for (const { state, keyGroup, opaque, ...record } of batch) {
              const of = `${name}/${state?.name}`;
              if (isReadable(opaque, state && of, space)) yield { space: of, keyGroup, ...pair(record) };
            }
          }
        }
      }
    }
  }

  /** Checks sizes, offsets, that all records can be read, and that each key is in its group. */
  async verify(run: Verification): Promise<void> {
    const counts = new Map<string, number>();
    const opaque = new Set<string>();
    const count = (name: string, state: string | undefined, isOpaque: boolean) => {
      const space = `${name}/${state ?? "…"}`;
      if (isOpaque) opaque.add(space);
      else if (counts.size < MAX_LINES || counts.has(space)) counts.set(space, (counts.get(space) ?? 0) + 1);
    };
    const nameOf = (handle: Handle | undefined) => handle === undefined ? METADATA : this.#layout.nameOf(handle);
    for (const handle of this.handles()) {
      await run.attempt(nameOf(handle), () => {
        if (!("inline" in handle)) this.#layout.locate(handle);
        return Promise.resolve();
      });
    }
    for (const [operator, subtask] of this.#subtasks()) {
      const name = operatorName(operator);
      for (const handle of subtask.operator) {
        await run.attempt(nameOf(handle.handle), async () => {
          const head = await openOperator(this.#layout, handle, run.signal);
          if (head === undefined) return;
          for await (const record of operatorRecords(this.#layout, handle, handle.states, head, run.signal)) {
            count(name, record.name, record.opaque);
          }
          run.tracker.add(handle.handle?.size ?? 0);
        });
      }
      for (const groups of groupsOf(subtask.keyed)) {
        await run.attempt(nameOf(groups.handle), async () => {
          const file = await this.#open(operator, groups, run.signal);
          for (let i = 0; file !== undefined && i < groups.count; i++) {
            for await (const batch of file.group(groups.first + i, run.signal)) {
              for (const { state, opaque } of batch) count(name, state?.name, opaque);
            }
          }
          run.tracker.add(groups.handle?.size ?? 0);
        });
      }
      await this.#verifyDatabases(operator, subtask, run, count);
    }
    const kinds = new Set([...this.#subtasks()].flatMap(([, { keyed }]) => keyed.map(({ kind }) => kind)));
    if (kinds.has("incremental")) {
      run.unchecked("OPTIONS and CURRENT of RocksDB, and the last 53 bytes of its tables: they have no checksums");
    }
    if (kinds.has("changelog")) {
      run.unchecked("the log of changes since the state was written in full, but for its size");
    }
    for (const [space, number] of counts) run.checked(`${space}: ${number} records`);
    for (const space of opaque) {
      run.unchecked(`${space}: serializers of it, or of what stands before it, are not known`);
    }
  }

  /** Checks each block of the tables, and that the records in them can be read. */
  async #verifyDatabases(
    operator: Operator,
    { keyed }: Subtask,
    run: Verification,
    count: (name: string, state: string | undefined, isOpaque: boolean) => void,
  ): Promise<void> {
    for (const database of databasesOf(keyed)) {
      let unreadable: string | undefined;
      for (const named of [...database.shared, ...database.private]) {
        const { handle: file } = named;
        if (file === undefined) continue;
        await run.attempt(this.#layout.nameOf(file), async () => {
          unreadable = await checkDatabaseFile(this.#layout, named, run.signal) ?? unreadable;
        });
        run.tracker.add(file.size);
      }
      const { meta, first, count: groups } = database;
      if (meta === undefined) continue;
      await run.attempt(this.#layout.nameOf(meta), async () => {
        try {
          const open = await KeyedDatabase.open(this.#layout, database, operator.maxParallelism, run.signal);
          if (open === undefined) return;
          for await (const { state, opaque } of open.records(first, first + groups - 1, run.signal)) {
            count(operatorName(operator), state?.name, opaque);
          }
        } catch (error) {
          if (!hasCode(error, "UNSUPPORTED")) throw error;
          unreadable = messageOf(error);
        }
      });
      if (unreadable !== undefined) run.unchecked(`keys and values in tables of RocksDB: ${unreadable}`);
    }
  }
}

/**
 * Whether a record is handed on: of a state that was asked for by name nothing is passed over in silence.
 *
 * @param opaque whether it cannot be read
 * @param of the state that it is of, if that is known
 * @param space the state that was asked for
 */
function isReadable(opaque: boolean, of: string | undefined, space: string | undefined): boolean {
  if (!opaque) return space === undefined || of === space;
  if (space === undefined || of !== undefined && of !== space) return false;
  throw new SnapshotError(
    "UNSUPPORTED",
    `Not all of ${JSON.stringify(space)} can be read: it has a serializer that is not known`,
  );
}

function pair(
  { key, namespace, value, field }: { key?: unknown; namespace?: unknown; value?: unknown; field?: unknown },
) {
  return {
    key,
    value,
    ...(namespace !== undefined && { namespace }),
    ...(field !== undefined && { field }),
  };
}

function described({ name, type, kind, serializers }: State, head: OperatorHead | KeyedHead): Record<string, unknown> {
  const by = (of: string) => serializers.get(`${of}_SERIALIZER`)?.name;
  const key = by("KEY") ?? (type === "key-value" && "key" in head ? head.key.name : undefined);
  const namespace = by("NAMESPACE");
  return {
    ...{ name, kind },
    ...(key !== undefined && { key }),
    ...(namespace !== undefined && namespace !== "VoidNamespace" && { namespace }),
    ...{ value: by("VALUE") },
  };
}
