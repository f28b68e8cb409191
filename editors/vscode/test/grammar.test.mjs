// The grammar, read by the engine that VS Code itself uses.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import oniguruma from "vscode-oniguruma";
import textmate from "vscode-textmate";

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.join(here, "..", "..", "..");
const wasm = path.join(here, "..", "node_modules", "vscode-oniguruma", "release", "onig.wasm");
const file = path.join(here, "..", "syntaxes", "lmp.tmLanguage.json");

async function grammar() {
  await oniguruma.loadWASM(fs.readFileSync(wasm).buffer);
  const registry = new textmate.Registry({
    onigLib: Promise.resolve({
      createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
      createOnigString: (text) => new oniguruma.OnigString(text),
    }),
    loadGrammar: async () => textmate.parseRawGrammar(fs.readFileSync(file, "utf8"), file),
  });
  return registry.loadGrammar("source.lmp");
}

const loaded = await grammar();

function scopes(text) {
  let stack = textmate.INITIAL;
  const found = [];
  for (const line of text.split("\n")) {
    const result = loaded.tokenizeLine(line, stack);
    stack = result.ruleStack;
    for (const token of result.tokens) {
      found.push([line.slice(token.startIndex, token.endIndex), token.scopes.slice(1).join(" ")]);
    }
  }
  return { found, stack };
}

function scopeOf(text, part) {
  const hit = scopes(text).found.find(([piece]) => piece.trim() === part);
  assert.ok(hit, `${part} in ${text}`);
  return hit[1];
}

test("words, names, types and texts have their scopes", () => {
  const text = 'generate main(question: str) -> str { """Answer.""" temperature: 0.7 }';
  assert.match(scopeOf(text, "generate"), /keyword\.declaration/);
  assert.match(scopeOf(text, "main"), /entity\.name/);
  assert.match(scopeOf(text, "question"), /variable\.parameter/);
  assert.match(scopeOf(text, "str"), /support\.type/);
  assert.match(scopeOf(text, "Answer."), /string\.quoted\.triple/);
  assert.match(scopeOf(text, "0.7"), /constant\.numeric/);
  assert.match(scopeOf("# a note", "# a note"), /comment/);
});

test("values in f-strings are code, and doubled braces are text", () => {
  const text = 'return f"{len(xs)} of {{all}} {d["k"]}"';
  assert.match(scopeOf(text, "len"), /meta\.embedded.*entity\.name\.function/);
  assert.match(scopeOf(text, "{{"), /constant\.character\.escape/);
  assert.match(scopeOf(text, "k"), /meta\.embedded.*string\.quoted/);
});

test("a name that is a word of the language elsewhere is a name here", () => {
  assert.match(scopeOf("  model: small", "model"), /keyword|variable\.parameter/);
  assert.match(scopeOf("let x = route(y)", "route"), /entity\.name\.function/);
});

test("every program ends outside of all texts and braces", () => {
  const folders = [path.join(root, "programs"), path.join(root, "examples")];
  const programs = folders.flatMap((folder) =>
    fs
      .readdirSync(folder, { recursive: true })
      .filter((name) => name.endsWith(".lmp"))
      .map((name) => path.join(folder, name)),
  );
  assert.ok(programs.length > 55);
  for (const program of programs) {
    const { stack, found } = scopes(fs.readFileSync(program, "utf8"));
    assert.equal(stack.depth, 1, program);
    assert.ok(found.length > 20, program);
  }
});
