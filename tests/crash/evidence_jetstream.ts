// A bucket in JetStream, of which one observer gets other answers than the server gave.

import { jetstreamManager } from "@nats-io/jetstream";
import { headers, type Msg, type NatsConnection, PermissionViolationError } from "@nats-io/nats-core";
import type { Bucket } from "../../src/bucket/mod.ts";
import { JetStreamBucket } from "../../src/jetstream.ts";
import { keyOf } from "../../src/jetstream/subjects.ts";
import { bytesOf, noise } from "../support/harness.ts";
import { overriding } from "../support/overriding.ts";
import { buckets, type ThingOf } from "./evidence_buckets.ts";
import { encrypted, type Faults, type Grade, plain, type WorldKind, type Wrap } from "./evidence_media.ts";

const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const toBase64 = (bytes: Uint8Array) => btoa(String.fromCharCode(...bytes));
const fromBase64 = (text: string) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));

/** Settings of a server whose messages are so small that most objects of a snapshot are in chunks. */
export const SMALL_MESSAGES = "max_payload: 4608";

let made = 0;

/** Buckets of a server, plain and encrypted. */
export function jetStreamWorlds(connection: NatsConnection): WorldKind[] {
  return [
    jetStreamBuckets("JetStream", plain, connection),
    jetStreamBuckets("JetStream, encrypted", encrypted, connection),
  ];
}

/** Streams of a server, each a bucket. */
function jetStreamBuckets(name: string, wrap: Wrap, connection: NatsConnection): WorldKind {
  const kind = buckets(name, wrap, async (inner, faults, thingOf) => {
    const bucket = `world${made++}`;
    const writer = await JetStreamBucket.open(connection, { bucket });
    for (const { key } of (await inner.list()).objects) {
      await writer.put(key, await bytesOf((await inner.get(key))!.body));
    }
    await writer.close();
    const seen = seenBy(connection, faults, await thingsIn(connection, bucket, thingOf));
    const opened = await JetStreamBucket.open(seen, { bucket });
    return Object.assign<Bucket, AsyncDisposable>(opened, {
      async [Symbol.asyncDispose]() {
        await opened.close();
        await (await jetstreamManager(connection)).streams.delete(`bucket_${bucket}`);
      },
    });
  });
  return { ...kind, make: async () => ({ ...await kind.make(), haste: 20 }) };
}

/** Says of which thing a subject is: an object, or a chunk of one. */
async function thingsIn(connection: NatsConnection, bucket: string, thingOf: ThingOf): Promise<ThingOf> {
  const manager = await jetstreamManager(connection);
  const [objects, chunks] = [`bucket_${bucket}.o`, `bucket_${bucket}.c.`];
  const info = await manager.streams.info(`bucket_${bucket}`, { subjects_filter: `${objects}.>` });
  const ofChunks = new Map<string, string>();
  for (const subject of Object.keys(info.state.subjects ?? {})) {
    const message = await manager.streams.getMessage(`bucket_${bucket}`, { last_by_subj: subject });
    ofChunks.set(message?.header?.get("Snapstream-Chunks") ?? "", keyOf(objects, subject));
  }
  return (subject) => {
    if (subject.startsWith(`${objects}.`)) return thingOf(keyOf(objects, subject));
    const key = subject.startsWith(chunks) && ofChunks.get(subject.slice(chunks.length).split(".")[0]!);
    return typeof key === "string" ? thingOf(key) : "other";
  };
}

/** A connection on which answers are other than they were given. What is written is written. */
function seenBy(connection: NatsConnection, faults: Faults, thingOf: ThingOf): NatsConnection {
  const see = (subject: string): Grade | undefined => {
    const grade = faults.of(thingOf(subject));
    if (grade === "forbidden") throw new PermissionViolationError("Permissions Violation", "publish", subject);
    return grade;
  };
  const request: NatsConnection["request"] = async (subject, payload, options) => {
    const [, direct] = /^\$JS\.API\.DIRECT\.GET\.[^.]+\.(.+)$/.exec(subject) ?? [];
    if (direct !== undefined) {
      const grade = see(direct);
      return ofDirect(await connection.request(subject, payload, options), grade, faults);
    }
    if (!subject.startsWith("$JS.API.STREAM.MSG.GET.")) return await connection.request(subject, payload, options);
    const { last_by_subj } = JSON.parse(decode(payload as Uint8Array)) as { last_by_subj: string };
    const grade = see(last_by_subj);
    return ofStored(await connection.request(subject, payload, options), grade, faults);
  };
  const subscribe: NatsConnection["subscribe"] = (subject, options) => {
    let left = 0; // messages that are not shown
    return connection.subscribe(subject, {
      ...options,
      callback(error, message) {
        if (error === null && faults.of(thingOf(message.subject)) === "gone") return void left++;
        options?.callback?.(error, error === null ? withMore(message, left) : message);
      },
    });
  };
  return overriding(connection, { request, subscribe });
}

/** What a request for a chunk gets. */
function ofDirect(message: Msg, grade: Grade | undefined, faults: Faults): Msg {
  if (grade === "absent" || grade === "gone") return status(message, 404, "Message Not Found");
  if (grade === "unreadable") return status(message, 408, "Request Timeout");
  return grade === undefined ? message : overriding(message, { data: spoiled(grade, message.data, faults) });
}

function status(message: Msg, code: number, text: string): Msg {
  return overriding(message, { data: new Uint8Array(), headers: headers(code, text) });
}

/** What a request for a message gets: the server's JSON. */
function ofStored(answer: Msg, grade: Grade | undefined, faults: Faults): Msg {
  if (grade === undefined) return answer;
  const json = (value: unknown) => overriding(answer, { data: new TextEncoder().encode(JSON.stringify(value)) });
  if (grade === "absent" || grade === "gone") {
    return json({ error: { code: 404, err_code: 10037, description: "no message found" } });
  }
  if (grade === "unreadable") {
    return json({ error: { code: 503, err_code: 10008, description: "JetStream system temporarily unavailable" } });
  }
  const { message, ...rest } = JSON.parse(decode(answer.data)) as { message?: { data?: string; seq: number } };
  if (message === undefined) return answer;
  const data = toBase64(spoiled(grade, fromBase64(message.data ?? ""), faults));
  return json({ ...rest, message: { ...message, data, ...(grade === "other" && { seq: message.seq + 1000 }) } });
}

function spoiled(grade: Grade, bytes: Uint8Array, faults: Faults): Uint8Array {
  if (grade === "other") return noise(bytes.length, 5);
  return grade === "short" ? bytes.subarray(0, bytes.length >> 1) : faults.spoil(grade, bytes.slice());
}

/** The end of a batch, of which some messages were not shown. */
function withMore(message: Msg, more: number): Msg {
  const pending = message.headers?.get("Nats-Pending-Messages") ?? "";
  if (more === 0 || pending === "") return message;
  const all = headers(message.headers!.code, message.headers!.description);
  all.set("Nats-Pending-Messages", String(Number(pending) + more));
  return overriding(message, { headers: all });
}
