/**
 * `completions`: scripts by which shells complete command lines.
 *
 * @module
 */

import { type Command, Exit, FLAG, UsageError } from "./command.ts";

/** The shells. */
const SHELLS = ["bash", "zsh", "fish"] as const;

/**
 * Makes the command.
 *
 * @param commands gives all commands, this one included
 */
export function completionsOf(commands: () => Readonly<Record<string, Command>>): Command {
  return {
    usage: "bash|zsh|fish",
    summary: "prints a script that completes command lines",
    help: 'bash: eval "$(snapstream completions bash)" in ~/.bashrc\n' +
      'zsh:  eval "$(snapstream completions zsh)" in ~/.zshrc, after compinit\n' +
      "fish: snapstream completions fish | source, in ~/.config/fish/config.fish",
    positionals: [1, 1],
    options: {},
    run({ positionals, io }) {
      const shell = SHELLS.find((one) => one === positionals[0]);
      if (shell === undefined) throw new UsageError(`There are completions for ${SHELLS.join(", ")}`);
      const write = { bash, zsh, fish }[shell];
      for (const line of write(commands())) io.print(line);
      return Promise.resolve(Exit.DONE);
    },
  };
}

type Commands = Readonly<Record<string, Command>>;

function optionsOf({ options }: Command): string[] {
  return [...Object.keys(options), "help"].map((name) => `--${name}`);
}

/** In single quotes, for any of the three shells. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "")}'`;
}

function bash(commands: Commands): string[] {
  return [
    "_snapstream() {",
    '  local word="${COMP_WORDS[COMP_CWORD]}" options=""',
    "  COMPREPLY=()",
    '  if [ "$COMP_CWORD" -eq 1 ]; then',
    `    COMPREPLY=($(compgen -W "${Object.keys(commands).join(" ")} --help --version" -- "$word"))`,
    "    return",
    "  fi",
    '  case "${COMP_WORDS[1]}" in',
    ...Object.entries(commands).map(([name, command]) => `    ${name}) options="${optionsOf(command).join(" ")}" ;;`),
    "  esac",
    '  case "$word" in',
    '    -*) COMPREPLY=($(compgen -W "$options" -- "$word")) ;;',
    "  esac",
    "}",
    "complete -o default -o bashdefault -F _snapstream snapstream",
  ];
}

function zsh(commands: Commands): string[] {
  return [
    "#compdef snapstream",
    "_snapstream() {",
    "  local -a commands options",
    "  commands=(",
    ...Object.entries(commands).map(([name, { summary }]) => `    ${quoted(`${name}:${summary.replaceAll(":", "")}`)}`),
    "  )",
    "  if (( CURRENT == 2 )); then",
    "    _describe command commands",
    "    return",
    "  fi",
    '  case "$words[2]" in',
    ...Object.entries(commands).map(([name, command]) => `    ${name}) options=(${optionsOf(command).join(" ")}) ;;`),
    "  esac",
    '  if [[ "$PREFIX" == -* ]]; then compadd -- $options; else _files; fi',
    "}",
    "compdef _snapstream snapstream",
  ];
}

function fish(commands: Commands): string[] {
  return Object.entries(commands).flatMap(([name, command]) => [
    `complete -c snapstream -n __fish_use_subcommand -f -a ${name} -d ${quoted(command.summary)}`,
    ...Object.entries(command.options).map(([option, [value, help]]) => {
      const needsValue = value === FLAG ? "" : " -r";
      const on = `-n '__fish_seen_subcommand_from ${name}'`;
      return `complete -c snapstream ${on} -l ${option}${needsValue} -d ${quoted(help)}`;
    }),
    `complete -c snapstream -n '__fish_seen_subcommand_from ${name}' -l help`,
  ]);
}
