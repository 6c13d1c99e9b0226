/**
 * What is needed of a Durable Object's storage.
 *
 * @module
 */

/** What goes into the storage's SQL. */
export type SqlValue = ArrayBuffer | ArrayBufferView | string | number | null;

/** A row that comes out of it. */
export type SqlRow = Readonly<Record<string, unknown>>;

/** The part of `ctx.storage` that a log needs, in a Durable Object with SQLite. */
export interface DurableSqlStorage {
  /** Its database. */
  readonly sql: {
    /**
     * Runs statements.
     *
     * @param query them
     * @param bindings what stands for the question marks of the last
     */
    exec(query: string, ...bindings: SqlValue[]): {
      /** All rows that are left. */
      toArray(): SqlRow[];
    };
  };
  /** Runs something in a transaction, which is rolled back if it throws. */
  transactionSync<T>(closure: () => T): T;
  /** Resolves when all that was written is durable. */
  sync(): Promise<void>;
}
