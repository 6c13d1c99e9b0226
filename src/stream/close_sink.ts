/**
 * Closing a sink that may have failed.
 *
 * @module
 */

/**
 * Closes a sink. If it has failed, this fails with its error: `close` alone would say that it cannot be closed.
 *
 * @param writer has written all
 */
export async function closeSink(writer: WritableStreamDefaultWriter<Uint8Array>): Promise<void> {
  await writer.ready;
  await writer.close();
}
