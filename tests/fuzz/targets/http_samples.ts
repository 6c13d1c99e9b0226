// Requests to a handler: what they are made of.

import type { Random } from "../../support/random.ts";
import { mutateText, someNumber } from "../mutate.ts";
import { someRange } from "./ranges.ts";

/** The methods. */
export const METHODS: readonly string[] = [
  ...["GET", "GET", "GET", "GET", "GET", "GET", "HEAD", "PUT", "PUT", "PUT", "POST", "POST", "DELETE", "OPTIONS"],
  ...["PATCH", "constructor"],
];
const PARTS = ["manifest", "held", "content", "archive", "files", "files/a", "files/d/equal", "files/d%2Fequal", "x"];
const PATH_PIECES = [
  ...["/", "//", "..", ".", "%2e%2e", "%2F", "%00", "%", "%zz", "%ff", "\\", "?", "#", ";", "snapshots", "latest", "0"],
  ...["-1", "5", "99999999999999999999", "a", "files/", "é", "%C3%A9", "toString", "__proto__", "notification", " "],
];
const VALUES = [
  ...["", " ", "*", "0", "-1", "1e9", "bytes", "application/json", "application/x-protobuf", "text/html;q=0", "gzip"],
  ...["identity", "*/*", "a,b,,c", '"', "W/", "=", ";", "18446744073709551616", "x".repeat(3000), "null"],
];
const NAMES = [
  ...["Range", "If-Range", "If-Match", "If-None-Match", "Accept", "Accept-Encoding", "Content-Type", "Content-Length"],
  ...["Content-Range", "Content-Encoding", "Authorization", "Origin", "Upload-Offset", "If-Modified-Since", "Cookie"],
];

/** A path, mostly one where something is. */
export function somePath(random: Random, method: string, digest: string): string {
  const usual = {
    PUT: ["/snapshots/5", "/snapshots/6/manifest"],
    POST: ["/snapshots/notification", "/snapshots?gap=9"],
  };
  if (Object.hasOwn(usual, method) && random.chance(0.7)) return random.pick(usual[method as keyof typeof usual]);
  const which = random.pick(["5", "5", "latest", digest, digest, "3", "6", "0", String(someNumber(random)), "x"]);
  const rest = random.pick(["", ...PARTS.map((part) => `/${part}`)]);
  const path = random.pick([
    ...["/snapshots", "/snapshots/notification", `/snapshots?gap=${someNumber(random)}`],
    ...Array<string>(9).fill(`/snapshots/${which}${rest}`),
  ]);
  return random.chance(0.2) ? `/${mutateText(path.slice(1), random, PATH_PIECES)}` : path;
}

/** Headers, mostly such as mean something; with nothing but ASCII. */
export function someHeaders(random: Random, tags: readonly string[], size: number): Headers {
  const headers = new Headers();
  for (let count = random.below(4); count > 0; count--) {
    const name = random.pick(NAMES);
    const tag = random.chance(0.2) ? mutateText(random.pick(tags), random) : random.pick(tags);
    const value = random.chance(0.2)
      ? random.pick(VALUES)
      : name === "Range"
      ? someRange(random, size)
      : name.startsWith("If-")
      ? random.pick([tag, `W/${tag}`, `"x", ${tag}`, tag])
      : random.pick(VALUES);
    if (/^[\x20-\x7e]*$/.test(value)) headers.append(name, value); // else no server would have passed it on
  }
  return headers;
}
