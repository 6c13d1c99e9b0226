// Web Crypto, which works in other threads.

/** What of it is done there: no turn of the event loop waits for it. */
export const IN_THREADS = [
  "decrypt",
  "deriveKey",
  "digest",
  "encrypt",
  "exportKey",
  "importKey",
  "sign",
  "verify",
] as const;

let working: Set<Promise<unknown>> | undefined;

/** Begins to take note of what goes on there. */
export function watchThreads(): void {
  if (working !== undefined) return;
  const all = working = new Set<Promise<unknown>>();
  const { subtle } = crypto;
  for (const name of IN_THREADS) {
    const original = subtle[name].bind(subtle) as (...args: unknown[]) => Promise<unknown>;
    const watched = (...args: unknown[]) => {
      const work = original(...args);
      const ended = () => void all.delete(work);
      all.add(work);
      work.then(ended, ended);
      return work;
    };
    Object.defineProperty(subtle, name, { value: watched, configurable: true, writable: true });
  }
}

/** Waits until nothing goes on there. */
export async function threadsIdle(): Promise<void> {
  while (working !== undefined && working.size > 0) await threadsSettled();
}

/** Waits until what goes on there now has ended. */
export async function threadsSettled(): Promise<void> {
  if (working !== undefined && working.size > 0) await Promise.allSettled(working);
}
