/** @jsxImportSource preact */
/// <reference lib="dom" />
/**
 * The snapshots over time: their indices, and how much of each was new.
 *
 * @module
 */

import type { VNode } from "preact";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { colorOf } from "./chunk_map.tsx";
import { count, duration, size } from "./text.ts";

/** A snapshot in the plot. */
export interface Moment {
  /** When it was taken: milliseconds since 1970. */
  readonly at: number;
  readonly index: number;
  /** Bytes in all, and those that the one before it had too. */
  readonly bytes: number;
  readonly reused: number;
  /** How long its save took, in milliseconds; absent if nobody here knows. */
  readonly took?: number | undefined;
}

/** The plot. */
export function Timeline({ moments }: { readonly moments: readonly Moment[] }): VNode {
  const place = useRef<HTMLDivElement>(null);
  const key = moments.map(({ at, reused, took }) => `${at}/${reused}/${took}`).join();
  useEffect(() => {
    const element = place.current;
    if (element === null || moments.length === 0) return;
    let plot: uPlot | undefined;
    const draw = () => {
      plot?.destroy();
      plot = new uPlot(optionsOf(element), dataOf(moments), element);
    };
    draw();
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", draw);
    addEventListener("resize", draw);
    return () => {
      plot?.destroy();
      dark.removeEventListener("change", draw);
      removeEventListener("resize", draw);
    };
  }, [key]);
  const newest = moments.at(-1);
  const label = newest === undefined
    ? "No snapshots over time"
    : `${moments.length} snapshots over time; the newest has index ${newest.index}, ` +
      `${size(newest.bytes)}, of which ${size(newest.reused)} were in the one before` +
      (newest.took === undefined ? "" : `; saving it took ${duration(newest.took)}`);
  return <div ref={place} class="plot" role="img" aria-label={label} />;
}

/** Steps between the ticks of bytes: 1, 2, 4 … 512 of each unit. */
const BYTE_STEPS: number[] = Array.from({ length: 50 }, (_, i) => 2 ** i);

/** Steps between the ticks of times, in seconds: of less than one, several ticks would be shown as the same. */
const TIME_STEPS: number[] = [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21_600, 43_200]
  .concat([1, 2, 7, 14, 30, 90, 365, 730].map((days) => days * 86_400));

/** A range with some room at both ends. */
function padded(min: number, max: number, least: number): [number, number] {
  const room = Math.max((max - min) / 10, least);
  return [min - room, max + room];
}

/** The times of the ticks as the reader's language writes them; the first also has the day. */
function times(_: uPlot, ticks: number[], __: number, ___: number, step: number): string[] {
  const time = new Intl.DateTimeFormat(undefined, {
    ...(step >= 86_400 ? { month: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit" }),
    ...(step < 60 && { second: "2-digit" }),
    hourCycle: "h23",
  });
  const day = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });
  return ticks.map((at, i) => {
    const date = new Date(at * 1000);
    return i === 0 && step < 86_400 ? `${time.format(date)}\n${day.format(date)}` : time.format(date);
  });
}

function dataOf(moments: readonly Moment[]): uPlot.AlignedData {
  return [
    moments.map(({ at }) => at / 1000),
    moments.map(({ bytes }) => bytes),
    moments.map(({ reused }) => reused),
    moments.map(({ index }) => index),
    moments.map(({ took }) => took ?? null),
  ];
}

function optionsOf(element: HTMLElement): uPlot.Options {
  const [text, line, own, shared, curve, took] = ["--soft", "--line", "--own", "--shared", "--index", "--took"]
    .map((name) => colorOf(name, element)) as [string, string, string, string, string, string];
  const axis = { stroke: text, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  const bars = uPlot.paths.bars!({ size: [0.6, 40] });
  const isNarrow = element.clientWidth < 500;
  return {
    width: element.clientWidth,
    height: 240,
    cursor: { drag: { x: false, y: false } },
    scales: {
      x: { time: true, range: ({ data: [times] }) => padded(times[0]!, times.at(-1)!, times.length > 1 ? 1 : 60) },
      bytes: { range: (_, __, max) => [0, Math.max(max * 1.1, 1)] },
      index: { range: (_, min, max) => padded(min, max, min === max ? 1 : 0) },
      took: { range: (_, __, max) => [0, Math.max((max ?? 0) * 2, 1)] }, // below the indices, mostly
    },
    axes: [
      { ...axis, space: isNarrow ? 90 : 70, incrs: TIME_STEPS, values: times },
      { ...axis, scale: "bytes", size: 76, incrs: BYTE_STEPS, values: (_, ticks) => ticks.map(size) },
      {
        ...axis,
        scale: "index",
        side: 1,
        size: 64,
        grid: { show: false },
        values: (_, ticks) => ticks.map((it) => Number.isInteger(it) ? count(it) : ""),
      },
    ],
    series: [
      { label: "Time", value: (_, at) => at === null ? "–" : new Date(at * 1000).toLocaleString() },
      {
        label: "Size",
        scale: "bytes",
        fill: own,
        stroke: own,
        width: 0,
        paths: bars,
        points: { show: false },
        value: (_, v) => v === null ? "–" : size(v),
      },
      {
        label: "Reused",
        scale: "bytes",
        fill: shared,
        stroke: shared,
        width: 0,
        paths: bars,
        points: { show: false },
        value: (_, v) => v === null ? "–" : size(v),
      },
      {
        label: "Index",
        scale: "index",
        stroke: curve,
        width: 2,
        points: { show: true, size: 7, fill: curve },
        value: (_, v) => v === null ? "–" : count(v),
      },
      {
        label: "Saving took",
        scale: "took",
        stroke: took,
        width: 1,
        dash: [4, 4],
        points: { show: true, size: 7, fill: took },
        value: (_, v) => v === null ? "–" : duration(v),
      },
    ],
  };
}
