// Packages from PyPI, each set in a Python environment of its own below `.runtimes`.

import { existsSync } from "node:fs";

async function command(program: string, ...args: string[]): Promise<boolean> {
  try {
    return (await new Deno.Command(program, { args, stdout: "null", stderr: "inherit" }).output()).success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Makes an environment with these packages, and nothing that they ask for beside them. */
export async function installPython(venv: string, packages: readonly string[]): Promise<void> {
  await Deno.remove(venv, { recursive: true }).catch(() => {});
  const make = () => command("python3", "-m", "venv", venv);
  if (!await make()) {
    await command("apt-get", "update", "-qq");
    await command("apt-get", "install", "-y", "-qq", "--no-install-recommends", "python3", "python3-venv");
    if (!await make()) throw new Error("There is no python3 with venv, and apt-get could not install it");
  }
  const pip = ["install", "--quiet", "--no-deps", "--disable-pip-version-check", ...packages];
  if (!await command(`${venv}/bin/pip`, ...pip)) throw new Error(`pip could not install ${packages.join(", ")}`);
  await Deno.writeTextFile(`${venv}/whole`, packages.join("\n"));
}

/** Whether it has these packages, in these versions: a file that is written last says so. */
export function pythonInstalled(venv: string, packages: readonly string[]): boolean {
  const whole = `${venv}/whole`;
  return existsSync(whole) && Deno.readTextFileSync(whole) === packages.join("\n");
}
