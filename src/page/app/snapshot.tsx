/** @jsxImportSource preact */
/// <reference lib="dom" />
/**
 * One snapshot: its chunks, its files, and verifying it here.
 *
 * @module
 */

import type { VNode } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { SnapshotManifest } from "../../snapshot/mod.ts";
import { toHex } from "../../stream/mod.ts";
import { digestsOf, fileUrl, heldOf, manifestOf, verify } from "./api.ts";
import { ChunkMap, type ChunkState } from "./chunk_map.tsx";
import { count, duration, size, visible } from "./text.ts";

/** The snapshot that is shown. */
export interface Shown {
  readonly index: string;
  readonly digest: string;
  /** The digest of the one before it, if there is one. */
  readonly before: string | undefined;
  /** Changes whenever more of it may be here; absent if all is. */
  readonly receiving?: number;
}

/** Loads something for as long as it is shown. */
export function useLoaded<T>(load: () => Promise<T>, keys: readonly unknown[]): { value?: T; error?: string } {
  const [state, set] = useState<{ value?: T; error?: string }>({});
  useEffect(() => {
    let isCurrent = true;
    load().then(
      (value) => isCurrent && set({ value }),
      (error) => isCurrent && set({ error: error instanceof Error ? error.message : String(error) }),
    );
    return () => void (isCurrent = false);
  }, keys);
  return state;
}

/** Its section, anew for each snapshot: what was loaded of another is not of this one. */
export function Snapshot({ shown }: { readonly shown: Shown }): VNode {
  const { index, digest, before, receiving } = shown;
  const manifest = useLoaded(() => manifestOf(digest), [digest]);
  const old = useLoaded(async () => before === undefined ? undefined : await manifestOf(before), [before]);
  const held = useLoaded(
    async () => receiving === undefined ? undefined : await heldOf(digest),
    [digest, receiving],
  );
  return (
    <section aria-labelledby="snapshot">
      <h2 id="snapshot">Snapshot {index}{receiving === undefined ? "" : ", being received"}</h2>
      <p class="digest soft">{digest}</p>
      {manifest.error !== undefined && <p class="bad" role="alert">{manifest.error}</p>}
      {manifest.value !== undefined && (
        <Content
          manifest={manifest.value}
          before={old.value}
          held={held.value}
          isWhole={receiving === undefined}
        />
      )}
    </section>
  );
}

interface Check {
  readonly state: "running" | "done" | "stopped" | "failed";
  readonly bytes: number;
  readonly bad: number;
  readonly took: number;
  readonly message?: string;
}

function Content({ manifest, before, held, isWhole }: {
  readonly manifest: SnapshotManifest;
  readonly before: SnapshotManifest | undefined;
  readonly held: ((chunk: number) => boolean) | undefined;
  readonly isWhole: boolean;
}): VNode {
  const digest = toHex(manifest.digest);
  const [check, setCheck] = useState<Check>();
  const found = useRef(new Map<number, boolean>());
  const stop = useRef<AbortController>(undefined);
  useEffect(() => () => stop.current?.abort(), []);
  const base = useMemo(() => {
    const known = new Set(before === undefined ? [] : digestsOf(before));
    return digestsOf(manifest).map((one): ChunkState => known.has(one) ? "shared" : "own");
  }, [manifest, before]);
  const states = base.map((state, chunk): ChunkState => {
    const isGood = found.current.get(chunk);
    if (isGood !== undefined) return isGood ? "checked" : "damaged";
    return isWhole || held?.(chunk) === true ? state : "missing";
  });
  const begin = async () => {
    const controller = stop.current = new AbortController();
    found.current = new Map();
    const began = performance.now();
    let [bytes, bad, last] = [0, 0, 0];
    const say = (state: Check["state"], message?: string) =>
      setCheck({ state, bytes, bad, took: performance.now() - began, ...(message !== undefined && { message }) });
    say("running");
    try {
      await verify(manifest, (chunk, isGood, length) => {
        found.current.set(chunk, isGood);
        bytes += length;
        if (!isGood) bad++;
        if (performance.now() - last < 100) return;
        last = performance.now();
        say("running");
      }, controller.signal);
      say("done");
    } catch (error) {
      say(controller.signal.aborted ? "stopped" : "failed", error instanceof Error ? error.message : String(error));
    }
  };
  const isRunning = check?.state === "running";
  return (
    <div>
      <div class="row">
        {isWhole && (
          <button type="button" onClick={() => isRunning ? stop.current?.abort() : void begin()}>
            {isRunning ? "Stop" : "Verify in this browser"}
          </button>
        )}
        {isWhole && (
          <a href={`snapshots/${digest}/archive`} download={`snapshot-${manifest.index}.snap`}>
            Download as an archive
          </a>
        )}
      </div>
      {check !== undefined && <Verdict check={check} total={manifest.content.size} />}
      <h3>Chunks</h3>
      <ChunkMap states={states} />
      <h3>Files</h3>
      <div class="scroll" tabIndex={0} role="region" aria-label="Files">
        <table>
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col" class="number">Size</th>
              <th scope="col" class="number wide">Chunks</th>
            </tr>
          </thead>
          <tbody>
            {manifest.files.map(({ name, chunks }) => (
              <tr key={name}>
                <th scope="row" class="name">
                  {isWhole
                    ? <a href={fileUrl(digest, name)} download={name.split("/").at(-1)}>{visible(name)}</a>
                    : visible(name)}
                </th>
                <td class="number">{chunks === undefined ? "–" : size(chunks.size)}</td>
                <td class="number wide">{chunks === undefined ? "–" : count(chunks.count)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

function Verdict({ check, total }: { readonly check: Check; readonly total: number }): VNode {
  const { state, bytes, bad, took, message } = check;
  const rate = took > 0 ? `${size(Math.round(bytes / took * 1000))}/s` : "";
  return (
    <div>
      <progress max={Math.max(total, 1)} value={total === 0 ? 1 : bytes} aria-label="Verified" />
      <p role="status">
        {state === "running" && <span>{size(bytes)} of {size(total)} verified, {rate}</span>}
        {state === "done" && bad === 0 && (
          <span class="good">Good: all {size(bytes)} have their SHA-256, in {duration(took)}</span>
        )}
        {state === "done" && bad > 0 && <span class="bad">{count(bad)} chunks are damaged, or cannot be read</span>}
        {state === "stopped" && <span>Stopped after {size(bytes)}</span>}
        {state === "failed" && <span class="bad">{message}</span>}
      </p>
    </div>
  );
}
