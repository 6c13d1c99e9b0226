// Three releases of a program, each with a newer schema of the same state, and machines of each.

import {
  type Codec,
  commandCodec,
  type DurablyApplied,
  jsonCodec,
  KeyedState,
  KeyValueMachine,
  type ListState,
  type LogEntry,
  type MapState,
  MemoryStorage,
  type SaveTask,
  type SnapshotReader,
  type StateMachine,
  type StoredState,
  stringKeys,
  type ValueState,
  versioned,
} from "../../mod.ts";
import { cborCodec } from "../../src/cbor.ts";
import type { StoredValue } from "../../src/extend.ts";

/** A value in the schema of a release; it says of itself which. */
export interface User {
  readonly name: string;
  /** From release 1 on. */
  readonly mail?: string | null;
  /** From release 2 on, which keeps CBOR. */
  readonly tags?: readonly string[];
}

/** A release of the program. */
export type Release = 0 | 1 | 2;

/** All of them. */
export const RELEASES: readonly Release[] = [0, 1, 2];

/** A user that a release wrote, as a later one has it. */
export function userOf(name: string, wrote: Release, reads: Release = wrote): User {
  const mail = wrote === 0 ? null : `${name}@example.com`;
  const tags = wrote === 2 ? [name] : [];
  return { name, ...(reads > 0 && { mail }), ...(reads > 1 && { tags }) };
}

/** The codec of users in each release: JSON, JSON in another version, and CBOR, which takes the place of both. */
export const CODECS: readonly Codec<User>[] = [
  jsonCodec<User>(),
  versioned(jsonCodec<User>(), 1, (bytes) => ({ ...jsonCodec<User>().decode(bytes), mail: null })),
  versioned(cborCodec<User>(), 2, (bytes, { name }) => {
    if (name !== "json") throw new Error(`It was never ${name}`);
    return { mail: null, ...jsonCodec<User>().decode(bytes), tags: [] };
  }, { replaces: ["json"] }),
];

/** A machine whose commands put users, and delete them. */
export interface Users extends StateMachine {
  put(name: string, user: User): Uint8Array;
  delete(name: string): Uint8Array;
  /** All that it has. */
  content(): Promise<Record<string, User>>;
}

/** The library's own. */
export class KeyValueUsers extends KeyValueMachine<User> implements Users {
  content(): Promise<Record<string, User>> {
    return Promise.resolve(Object.fromEntries(this.entries()));
  }
}

interface UserCommand {
  readonly key: string;
  readonly user: User | null;
}

/** The codec of commands of a release: that of its users, around what each command says. */
function commandsOf(users: Codec<User>): ReturnType<typeof commandCodec<UserCommand>> {
  const around = (decode: (bytes: Uint8Array) => User) => (bytes: Uint8Array): UserCommand => {
    const { key, user } = jsonCodec<{ key: string; user: number[] | null }>().decode(bytes);
    return { key, user: user && decode(Uint8Array.from(user)) };
  };
  const { migrate, ...rest } = users;
  return commandCodec<UserCommand>({
    ...(({ name, version, replaces }) => ({
      name,
      ...(version !== undefined && { version }),
      ...(replaces !== undefined && { replaces }),
    }))(rest),
    encode: ({ key, user }) => jsonCodec().encode({ key, user: user && [...users.encode(user)] }),
    decode: around((bytes) => users.decode(bytes)),
    ...(migrate && { migrate: (bytes, from) => around((old) => users.migrate!(old, from))(bytes) }),
  });
}

abstract class OwnMachine {
  protected readonly commands: ReturnType<typeof commandsOf>;

  constructor(users: Codec<User>) {
    this.commands = commandsOf(users);
  }

  put(key: string, user: User): Uint8Array {
    return this.commands.encode({ key, user });
  }

  delete(key: string): Uint8Array {
    return this.commands.encode({ key, user: null });
  }

  validate(data: Uint8Array): void {
    this.commands.decode(data);
  }
}

/** One's own, with states of each kind in memory. */
export class KeyedUsers extends OwnMachine implements Users {
  readonly state: KeyedState<string> = new KeyedState({
    keys: stringKeys(),
    incremental: { maxShare: 5, maxDeltas: 3 },
  });
  readonly value: ValueState<string, User>;
  readonly list: ListState<string, User>;
  readonly map: MapState<string, string, User>;

  constructor(users: Codec<User>) {
    super(users);
    this.value = this.state.value("value", users);
    this.list = this.state.list("list", users);
    this.map = this.state.map("map", stringKeys(), users);
  }

  apply({ data }: LogEntry): void {
    const { key, user } = this.commands.decode(data);
    this.list.delete(key);
    if (user === null) {
      this.value.delete(key);
      this.map.clear(key);
      return;
    }
    this.value.set(key, user);
    this.list.add(key, user);
    this.list.add(key, user);
    this.map.set(key, "it", user);
  }

  save(): SaveTask | undefined {
    return this.state.save();
  }

  load(reader: SnapshotReader): Promise<void> {
    return this.state.load(reader);
  }

  content(): Promise<Record<string, User>> {
    const content = Object.fromEntries(this.value.entries());
    for (const [key, user] of Object.entries(content)) {
      const [first, second, ...rest] = this.list.get(key);
      const all = JSON.stringify([first, second, this.map.get(key, "it")]);
      if (rest.length > 0 || all !== JSON.stringify([user, user, user])) throw new Error(`${key} is ${all}`);
    }
    return Promise.resolve(content);
  }
}

/** One's own, with its state in a database. */
export class StoredUsers extends OwnMachine implements Users {
  readonly state: StoredState<string>;
  readonly value: StoredValue<string, User>;

  constructor(users: Codec<User>, state: StoredState<string>) {
    super(users);
    this.state = state;
    this.value = state.value("value", users);
  }

  apply(entry: LogEntry): Promise<void> {
    return this.state.apply(entry, async () => {
      const { key, user } = this.commands.decode(entry.data);
      if (user === null) await this.value.delete(key);
      else await this.value.set(key, user);
    });
  }

  reconfigure(entry: LogEntry): Promise<void> {
    return this.state.apply(entry);
  }

  durable(): DurablyApplied | undefined {
    return this.state.durable();
  }

  flush(): Promise<void> {
    return this.state.flush();
  }

  check(reader: SnapshotReader): Promise<void> {
    return this.state.check(reader);
  }

  save(): SaveTask | undefined {
    return this.state.save();
  }

  load(reader: SnapshotReader): Promise<void> {
    return this.state.load(reader);
  }

  async content(): Promise<Record<string, User>> {
    return Object.fromEntries(await Array.fromAsync(this.value.entries()));
  }
}

/** A storage in memory that a replica which is closed leaves as it is, for the next one. */
export class LastingStorage extends MemoryStorage {
  override close(): Promise<void> {
    return Promise.resolve();
  }
}
