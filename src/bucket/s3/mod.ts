/**
 * Objects in S3, and in what speaks as it does.
 *
 * @module
 */

export * from "./bucket.ts";
