/**
 * Commands about a running server: `take`, `status`, `watch`.
 *
 * @module
 */

import { pause } from "../async/mod.ts";
import { hasCode, messageOf } from "../errors.ts";
import { remoteStatus, type ServerStatus, type SourceOptions, takeRemote } from "../transfer/mod.ts";
import { type Command, Exit, type Invocation, JSON_OPTION, parseNumber, UsageError } from "./command.ts";
import { shown } from "./io.ts";
import { serverOf } from "./place/mod.ts";
import { TOKEN_OPTIONS } from "./secrets.ts";
import { ageText, shareText, sizeText, table } from "./text.ts";

/** `take URL` */
export const take: Command = {
  usage: "URL",
  summary: "has a server take a snapshot now, and waits for it",
  help: "If too little has come since the last one, that one is named.",
  positionals: [1, 1],
  options: {
    gap: ["N", "entries from which one is taken; the server may want more, and does so unless given"],
    ...TOKEN_OPTIONS,
    ...JSON_OPTION,
  },
  async run(invocation) {
    const { options, io, json, signal } = invocation;
    const server = await addressed(invocation);
    const { gap: text } = options;
    const gap = text === undefined ? undefined : parseNumber(text, "gap", 0, 1e15 - 1);
    const { taken, snapshot } = await takeRemote(server, { signal, ...(gap !== undefined && { gap }) });
    io.print(
      json
        ? JSON.stringify({ taken, ...snapshot })
        : `snapshot ${snapshot.index}: ${sizeText(snapshot.size)}${taken ? "" : ", taken before"}`,
    );
    return Exit.DONE;
  },
};

/** `status URL` */
export const status: Command = {
  usage: "URL",
  summary: "shows what a server has and does",
  help: "Its snapshots, what it sends and receives, and the replica whose server it is.",
  positionals: [1, 1],
  options: { ...TOKEN_OPTIONS, ...JSON_OPTION },
  async run(invocation) {
    const { io, json, signal } = invocation;
    const found = await remoteStatus(await addressed(invocation), { signal });
    if (json) io.print(JSON.stringify(found));
    else for (const line of linesOf(found)) io.print(line);
    return Exit.DONE;
  },
};

/** `watch URL` */
export const watch: Command = {
  usage: "URL",
  summary: "shows what a server has and does, until Ctrl-C",
  help:
    "On a terminal it is drawn anew again and again. Elsewhere there is a line whenever something has changed; with\n" +
    "--json it is all that is known.",
  positionals: [1, 1],
  options: { interval: ["S", "seconds, from 1 to 3600; 2 unless given"], ...TOKEN_OPTIONS, ...JSON_OPTION },
  async run(invocation) {
    const { options, io, json, signal } = invocation;
    const server = await addressed(invocation);
    const interval = 1000 * parseNumber(options["interval"] ?? "2", "interval", 1, 3600);
    for (let isFirst = true; !signal.aborted; isFirst = false) {
      try {
        const found = await remoteStatus(server, { signal });
        if (json) io.print(JSON.stringify(found));
        else io.redraw(linesOf(found), lineOf(found));
      } catch (error) {
        if (signal.aborted) break;
        // A server that is away now may come back; one that refuses, or is none, will not.
        if (isFirst || !hasCode(error, "UNAVAILABLE", "TIMEOUT")) throw error;
        io.redraw([messageOf(error)], messageOf(error));
      }
      await pause(interval, signal).catch(() => {});
    }
    return Exit.DONE;
  },
};

async function addressed(invocation: Invocation): Promise<SourceOptions> {
  const server = await serverOf(invocation.positionals[0]!, invocation);
  if (server === undefined) throw new UsageError("A server has an address that begins with http: or https:");
  return server;
}

/** The main figures in a line. */
function lineOf({ snapshots, transfers, installing, target }: ServerStatus): string {
  const newest = snapshots[0];
  return [
    newest === undefined ? "no snapshot" : `snapshot ${newest.index}`,
    ...installing === undefined ? [] : [`receiving ${installing.index}`],
    ...transfers.length === 0 ? [] : [`${transfers.length} being sent`],
    ...typeof target?.["state"] === "string" ? [target["state"]] : [],
    ...typeof target?.["appliedIndex"] === "string" ? [`applied ${target["appliedIndex"]}`] : [],
  ].map(shown).join(", ");
}

function linesOf(status: ServerStatus): string[] {
  const { now, retain, snapshots, unreadable, quarantined, installing, unfinished, transfers, target = {} } = status;
  const lines = table(
    [">INDEX", ">TERM", ">SIZE", ">FILES", ">CHUNKS", ">AGE", "GROUP"],
    snapshots.map(({ index, term, size, files, chunks, createdAt, group }) => [
      index,
      term,
      sizeText(size),
      `${files}`,
      `${chunks ?? "-"}`,
      ageText(createdAt, now),
      group === undefined ? "-" : JSON.stringify(group),
    ]),
  );
  lines.push(`${snapshots.length} here, ${retain} kept`);
  for (const { index, code } of unreadable ?? []) lines.push(`snapshot ${index} cannot be read now (${code})`);
  for (const { index } of quarantined ?? []) lines.push(`snapshot ${index} is quarantined`);
  if (installing !== undefined) {
    const { index, held, size } = installing;
    lines.push(`receiving ${index}: ${sizeText(held)} of ${sizeText(size)} (${shareText(held, size)})`);
  }
  for (const { index, size } of unfinished ?? []) lines.push(`${index} was interrupted: ${sizeText(size)} in all`);
  for (const { path, sent, size, since } of transfers) {
    const seconds = Math.max((now - since) / 1000, 0.001);
    const whole = size === undefined ? "" : ` of ${sizeText(size)} (${shareText(sent, size)})`;
    lines.push(`sending ${path}: ${sizeText(sent)}${whole}, ${sizeText(Math.round(sent / seconds))}/s`);
  }
  for (const { name, index, silence } of status.log?.followers ?? []) {
    const behind = BigInt(status.log!.last) - BigInt(index);
    lines.push(`follower ${name}: has ${index}, ${behind} behind, heard of ${ageText(0, silence)}`);
  }
  for (const [name, value] of Object.entries(target)) {
    if (value !== null && typeof value !== "object") lines.push(`${name}: ${value}`);
  }
  return lines.map(shown);
}
