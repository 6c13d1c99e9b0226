// Keeps the page and its script, so that they load when there is no network. The data is in OPFS: not its affair.

/// <reference lib="webworker" />

const scope = globalThis as unknown as ServiceWorkerGlobalScope;
const FILES = ["./", "page"];

scope.addEventListener("install", (event) => event.waitUntil(keep()));
scope.addEventListener("activate", (event) => event.waitUntil(scope.clients.claim()));
scope.addEventListener("fetch", (event) => {
  const { origin, pathname } = new URL(event.request.url);
  const isOurs = FILES.some((file) => new URL(file, scope.registration.scope).pathname === pathname);
  if (origin === scope.origin && isOurs) event.respondWith(load(event.request));
});

async function keep(): Promise<void> {
  const cache = await caches.open("page");
  await cache.addAll(FILES.map((file) => new Request(new URL(file, scope.registration.scope), { cache: "reload" })));
  await scope.skipWaiting();
}

/** From the network, or, if there is none, as it was kept. */
async function load(request: Request): Promise<Response> {
  try {
    return await fetch(request);
  } catch (error) {
    const kept = await caches.match(request, { ignoreSearch: true });
    if (kept !== undefined) return kept;
    throw error;
  }
}
