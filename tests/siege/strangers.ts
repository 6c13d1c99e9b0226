// Strangers at the sockets of what is besieged: patient, greedy, impolite, lying, and gone in the middle of a word.

import { connect, type Socket } from "node:net";
import type { Random } from "../support/random.ts";
import type { Loot } from "./loot.ts";

/** The header by which the handlers tell clients from each other: all of them come from one address here. */
export const CLIENT = "X-Client";

/** What a stranger does at a connection. */
type Deed = (socket: Socket, loot: Loot, random: Random) => void;

/** The longest wait of a stranger between two bytes, in milliseconds. */
const PATIENCE = 50;
/** Different people that strangers say they are. */
const NAMES = 40;
/** Connections of a stranger who crowds. */
const CROWD = 20;

const encode = (text: string) => new TextEncoder().encode(text);

function head(random: Random, method: string, path: string, lines: readonly string[] = []): Uint8Array {
  const name = random.chance(0.9) ? [`${CLIENT}: stranger ${random.below(NAMES)}`] : [];
  return encode([`${method} ${path} HTTP/1.1`, "Host: h", ...name, ...lines, "", ""].join("\r\n"));
}

function get(random: Random, path: string, lines: readonly string[] = []): Uint8Array {
  return head(random, "GET", path, lines);
}

/** Sends a request with a body, of which some may be missing. */
function send(
  socket: Socket,
  random: Random,
  [method, path]: readonly [string, string],
  body: Uint8Array,
  length = body.length,
): void {
  const lines = [`Content-Length: ${length}`, "Content-Type: application/json"];
  socket.write(head(random, method, path, lines));
  socket.write(body);
}

/** Writes byte after byte, as long as the connection is there. */
function drip(socket: Socket, bytes: Uint8Array): void {
  let at = 0;
  const timer = setInterval(() => void socket.write(bytes.slice(at, at = (at + 1) % bytes.length)), PATIENCE);
  socket.once("close", () => clearInterval(timer));
}

/** Changes some bytes, or leaves some out. */
function damaged(bytes: Uint8Array, random: Random): Uint8Array {
  const copy = bytes.slice(0, random.chance(0.5) ? bytes.length : random.below(bytes.length));
  for (let i = random.below(4); i >= 0; i--) copy[random.below(copy.length)] = random.below(256);
  return copy;
}

