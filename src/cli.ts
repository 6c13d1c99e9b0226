/**
 * The command line: looks at snapshots (`ls`, `inspect`, `verify`, `cat`, `extract`, `diff`), moves them (`copy`,
 * `pull`, `push`, `archive`, `unarchive`, `convert`), keeps them (`restore`, `prune`) and logs (`log`, `follow`,
 * `backup`), serves them (`serve`), and speaks to servers (`take`, `status`, `watch`). `snapstream --help` names all;
 * `completions` is for the shell.
 *
 * Snapshots are in a directory, an archive, what another system wrote, on a server (`https://…`), or in a bucket:
 * `s3://bucket/prefix?endpoint=…`, `r2://bucket/prefix?account=…`, `nats://server/bucket/prefix`. `PLACE#INDEX` is one
 * of them. Credentials come from the environment, as AWS's tools have them; the token of a server from
 * `SNAPSTREAM_TOKEN`, a file, or an option.
 *
 * Exit codes: 0 done, 1 failed, 2 wrong use, 3 damaged; of the program also 130 (143) if SIGINT (SIGTERM) ended it
 * before it was done. Whoever asks for what is there already has it: 0. With `--json` a failure is JSON, too: an object
 * with an `error`, which has a `code` and a `message`.
 *
 * @example Running a command from a program
 * ```ts
 * import { runCli } from "@snapstream/snapstream/cli";
 *
 * const code = await runCli(["--help"]);
 * console.assert(code === 0);
 * ```
 *
 * @module
 */

export * from "./cli/mod.ts";
