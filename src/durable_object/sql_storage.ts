/**
 * The part that is used of a Durable Object's storage.
 *
 * @module
 */

/** A value that is bound in a statement. */
export type SqlValue = ArrayBuffer | ArrayBufferView | string | number | null;

/** A row of a result. */
export type SqlRow = Readonly<Record<string, unknown>>;

/** The part of `ctx.storage` that a log needs, in a Durable Object with SQLite. */
export interface DurableSqlStorage {
  /** Its database. */
  readonly sql: {
    /**
     * Runs statements.
     *
     * @param query the statements
     * @param bindings the values of the question marks in the last one
     */
    exec(query: string, ...bindings: SqlValue[]): {
      /** All rows that are left. */
      toArray(): SqlRow[];
    };
  };
  /** Runs `closure` in a transaction, which is rolled back if it throws. */
  transactionSync<T>(closure: () => T): T;
  /** Resolves when all writes are durable. */
  sync(): Promise<void>;
}
