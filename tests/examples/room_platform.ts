// What `@cloudflare/workers-types` declares, as far as the room uses it.

import type { DurableStorage } from "../../src/durable_object.ts";

export interface DurableObjectState {
  readonly id: { toString(): string };
  readonly storage: DurableStorage;
  blockConcurrencyWhile<T>(work: () => Promise<T>): Promise<T>;
  acceptWebSocket(socket: WebSocket): void;
  getWebSockets(): WebSocket[];
}

export interface Namespace {
  idFromName(name: string): unknown;
  get(id: unknown): { fetch(request: Request): Promise<Response> };
}

export type SocketPair = new () => { readonly 0: WebSocket; readonly 1: WebSocket };
