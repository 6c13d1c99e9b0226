/**
 * Secrets: of servers, and of object stores. Arguments are seen by whoever can list processes, so there are other ways.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import process from "node:process";
import { messageOf } from "../errors.ts";
import type { S3BucketOptions } from "../bucket/s3/mod.ts";
import { type CommandOptions, UsageError } from "./command.ts";

/** The options of every command that talks to a server. */
export const TOKEN_OPTIONS: CommandOptions = {
  token: ["T", "the token of a server, which other users of the machine see: rather $SNAPSTREAM_TOKEN"],
  "token-file": ["FILE", "a file that has it in a line; or $SNAPSTREAM_TOKEN_FILE"],
};

/** What the environment says; nothing if it may not be looked at, as in Deno without `--allow-env`. */
function environment(name: string): string | undefined {
  try {
    return process.env[name];
  } catch {
    return undefined;
  }
}

/** The token for servers, if there is one. */
export async function tokenOf(options: Readonly<Record<string, string | undefined>>): Promise<string | undefined> {
  if (options["token"] !== undefined) return oneLine(options["token"], "--token");
  if (options["token-file"] !== undefined) return await readToken(options["token-file"], "--token-file");
  const token = environment("SNAPSTREAM_TOKEN");
  if (token) return oneLine(token, "$SNAPSTREAM_TOKEN");
  const file = environment("SNAPSTREAM_TOKEN_FILE");
  return file ? await readToken(file, "$SNAPSTREAM_TOKEN_FILE") : undefined;
}

async function readToken(file: string, what: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    throw new UsageError(`${what} cannot be read: ${messageOf(error)}`);
  }
  return oneLine(text.replace(/\r?\n$/, ""), what);
}

/** Its message does not show it. */
function oneLine(token: string, what: string): string {
  if (/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(token)) return token;
  throw new UsageError(`${what} has no token: one line of ASCII, without spaces around it`);
}

/**
 * The address and the credentials of a bucket: what its URL does not say comes from the environment, by the names that
 * Amazon's own tools read.
 *
 * @param url `s3://bucket/prefix?endpoint=…&region=…&style=…` or `r2://bucket/prefix?account=…`
 */
export function s3Options(url: URL): S3BucketOptions {
  const say = (name: string) => url.searchParams.get(name) || undefined;
  const known = ["endpoint", "region", "style", "checksums", "account"];
  for (const name of url.searchParams.keys()) {
    if (!known.includes(name)) throw new UsageError(`${name} is no parameter of a bucket: ${known.join(", ")} are`);
  }
  const accessKeyId = environment("AWS_ACCESS_KEY_ID");
  const secretAccessKey = environment("AWS_SECRET_ACCESS_KEY");
  if (!accessKeyId || !secretAccessKey) {
    throw new UsageError("A bucket wants $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY");
  }
  const isR2 = url.protocol === "r2:";
  const region = say("region") ??
    (isR2 ? "auto" : environment("AWS_REGION") || environment("AWS_DEFAULT_REGION") || "us-east-1");
  const style = say("style") ?? "path";
  if (style !== "path" && style !== "virtual-host") throw new UsageError("style is path or virtual-host");
  const sessionToken = environment("AWS_SESSION_TOKEN");
  return {
    endpoint: say("endpoint") ??
      (isR2 ? r2Endpoint(say("account") ?? environment("CLOUDFLARE_ACCOUNT_ID")) : awsEndpoint(region)),
    bucket: url.hostname,
    region,
    style,
    checksums: say("checksums") !== "false",
    credentials: { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) },
  };
}

function awsEndpoint(region: string): string {
  return environment("AWS_ENDPOINT_URL_S3") || environment("AWS_ENDPOINT_URL") || `https://s3.${region}.amazonaws.com`;
}

function r2Endpoint(account: string | undefined): string {
  if (account !== undefined && /^[0-9a-z-]+$/i.test(account)) return `https://${account}.r2.cloudflarestorage.com`;
  throw new UsageError("r2:// wants ?account=…, $CLOUDFLARE_ACCOUNT_ID or ?endpoint=…");
}
