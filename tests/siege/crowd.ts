// The strangers of a siege, seen from what is besieged: they are in a process of their own, or what they do would block
// the event loop that is looked at.

import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { commandOf } from "../support/child.ts";
import { type Loot, writeLoot } from "./loot.ts";

/** A crowd. */
export class Crowd {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<void>;

  /**
   * @param seed chooses
   * @param count how many strangers there are at a time
   * @param ports where they come to
   */
  constructor(seed: number, count: number, ports: readonly number[]) {
    const [program, ...args] = commandOf("tests/siege/crowd_child.ts", ...[seed, count, ...ports].map(String));
    this.#process = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.#process.stdin!.on("error", () => {}); // it has ended: there is no answer
    this.#ended = new Promise((resolve) => this.#process.once("close", () => resolve()));
    this.#lines = createInterface({ input: this.#process.stdout! })[Symbol.asyncIterator]();
  }

  /** Some go and others come; returns their kinds when all their connections were made, or refused. */
  come(loot: Loot): Promise<string[]> {
    return this.#tell(loot);
  }

  /** All go, in the middle of a word. */
  async go(): Promise<void> {
    await this.#tell(null);
  }

  async #tell(loot: Loot | null): Promise<string[]> {
    this.#process.stdin!.write(`${writeLoot(loot)}\n`);
    const { done, value } = await this.#lines.next();
    if (done === true) throw new Error("The strangers' process has ended");
    return JSON.parse(value);
  }

  /** Ends their process. */
  async close(): Promise<void> {
    this.#process.stdin!.end();
    await this.#ended;
  }
}
