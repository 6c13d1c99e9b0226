/** @jsxImportSource preact */
/// <reference lib="dom" />
/**
 * All chunks of a snapshot at a glance.
 *
 * @module
 */

import type { VNode } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { count } from "./text.ts";

/** What a chunk is: the worst of those that share a cell is shown. */
export type ChunkState = "shared" | "own" | "checked" | "missing" | "damaged";

const ORDER: readonly ChunkState[] = ["shared", "checked", "own", "missing", "damaged"];
const COLORS: Readonly<Record<ChunkState, string>> = {
  shared: "--shared",
  own: "--own",
  checked: "--good",
  damaged: "--bad",
  missing: "--missing",
};
const WORDS: Readonly<Record<ChunkState, string>> = {
  shared: "also in the one before",
  own: "new",
  checked: "verified here",
  damaged: "damaged",
  missing: "missing",
};
/** More cells than that are too small to be seen. */
const MAX_CELLS = 4096;

/** The map, and how many chunks are what. */
export function ChunkMap({ states }: { readonly states: readonly ChunkState[] }): VNode {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const draw = () => void (canvas.current !== null && paint(canvas.current, states));
    draw();
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", draw);
    addEventListener("resize", draw);
    return () => {
      dark.removeEventListener("change", draw);
      removeEventListener("resize", draw);
    };
  }, [states]);
  const shown = ORDER.map((state) => [state, states.filter((one) => one === state).length] as const)
    .filter(([, many]) => many > 0);
  const summary = shown.map(([state, many]) => `${count(many)} ${WORDS[state]}`).join(", ");
  return (
    <div>
      <canvas ref={canvas} class="map" role="img" aria-label={`Chunks: ${summary || "none"}`} />
      <ul class="legend">
        {shown.map(([state, many]) => <li key={state} class={state}>{count(many)} {WORDS[state]}</li>)}
      </ul>
    </div>
  );
}

function paint(canvas: HTMLCanvasElement, states: readonly ChunkState[]): void {
  const width = canvas.clientWidth;
  if (width === 0) return;
  const cells = Math.min(Math.max(states.length, 1), MAX_CELLS);
  const perCell = states.length / cells;
  const side = Math.max(4, Math.min(16, Math.floor(Math.sqrt(width * 160 / cells))));
  const columns = Math.max(Math.floor(width / side), 1);
  const rows = Math.ceil(cells / columns);
  const scale = globalThis.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(rows * side * scale);
  canvas.style.height = `${rows * side}px`;
  const context = canvas.getContext("2d");
  if (context === null) return;
  context.scale(scale, scale);
  const colors = new Map(ORDER.map((state) => [state, colorOf(COLORS[state], canvas)]));
  for (let cell = 0; cell < cells && states.length > 0; cell++) {
    const part = states.slice(Math.floor(cell * perCell), Math.max(Math.ceil((cell + 1) * perCell), 1));
    const worst = part.reduce((a, b) => ORDER.indexOf(b) > ORDER.indexOf(a) ? b : a, "shared" as ChunkState);
    context.fillStyle = colors.get(worst)!;
    context.fillRect(cell % columns * side, Math.floor(cell / columns) * side, side - 1, side - 1);
  }
}

/** A canvas does not know `light-dark()`: the colour is that of an element which has it. */
export function colorOf(name: string, near: Element): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  near.parentElement!.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
