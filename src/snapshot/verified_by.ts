/**
 * Asking a verifier.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";

/**
 * Asks a verifier, if there is one, about a snapshot. It throws if the snapshot is not trusted; one that resolves to
 * something, such as the `false` of Web Crypto's `verify`, was written for another contract, and trusts nothing.
 *
 * @throws {SnapshotError} what the verifier throws; `FORBIDDEN` if it does not keep to its contract
 */
export async function verifiedBy<M extends { readonly index: bigint }>(
  verifier: { verify(manifest: M): Promise<void> } | undefined,
  manifest: M,
): Promise<void> {
  const said: unknown = await verifier?.verify(manifest);
  if (said === undefined) return;
  throw new SnapshotError(
    "FORBIDDEN",
    `Snapshot ${manifest.index} is not trusted: its verifier resolved to ${typeof said}, where it has to throw, or to ` +
      `resolve to nothing`,
    { index: manifest.index },
  );
}
