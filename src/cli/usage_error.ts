/**
 * The error of a call that makes no sense.
 *
 * @module
 */

/** A call that makes no sense: exit code 2. */
export class UsageError extends Error {}
