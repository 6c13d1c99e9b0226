// The page whose worker has the stock. It keeps the worker's script, as a service worker would (`offline_page`), so
// that it can start another one offline.

/// <reference lib="dom" />
import type { StockReplica } from "./worker.ts";

type Settle = readonly [resolve: (value: unknown) => void, reject: (error: unknown) => void];

const response = await fetch("/module/stock_worker");
const script = URL.createObjectURL(new Blob([await response.text()], { type: "text/javascript" }));
let worker: Worker;
let calls = 0;
const waiting = new Map<number, Settle>();

/** Starts the worker; the one before it is killed, whatever it does. */
function start(): void {
  worker?.terminate();
  worker = new Worker(script, { type: "module" });
  worker.onmessage = ({ data: [id, value, error] }) => {
    const [resolve, reject] = waiting.get(id)!;
    waiting.delete(id);
    if (error === undefined) resolve(value);
    else reject(new Error(error));
  };
}

/** Asks the worker. */
function ask(verb: keyof StockReplica, ...args: string[]): Promise<unknown> {
  return new Promise((resolve, reject) => {
    waiting.set(++calls, [resolve, reject]);
    worker.postMessage([calls, verb, ...args]);
  });
}

start();
Object.assign(globalThis, { stock: { start, ask } });