const KINDS: Readonly<Record<string, Deed>> = {
  "asks for much, and reads nothing": (socket, _loot, random) => {
    socket.pause();
    for (const what of ["content", "archive", "manifest"]) socket.write(get(random, `/snapshots/latest/${what}`));
  },
  "sips": (socket, _loot, random) => {
    socket.write(get(random, "/snapshots/latest/archive"));
    socket.on("data", () => {
      socket.pause();
      setTimeout(() => socket.resume(), PATIENCE).unref?.();
    });
  },
  "sends half of a header": (socket, _loot, random) => {
    socket.write(get(random, "/snapshots").subarray(0, 10 + random.below(10)));
  },
  "sends a header without an end": (socket, _loot, random) => {
    socket.write(get(random, "/snapshots").subarray(0, -2));
    drip(socket, encode("X: y\r\n"));
  },
  "begins a signed upload": (socket, { archive, next }, random) => {
    const part = archive.subarray(0, random.below(archive.length));
    send(socket, random, ["PUT", `/snapshots/${next}`], part, archive.length);
  },
  "drips a signed upload": (socket, { archive, manifest, next }, random) => {
    const begun = Math.min(manifest.length + 1000, archive.length >> 1);
    send(socket, random, ["PUT", `/snapshots/${next}`], archive.subarray(0, begun), archive.length);
    drip(socket, archive.subarray(begun));
  },
  "sends a signed one again": (socket, { archive, next }, random) => {
    send(socket, random, ["PUT", `/snapshots/${next - BigInt(random.below(3))}`], archive);
  },
  "sends an unsigned one": (socket, { unsigned }, random) => {
    send(socket, random, ["PUT", "/snapshots/1000000"], unsigned, 2 ** 40);
    socket.on("drain", () => socket.write(unsigned));
  },
  "sends one of another group": (socket, { foreign }, random) => {
    send(socket, random, ["PUT", "/snapshots/1000000"], foreign);
  },
  "sends a damaged one": (socket, { archive, next }, random) => {
    send(socket, random, ["PUT", `/snapshots/${next}`], damaged(archive, random));
  },
  "offers": (socket, { manifest, next }, random) => {
    const offered = random.chance(0.5) ? manifest : damaged(manifest, random);
    for (let i = 0; i < 4; i++) send(socket, random, ["PUT", `/snapshots/${next}/manifest`], offered);
  },
  "offers for ever": (socket, { manifest, next }, random) => {
    send(socket, random, ["PUT", `/snapshots/${next}/manifest`], manifest.subarray(0, 9), 1e6);
    drip(socket, manifest.subarray(9));
  },
  "speaks as the leader": (socket, _loot, random) => {
    const term = random.pick(["9223372036854775807", "1"]);
    const said = {
      term,
      firstAvailable: { index: term, term },
      leader: "http://169.254.169.254/",
      sources: ["file:/"],
    };
    send(socket, random, ["POST", "/snapshots/notification"], encode(JSON.stringify(said)));
  },
  "has a snapshot taken": (socket, _loot, random) => {
    send(socket, random, ["POST", `/snapshots?gap=${random.below(3)}`], encode("{}"));
  },
  "polls": (socket, { next }, random) => {
    for (let i = 0n; i < 8n; i++) {
      const what = random.pick(["manifest", "held", "", "files/x", "content"]);
      socket.write(get(random, `/snapshots/${next - i}/${what}`, ["Range: bytes=0-0"]));
    }
  },
  "waits for the log, and reads nothing": (socket, { last }, random) => {
    socket.pause();
    for (const from of [last + 1n, 1n]) socket.write(get(random, `/log?from=${from}&wait`));
  },
  "asks for the log from anywhere": (socket, { last }, random) => {
    const any = () => random.pick([0n, 1n, last, last + 1n, last + 2n, 2n ** 63n - 1n, 2n ** 63n]);
    socket.write(get(random, `/log?from=${any()}&to=${any()}`, random.chance(0.5) ? ["Accept: application/json"] : []));
    socket.write(get(random, `/log?index=${any()}`));
    socket.write(get(random, `/log?from=${any()}&digest=${"0".repeat(random.below(2000))}`));
  },
  "says that it leads": (socket, _loot, random) => {
    const said = JSON.stringify({ term: random.pick(["9223372036854775807", "7"]), leader: "http://169.254.169.254/" });
    send(socket, random, ["POST", "/log/leader"], encode(said));
  },
  "asks what goes on": (socket, { next }, random) => {
    for (const path of ["status", `${next}/install`, `${next}/held`]) socket.write(get(random, `/snapshots/${path}`));
    socket.write(get(random, "/"));
  },
  "asks for many ranges": (socket, _loot, random) => {
    const ranges = Array.from({ length: random.pick([60, 400]) }, (_, i) => `${i * 3}-${i * 3 + random.below(9)}`).join(
      ",",
    );
    socket.write(get(random, "/snapshots/latest/archive", [`Range: bytes=${ranges}`]));
  },
  "speaks no HTTP": (socket, _loot, random) => {
    socket.write(Uint8Array.from({ length: 1 + random.below(500) }, () => random.below(256)));
  },
  "asks for what there is not": (socket, _loot, random) => {
    const path = random.pick([
      "//",
      "/snapshots/../../etc/passwd",
      `/snapshots/${"/".repeat(8000)}`,
      "/snapshots/%",
      "*",
    ]);
    const method = random.pick(["GET", "PUT", "DELETE", "TRACE", "constructor", "OPTIONS"]);
    socket.write(head(random, method, path, [`If-Match: ${'"'.repeat(random.below(2000))}`]));
  },
};

/** A stranger, who stays until it is sent away. */
export class Stranger {
  readonly #sockets: readonly Socket[];
  /** Resolves when all its connections were made, or refused. */
  readonly here: Promise<unknown>;

  /**
   * @param kind one of {@linkcode Stranger.kinds}
   * @param port where to
   * @param loot what it has got hold of
   * @param random chooses
   */
  constructor(kind: string, port: number, loot: Loot, random: Random) {
    const leaves = random.chance(0.3);
    this.#sockets = Array.from({ length: random.chance(0.1) ? CROWD : 1 }, () => {
      const socket = connect(port, "127.0.0.1", () => {
        KINDS[kind]!(socket, loot, random);
        if (leaves) socket.end();
      });
      socket.on("error", () => {});
      return socket.resume();
    });
    this.here = Promise.all(
      this.#sockets.map((socket) => new Promise((resolve) => socket.once("connect", resolve).once("close", resolve))),
    );
  }

  /** The kinds of strangers. */
  static get kinds(): readonly string[] {
    return Object.keys(KINDS);
  }

  /** Goes, in the middle of a word. */
  leave(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
