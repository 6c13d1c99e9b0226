// The words and the comments of the house (`src/README.md`, "Glossary"), held against a text of `src`.

/** Words that the house does not use, each in the form that is wrong, and the word to say instead. */
const WORDS: readonly (readonly [wrong: RegExp, say: string])[] = [
  [/\b(?:go|goes|going|went|gone) on with\b/i, "resume"],
  [/\bg(?:ive|ives|ave|iving|iven) up\b|giveUp/i, "cancel, abort"],
  [/\b(?:a|the|each|every|next|last) try again\b/i, "retry, attempt"],
  [/\b(?:put|puts|putting|kept) (?:aside|away)\b|putAway|putAside/i, "quarantine, reserve"],
  [/\b(?:an?|the|its) ending\b|\bending[A-Z(]|[a-z]Ending\b/, "trailer"],
  [/\bend records?\b/, "trailer record"],
  [/\bpassing (?:error|failure|fault)s?\b/i, "transient"],
  [/doubtful/i, "suspect"],
  [/\bReception\b/, "upload"],
  [/\bGate\b|#gate\b/, "semaphore"],
  [/SteadyBucket/i, "retrying bucket"],
  [/\bgathered\b *[:=]|\bGathered\b/, "byte buffer"],
  [/\b(?:const|let|readonly) #?link\b|\bclass Link\b/, "connection"],
];

/** A comment that begins so has no subject. */
const RELATIVE = /^(?:What|Whether|Who|How|Which|Whose|Whom)\b/;
const WIDTH = 120;

/** The comments of a text: where each begins, and its lines. */
interface Comment {
  readonly line: number;
  readonly text: string;
}

/** Returns the comments of a text; lines of `//` that follow each other are one. */
export function commentsOf(text: string): Comment[] {
  const found: Comment[] = [];
  let open: { line: number; lines: string[]; isBlock: boolean } | undefined;
  const close = () => {
    if (open !== undefined) found.push({ line: open.line, text: open.lines.join("\n").trim() });
    open = undefined;
  };
  for (const [i, line] of text.split("\n").entries()) {
    const trimmed = line.trim();
    if (open?.isBlock) {
      open.lines.push(trimmed.replace(/^\*(?!\/) ?/, "").replace(/\*\/$/, ""));
    } else if (trimmed.startsWith("/*")) {
      close();
      open = { line: i + 1, lines: [trimmed.replace(/^\/\*+ ?/, "").replace(/\*\/$/, "")], isBlock: true };
    } else if (trimmed.startsWith("//")) {
      open ??= { line: i + 1, lines: [], isBlock: false };
      open.lines.push(trimmed.slice(2).trim());
      continue;
    } else {
      close();
      const at = line.search(/[^:"'`/]\/\/ /);
      if (at >= 0) found.push({ line: i + 1, text: line.slice(at + 3).trim() });
    }
    if (open?.isBlock && trimmed.endsWith("*/")) close();
  }
  close();
  return found;
}

/** Returns the words in a text that the house does not use, each with its line and the word to say instead. */
export function wrongWords(path: string, text: string): string[] {
  return text.split("\n").flatMap((line, i) =>
    WORDS.flatMap(([wrong, say]) => {
      const found = wrong.exec(line)?.[0];
      return found === undefined ? [] : [`${path}:${i + 1}: "${found}": say ${say}`];
    })
  );
}

/** Returns the lines of comments that are too long. */
export function longComments(path: string, text: string): string[] {
  return text.split("\n").flatMap((line, i) => {
    const isComment = /^\s*(?:\/\*|\*|\/\/)/.test(line) || /[^:"'`/]\/\/ /.test(line);
    return isComment && line.length > WIDTH
      ? [`${path}:${i + 1}: a line with a comment has ${line.length} columns, over ${WIDTH}`]
      : [];
  });
}

/** Returns the comments that open with a relative clause. */
export function relativeComments(path: string, comments: readonly Comment[]): string[] {
  return comments.filter(({ text }) => RELATIVE.test(text))
    .map(({ line, text }) => `${path}:${line}: a comment opens with a relative clause: ${text.split("\n")[0]}`);
}

/**
 * Returns the paths that a comment or a README names and that are not there.
 *
 * @param files every file of the repository; a path may be named by its last parts
 */
export function missingPaths(path: string, comments: readonly Comment[], files: readonly string[]): string[] {
  return comments.flatMap(({ line, text }) =>
    [...text.matchAll(/(?<![\w./@:*-])((?:[\w.-]+\/)*\w[\w.-]*\.(?:ts|md|proto))\b(?![\w*-])/g)]
      .map(([, named]) => named!.replace(/^(?:\.{1,2}\/)+/, ""))
      .filter((named) => !/[A-Z]{2,}\.ts$/.test(named)) // `NAME.ts` stands for any file
      .filter((named) => !files.some((file) => file === named || file.endsWith(`/${named}`)))
      .map((named) => `${path}:${line}: there is no ${named}`)
  );
}

/** Reads `src` and its READMEs, and returns all that is wrong with their words and comments. */
export async function wrongInHouse(root: string): Promise<string[]> {
  const files: string[] = [];
  const walk = async (folder: string) => {
    for await (const { name, isDirectory } of Deno.readDir(root + folder)) {
      if (name === ".git" || name === ".runtimes" || name === "node_modules") continue;
      const path = `${folder}${name}`;
      if (isDirectory) await walk(`${path}/`);
      else files.push(path);
    }
  };
  await walk("");
  const wrong: string[] = [];
  const relative: string[] = [];
  let count = 0;
  for (const path of files.sort()) {
    if (path.includes("/gen/")) continue;
    const isSource = path === "mod.ts" || (path.startsWith("src/") && path.endsWith(".ts"));
    const isPlan = path === "README.md" || /^(?:src|tests|\.github)\/\w+\.md$/.test(path);
    if (!isSource && !isPlan) continue;
    const text = await Deno.readTextFile(root + path);
    if (isPlan) {
      const prose = text.replace(/^```[^]*?^```$/gm, (code) => code.replace(/[^\n]/g, ""));
      wrong.push(...missingPaths(path, [{ line: 1, text: prose }], files));
      continue;
    }
    const comments = commentsOf(text);
    count += comments.length;
    relative.push(...relativeComments(path, comments));
    wrong.push(...wrongWords(path, text), ...longComments(path, text), ...missingPaths(path, comments, files));
  }
  if (relative.length > count * 0.03) wrong.push(...relative);
  return wrong;
}
