// A chat room on a Durable Object. What is said is in the object's own storage before anybody hears of it; every hour, if
// there was anything, a snapshot of the room goes to R2 and what it holds is dropped from the object's log.
//
// wrangler.jsonc: "durable_objects": { "bindings": [{ "name": "ROOM", "class_name": "Room" }] },
//                 "migrations": [{ "tag": "v1", "new_sqlite_classes": ["Room"] }],
//                 "r2_buckets": [{ "binding": "BUCKET", "bucket_name": "rooms" }]

import { jsonCodec, KeyValueMachine, type SnapshotHandler, snapshotHandler } from "../../mod.ts";
import { DurableReplica } from "../../src/durable_object.ts";
import { ObjectStorage, R2BindingBucket, type R2BucketLike } from "../../src/object.ts";
import type { DurableObjectState, Namespace, SocketPair } from "./room_platform.ts";

/** What somebody said. The client makes the id: sent again after a failure, it is the same message. */
export interface Message {
  readonly id: string;
  readonly from: string;
  readonly text: string;
}

export interface RoomEnv {
  readonly ROOM: Namespace;
  readonly BUCKET: R2BucketLike;
  /** Who knows it may fetch the room's snapshots, and put others in their place. */
  readonly SECRET: string;
}

export class Room {
  readonly #state: DurableObjectState;
  readonly #messages = new KeyValueMachine(jsonCodec<Message>(), { incremental: true });
  #room!: DurableReplica<KeyValueMachine<Message>>;
  #snapshots!: SnapshotHandler;

  constructor(state: DurableObjectState, env: RoomEnv) {
    this.#state = state;
    void state.blockConcurrencyWhile(async () => {
      const bucket = new R2BindingBucket(env.BUCKET);
      const storage = await ObjectStorage.open(bucket, { prefix: `rooms/${state.id}/`, packSize: 4 * 1024 * 1024 });
      this.#room = await DurableReplica.open(state.storage, { machine: this.#messages, storage });
      this.#snapshots = snapshotHandler(storage, {
        creationGap: 1,
        target: this.#room.replica,
        authorize: ({ headers }) => headers.get("Authorization") === `Bearer ${env.SECRET}`,
      });
    });
  }

  /** `GET /messages`, `POST /messages`, `GET /socket`, and what the handler of snapshots knows. */
  async fetch(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname.startsWith("/snapshots")) return await this.#snapshots(request);
    if (pathname === "/socket") return this.#connect();
    if (pathname !== "/messages") return new Response(null, { status: 404 });
    if (request.method === "POST") await this.#say(await request.json() as Message);
    return Response.json(Array.from(this.#messages.entries(), ([, message]) => message));
  }

  async webSocketMessage(_: WebSocket, text: string): Promise<void> {
    await this.#say(JSON.parse(text) as Message);
  }

  /** The platform's timer: the replica saves, when that is due. */
  alarm(): Promise<void> {
    return this.#room.alarm();
  }

  async #say({ id, from, text }: Message): Promise<void> {
    const message = { id, from, text };
    await this.#room.replica.propose(this.#messages.put(id, message)); // durable from here on
    for (const socket of this.#state.getWebSockets()) socket.send(JSON.stringify(message));
  }

  #connect(): Response {
    const { 0: client, 1: server } = new WebSocketPair();
    this.#state.acceptWebSocket(server); // and not `server.accept()`: so the room may be hibernated meanwhile
    return new Response(null, { status: 101, webSocket: client } as ResponseInit);
  }
}

/** `https://chat.example/{room}/messages` and so on. */
export default {
  async fetch(request: Request, env: RoomEnv): Promise<Response> {
    const url = new URL(request.url);
    const [, room = "", ...path] = url.pathname.split("/");
    url.pathname = `/${path.join("/")}`;
    return await env.ROOM.get(env.ROOM.idFromName(room)).fetch(new Request(url, request));
  },
};

declare const WebSocketPair: SocketPair;
