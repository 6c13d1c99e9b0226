// A page that works from a snapshot: pulled with a progress bar when there is a network, kept in OPFS, and loaded from
// there when there is none.

/// <reference lib="dom" />
import { jsonCodec, KeyValueMachine, pull, SnapshotError } from "../../../mod.ts";
import { OpfsStorage } from "../../../src/storage/opfs/storage.ts";
import type { City } from "../cities.ts";

const element = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const progress = element<HTMLProgressElement>("progress");
const status = element("status");
const search = element<HTMLInputElement>("search");

let cities: KeyValueMachine<City> | undefined;
let index: bigint | undefined;

/** Loads the newest snapshot that is here. Returns whether there is one. */
async function restore(storage: OpfsStorage): Promise<boolean> {
  try {
    await using reader = await storage.open();
    const loaded = new KeyValueMachine(jsonCodec<City>());
    await loaded.load(reader);
    [cities, index] = [loaded, reader.meta.lastIncludedIndex];
  } catch (error) {
    if (error instanceof SnapshotError && error.code === "NOT_FOUND") return false;
    throw error;
  }
  search.disabled = false;
  return true;
}

/** Gets what is new. Returns what to tell. */
async function refresh(storage: OpfsStorage): Promise<string> {
  const pulling = pull(storage, [location.origin], { retryFor: 100 });
  try {
    for await (const { phase, bytes, total } of pulling) {
      progress.max = total ?? 1;
      progress.value = bytes;
      status.textContent = `${phase}: ${bytes.toLocaleString("en")} of ${total?.toLocaleString("en")} bytes`;
    }
    const { upToDate, fetched, reused } = await pulling;
    if (upToDate) return "up to date";
    await restore(storage);
    return `fetched ${fetched.toLocaleString("en")} bytes, ${reused.toLocaleString("en")} were here`;
  } catch (error) {
    if (!(error instanceof SnapshotError)) throw error;
    if (error.code === "UNAVAILABLE") return "offline";
    throw error;
  } finally {
    progress.value = progress.max;
  }
}

function show(): void {
  const wanted = search.value.toLowerCase();
  const found = wanted === ""
    ? []
    : [...cities!.entries()].map(([, city]) => city).filter(({ name }) => name.toLowerCase().startsWith(wanted))
      .sort((a, b) => b.population - a.population).slice(0, 10);
  element("found").replaceChildren(...found.map(({ name, country, population }) => {
    const item = document.createElement("li");
    item.append(`${name}, ${country}`, document.createElement("span"));
    item.lastElementChild!.textContent = population.toLocaleString("en");
    return item;
  }));
}

async function start(): Promise<string> {
  await navigator.serviceWorker.register("service_worker", { type: "module" }); // has the page itself when offline
  const storage = await OpfsStorage.open("cities");
  await restore(storage);
  const news = await refresh(storage);
  return cities === undefined ? news : `${cities.size.toLocaleString("en")} cities, snapshot ${index}: ${news}`;
}

search.addEventListener("input", show);
status.textContent = await start().catch((error) => `Failed: ${error.message}`);
status.dataset.ready = "";
