// What the functions of @std/path take: a string, or the URL of a file.

/** The path that a URL of a file has; anything but a string is refused, in the words of the real ones. */
export function pathOf(path: string | URL): string {
  if (!(path instanceof URL)) return checked(path);
  if (path.protocol !== "file:") throw new TypeError(`URL must be a file URL: received "${path.protocol}"`);
  // A `%` that begins no byte stands for itself.
  return decodeURIComponent(path.pathname.replaceAll(/%(?![0-9A-Fa-f]{2})/g, "%25"));
}

/** A string, or an error in the words of the real ones. */
export function checked(path: string): string {
  if (typeof path === "string") return path;
  throw new TypeError(`Path must be a string, received "${JSON.stringify(path)}"`);
}
