// Random histories of releases, in short, on machines of every kind; the long form is `deno task crash --long`.

import { jsonCodec, KeyedState, type LogEntry, type SaveTask, type SnapshotReader, stringKeys } from "../../mod.ts";
import { noSchemaCounts, playSchemas, schemaMachines } from "../crash/schema_histories.ts";
import { assert, test } from "../support/harness.ts";
import { CODECS, type Release, type User, type Users } from "../support/schemas.ts";

for (const [name, make] of Object.entries(schemaMachines)) {
  test(`schemas: histories of three releases, ${name}`, async () => {
    const counts = noSchemaCounts();
    for (let seed = 0; seed < 40; seed++) await playSchemas(make, seed, 40, counts);
    for (const [what, count] of Object.entries(counts)) assert.isAbove(count, 0, what);
  });
}

/** A machine whose commands do not say what wrote them. */
class Forgetful implements Users {
  readonly #state = new KeyedState({ keys: stringKeys() });
  readonly #users;
  readonly #codec;

  constructor(release: Release) {
    this.#codec = CODECS[release]!;
    this.#users = this.#state.value("users", this.#codec);
  }

  put(key: string, user: User): Uint8Array {
    return jsonCodec().encode([key, [...this.#codec.encode(user)]]);
  }

  delete(key: string): Uint8Array {
    return jsonCodec().encode([key]);
  }

  apply({ data }: LogEntry): void {
    const [key, bytes] = jsonCodec<[string, number[]?]>().decode(data);
    if (bytes === undefined) this.#users.delete(key);
    else this.#users.set(key, this.#codec.decode(Uint8Array.from(bytes)));
  }

  save(): SaveTask | undefined {
    return this.#state.save();
  }

  load(reader: SnapshotReader): Promise<void> {
    return this.#state.load(reader);
  }

  content(): Promise<Record<string, User>> {
    return Promise.resolve(Object.fromEntries(this.#users.entries()));
  }
}

test("schemas: the histories see it if commands do not say what wrote them", async () => {
  let seen = 0;
  for (let seed = 0; seed < 20; seed++) {
    await playSchemas((release) => new Forgetful(release), seed, 40, noSchemaCounts()).catch((error) => {
      assert.match(error.message, /Violated/);
      seen++;
    });
  }
  assert.strictEqual(seen, 20);
});
