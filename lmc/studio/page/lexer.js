// The parts of a program's text with their colours, fast enough for each keystroke. What names mean
// is the server's affair; this only looks at the characters.

let pattern = null;

export function learn(words) {
  const any = (list) => list.join("|");
  pattern = new RegExp([
    "(?<comment>#[^\\n]*)",
    '(?<doc>f?"""[\\s\\S]*?(?:"""|$))',
    '(?<regexp>r"(?:\\\\.|[^"\\\\\\n])*"?)',
    '(?<string>f?"(?:\\\\.|[^"\\\\\\n])*"?)',
    "(?<key>\\b[A-Za-z]\\w*(?=[ \\t]*:))",
    `(?<declaration>\\b(?:${any(words.declarations)})(?=\\s+[A-Za-z"{]))`,
    `(?<keyword>\\b(?:${any(words.statements)}|and|or|not|true|false|none)\\b)`,
    `(?<type>\\b(?:${any(words.types)})\\b)`,
    "(?<call>\\b[A-Za-z]\\w*(?=\\())",
    "(?<name>\\b[A-Z]\\w*\\b)",
    "(?<number>\\b\\d[\\d_]*(?:\\.\\d[\\d_]*)?(?:[eE][+-]?\\d+)?)",
    "(?<word>[A-Za-z_]\\w*)",
    "(?<operator>->|=>|\\?\\?|\\?\\.|\\.\\.|>>|[-+*/%<>=!|?]=?)",
  ].join("|"), "g");
}

export function coloured(text) {
  const found = document.createDocumentFragment();
  let at = 0;
  if (pattern) {
    for (const match of text.matchAll(pattern)) {
      const kind = Object.keys(match.groups).find((name) => match.groups[name] !== undefined);
      if (kind === "word") continue;
      if (match.index > at) found.append(text.slice(at, match.index));
      const part = document.createElement("span");
      part.className = `is-${kind}`;
      part.textContent = match[0];
      found.append(part);
      at = match.index + match[0].length;
    }
  }
  found.append(text.slice(at), "\n");
  return found;
}
