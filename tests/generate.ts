// Generates tests/gen of the .proto files of src, with buf and protoc-gen-es: what the messages of src are held against.

const ROOT = new URL("..", import.meta.url).pathname;
const PACKAGES = ["@bufbuild/buf@1.75.0", "@bufbuild/protoc-gen-es@2.17.0"];

for (const folder of ["snapshot", "state/format", "storage/object"]) {
  const template = JSON.stringify({
    version: "v2",
    plugins: [{
      local: "protoc-gen-es",
      out: `${ROOT}tests/gen`,
      opt: ["target=ts", "import_extension=ts", "erasable_syntax=true"],
    }],
  });
  const { success } = await new Deno.Command("npx", {
    args: [
      "-y",
      ...PACKAGES.flatMap((name) => ["-p", name]),
      "buf",
      "generate",
      `${ROOT}src/${folder}`,
      "--template",
      template,
    ],
    stdout: "inherit",
    stderr: "inherit",
  }).output();
  if (!success) Deno.exit(1);
}
