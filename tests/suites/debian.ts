// Programs out of Debian's packages, unpacked below `.runtimes`: nothing of the system is changed, and no root is needed.

async function sh(directory: string, program: string, ...args: string[]): Promise<void> {
  const command = new Deno.Command(program, { args, cwd: directory, stdout: "null", stderr: "piped" });
  const { success, stderr } = await command.output();
  if (!success) throw new Error(`${program} ${args.join(" ")} failed:\n${new TextDecoder().decode(stderr)}`);
}

/** Downloads packages, and unpacks them into a directory. */
export async function unpackDebian(directory: string, packages: readonly string[]): Promise<void> {
  await Deno.mkdir(directory, { recursive: true });
  const download = () => sh(directory, "apt-get", "download", ...packages);
  await download().catch(async () => {
    await sh(directory, "apt-get", "update"); // a new machine has no lists, or old ones
    await download();
  });
  for await (const { name } of Deno.readDir(directory)) {
    if (name.endsWith(".deb")) await sh(directory, "dpkg-deb", "--extract", name, ".");
  }
}
