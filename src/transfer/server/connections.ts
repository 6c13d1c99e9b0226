/**
 * The connections of a server: as many as it has room for, and none that keeps others out.
 *
 * @module
 */

/** The part of a socket that is used. */
export interface Socket {
  readonly remoteAddress?: string | undefined;
  once(event: "close", listener: () => void): unknown;
  destroy(): unknown;
}

/** A connection that is open. */
interface Connected {
  /** Requests that are being answered. */
  running: number;
}

/**
 * Keeps a limited number of connections. When there is one more, one goes: of the address that has the most, the oldest
 * at which nothing is being answered, or else the oldest.
 */
export class Connections {
  readonly #limit: number;
  /** By address; the oldest first. */
  readonly #open = new Map<string, Map<Socket, Connected>>();
  #count = 0;

  /** @param limit how many there may be */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Takes a new one, in the place of another if there is no room. */
  add(socket: Socket): void {
    const address = socket.remoteAddress ?? "";
    const own = this.#open.get(address) ?? new Map<Socket, Connected>();
    this.#open.set(address, own.set(socket, { running: 0 }));
    this.#count++;
    socket.once("close", () => this.#remove(address, socket));
    if (this.#count > this.#limit) this.#evict(socket);
  }

  /** Notes that a request is being answered at a connection, until the function that it returns is called. */
  answering(socket: Socket): () => void {
    const connected = this.#open.get(socket.remoteAddress ?? "")?.get(socket);
    if (connected === undefined) return () => {};
    connected.running++;
    return () => void connected.running--;
  }

  /** Reports whether a request is being answered at a connection. */
  isAnswering(socket: Socket): boolean {
    return (this.#open.get(socket.remoteAddress ?? "")?.get(socket)?.running ?? 0) > 0;
  }

  #evict(newest: Socket): void {
    let most = new Map<Socket, Connected>();
    for (const own of this.#open.values()) if (own.size > most.size) most = own;
    const others = [...most].filter(([socket]) => socket !== newest);
    const [victim = newest] = others.find(([, { running }]) => running === 0) ?? others[0] ?? [];
    for (const [address, own] of this.#open) if (own.has(victim)) this.#remove(address, victim);
    victim.destroy();
  }

  #remove(address: string, socket: Socket): void {
    const own = this.#open.get(address);
    if (own === undefined || !own.delete(socket)) return;
    this.#count--;
    if (own.size === 0) this.#open.delete(address);
  }
}
