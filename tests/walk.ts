/** All files below a directory, in order. */
export async function walk(directory: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(directory)) {
    const path = `${directory}/${name}`;
    if (isDirectory) found.push(...await walk(path));
    else found.push(path);
  }
  return found.sort();
}
