// An S3 on loopback: moto's server, which looks at the signatures, and at what the key's owner may do.

import { AwsClient } from "aws4fetch";
import { readXml } from "../../src/bucket/s3/xml.ts";
import type { S3Server } from "./s3_where.ts";

/** The directory of its Python. */
export const VENV: string = new URL("../../.runtimes/s3", import.meta.url).pathname;

const POLICY = { Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: "s3:*", Resource: "*" }] };

/** Starts it, on a port that is free. */
export async function startServer(): Promise<S3Server> {
  const child = new Deno.Command(`${VENV}/bin/python`, {
    args: [new URL("s3_server.py", import.meta.url).pathname],
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const stop = async () => {
    child.kill("SIGKILL"); // it keeps nothing
    await child.status;
    await reader.cancel();
  };
  const reader = child.stdout.getReader();
  try {
    const { value } = await reader.read(); // one line, and nothing after it
    if (value === undefined) {
      throw new Error(`The S3 server does not start: try ${VENV}/bin/python tests/support/s3_server.py`);
    }
    return { ...await makeUser(new TextDecoder().decode(value).trim()), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Makes a user who may use S3; from then on nobody else may. */
async function makeUser(endpoint: string): Promise<Omit<S3Server, "stop">> {
  const iam = new AwsClient({ accessKeyId: "anybody", secretAccessKey: "yet", service: "iam", region: "us-east-1" });
  const ask = async (parameters: Record<string, string>) => {
    const body = new URLSearchParams({ Version: "2010-05-08", UserName: "tester", ...parameters }).toString();
    const headers = { "Content-Type": "application/x-www-form-urlencoded" };
    const answer = await iam.fetch(endpoint, { method: "POST", headers, body });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`moto cannot make a user: ${text}`);
    return text;
  };
  await ask({ Action: "CreateUser" });
  await ask({ Action: "PutUserPolicy", PolicyName: "s3", PolicyDocument: JSON.stringify(POLICY) });
  const key = readXml(await ask({ Action: "CreateAccessKey" }))!.all("CreateAccessKeyResult")[0]!.all("AccessKey")[0]!;
  const answer = await fetch(`${endpoint}/moto-api/reset-auth`, { method: "POST", body: "0" });
  await answer.body?.cancel();
  return { endpoint, accessKeyId: key.value("AccessKeyId")!, secretAccessKey: key.value("SecretAccessKey")! };
}
