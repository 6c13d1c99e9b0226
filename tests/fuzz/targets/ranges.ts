// `Range` headers and lists of tags.

import { matchesTag, parseRanges, total } from "../../../src/transfer/server/ranges.ts";
import type { Random } from "../../support/random.ts";
import { mutateText, someNumber } from "../mutate.ts";
import { law, type Target } from "../target.ts";

const PIECES = [
  "-",
  ",",
  "=",
  "bytes",
  "0",
  "1",
  "9",
  "99",
  "18446744073709551616",
  " ",
  "\t",
  "*",
  "/",
  "--",
  "e1",
  "+",
];
const TAGS = ['"a"', 'W/"a"', "*", '"b"', '""', 'W/"b"', '"a', "a", ","];

/** A `Range` header that may ask for anything. */
export function someRange(random: Random, size: number): string {
  const number = () => random.chance(0.6) ? String(random.below(size + 2)) : String(someNumber(random, BigInt(size)));
  const count = random.pick([1, 1, 1, 2, 3, 63, 64, 65]);
  const items = Array.from({ length: count }, (_, i) => {
    if (count > 60) return `${i}-${i}`;
    const first = random.chance(0.2) ? "" : number();
    const last = random.chance(0.3) ? "" : random.chance(0.5) ? String(Number(first) + random.below(4)) : number();
    return `${first}-${last}`;
  });
  const header = `bytes=${items.join(random.pick([",", ", ", " , ", ",,"]))}`;
  return random.chance(0.3) ? mutateText(header, random, PIECES) : header;
}

/** What RFC 9110 says of one range, said again. */
function expectedOf(item: string, size: number): readonly [number, number] | "unsatisfiable" | undefined {
  const [first, last, more] = item.split("-");
  if (last === undefined || more !== undefined || !/^\d*$/.test(first!) || !/^\d*$/.test(last)) return undefined;
  if (first === "") {
    if (last === "") return undefined;
    const suffix = BigInt(last) > BigInt(size) ? size : Number(last);
    return suffix === 0 ? "unsatisfiable" : [size - suffix, size];
  }
  if (last !== "" && Number(last) < Number(first)) return undefined; // beyond 2^53 they may be the same
  if (BigInt(first!) >= BigInt(size)) return "unsatisfiable";
  return [Number(first), last === "" || BigInt(last) >= BigInt(size) ? size : Number(last) + 1];
}

export const ranges: Target = {
  name: "ranges",
  share: 260,
  codes: [],
  prepare: () => (random: Random) => {
    const size = random.pick([0, 1, 2, 10, 1000, 2 ** 32, Number.MAX_SAFE_INTEGER]);
    const header = someRange(random, size);
    const parsed = parseRanges(header, size);
    const say = `parseRanges(${JSON.stringify(header)}, ${size}) is ${JSON.stringify(parsed)}`;
    const list = /^bytes=(.*)$/i.exec(header)?.[1]?.split(",") ?? [];
    const items = list.map((item) => item.trim()).filter((item) => item !== "");
    const wanted = items.map((item) => expectedOf(item, size));
    if (list.length > 64 || items.length === 0 || wanted.includes(undefined)) return law(parsed === undefined, say);
    const good = wanted.filter((it) => typeof it === "object");
    if (good.length === 0) return law(parsed === "unsatisfiable", say);
    if (parsed === undefined) {
      return law(good.length > 1 && good.reduce((sum, [start, end]) => sum + end - start, 0) > size, say);
    }
    law(typeof parsed === "object", say);
    if (typeof parsed !== "object") return;
    let at = 0; // the one that has the last of the wanted; a further one begins outside of it
    good.forEach(([start, end], i) => {
      if (i > 0 && !(start >= parsed[at]!.start && start < parsed[at]!.end)) at++;
      law(at < parsed.length && start >= parsed[at]!.start && end <= parsed[at]!.end, say);
    });
    law(at === parsed.length - 1, say);
    for (const { start, end } of parsed) {
      law(good.some((it) => it[0] === start) && good.some((it) => it[1] === end), say); // nothing more than was wanted
    }
    law(good.length === 1 || total(parsed) <= size, say);
    const tags = Array.from({ length: random.below(4) }, () => random.pick(TAGS)).join(random.pick([",", ", "]));
    const seen = tags.split(",").map((tag) => tag.trim());
    law(matchesTag(tags, '"a"', false) === (seen.includes('"a"') || seen.includes("*")), `the strong tags ${tags}`);
    law(matchesTag(tags, '"a"') === seen.some((tag) => ['"a"', 'W/"a"', "*"].includes(tag)), `the tags ${tags}`);
  },
};
