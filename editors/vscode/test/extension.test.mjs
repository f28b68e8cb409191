// The extension with an editor and a server that this file plays. No VS Code runs here.

import assert from "node:assert/strict";
import fs from "node:fs";
import Module, { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import esbuild from "esbuild";

const here = path.dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "lmc-extension-"));
const CHOICES = [{ origin: "row 1 of mail", inputs: { message: "hi" } }];

/** What the extension did: what it registered, asked and showed. */
function editor({ trusted = true, folders = [], picks = [], typed = "{}" } = {}) {
  const did = { commands: {}, sent: [], shown: [], warned: [], errors: [], started: [], lines: [] };
  const disposable = { dispose() {} };
  class EventEmitter {
    listeners = [];
    event = (listener) => (this.listeners.push(listener), disposable);
    fire(value) {
      for (const listener of this.listeners) listener(value);
    }
  }
  const uri = (text) => ({ scheme: text.split(":")[0], toString: () => text, fsPath: text });
  const vscode = {
    EventEmitter,
    Uri: {
      from: (parts) => uri(`${parts.scheme}:${parts.path}?${parts.query}`),
      parse: uri,
    },
    ViewColumn: { Beside: -2 },
    ProgressLocation: { Window: 10 },
    commands: { registerCommand: (name, way) => ((did.commands[name] = way), disposable) },
    workspace: {
      isTrusted: trusted,
      workspaceFolders: folders.map((folder) => ({ uri: { fsPath: folder } })),
      textDocuments: [],
      getConfiguration: () => ({ get: () => [] }),
      createFileSystemWatcher: () => disposable,
      registerTextDocumentContentProvider: (scheme, provider) => {
        did.provider = provider;
        provider.onDidChange(() => (did.changed = (did.changed ?? 0) + 1));
        return disposable;
      },
      onDidCloseTextDocument: () => disposable,
      onDidGrantWorkspaceTrust: () => disposable,
      openTextDocument: async (what) => ({ what }),
    },
    window: {
      createOutputChannel: () => ({
        appendLine: (line) => did.lines.push(line),
        show() {},
        dispose() {},
      }),
      activeTextEditor: { document: { languageId: "lmp", uri: uri("file:///a.lmp") } },
      showTextDocument: async (document) => did.shown.push(document.what),
      showWarningMessage: async (text) => did.warned.push(text),
      showErrorMessage: async (text) => did.errors.push(text),
      showQuickPick: async (items) => items[picks.shift() ?? 0],
      showInputBox: async () => typed,
      withProgress: async (_, way) => way(),
      createWebviewPanel: () => (did.panel = { webview: {} }),
    },
  };
  class LanguageClient {
    constructor(id, name, server, options) {
      did.started.push(server);
      did.options = options;
    }
    onNotification(name, way) {
      did.notified = way;
    }
    async start() {}
    async stop() {}
    async sendRequest(method, { command, arguments: given }) {
      did.sent.push([command, given]);
      if (command === "lmc.run" || command === "lmc.runTest") {
        return { ok: true, output: "1 test passed", command: `lmc ${command}` };
      }
      if (command === "lmc.graph") return { target: "main", svg: "<svg/>" };
      if (command === "lmc.explain") return { markdown: "# words" };
      if (did.broken) throw new Error("The program has mistakes");
      return { target: "main", sections: [], choices: CHOICES, missing: "", markdown: "# P" };
    }
  }
  return { did, vscode, client: { LanguageClient } };
}

let built = 0;

async function extension(fakes) {
  const outfile = path.join(scratch, `extension${built++}.cjs`);
  await esbuild.build({
    entryPoints: [path.join(here, "..", "src", "extension.ts")],
    bundle: true,
    platform: "node",
    format: "cjs",
    external: ["vscode", "vscode-languageclient/node"],
    outfile,
  });
  return loaded(outfile, { vscode: fakes.vscode, "vscode-languageclient/node": fakes.client });
}

function loaded(file, stands) {
  const load = Module._load;
  Module._load = (name, ...rest) => (name in stands ? stands[name] : load(name, ...rest));
  try {
    return require(file);
  } finally {
    Module._load = load;
  }
}

async function started(options) {
  const fakes = editor(options);
  const made = await extension(fakes);
  await made.activate({ subscriptions: [] });
  const click = (command, ...args) =>
    fakes.did.options.middleware.executeCommand(command, args, async () => "passed on");
  return { did: fakes.did, click, made };
}

test("it starts the server of the path, or of a trusted workspace", async () => {
  const folder = fs.mkdtempSync(path.join(scratch, "folder-"));
  fs.mkdirSync(path.join(folder, ".venv", "bin"), { recursive: true });
  const own = path.join(folder, ".venv", "bin", "lmc");
  fs.writeFileSync(own, "");
  const trusted = await started({ folders: [folder] });
  assert.deepEqual(trusted.did.started, [{ command: own, args: ["lsp"] }]);
  const stranger = await started({ folders: [folder], trusted: false });
  assert.deepEqual(stranger.did.started, [{ command: "lmc", args: ["lsp"] }]);
});

test("a click on a lens shows the prompt beside the program, and it stays live", async () => {
  const { did, click } = await started({});
  await click("lmc.showPrompt", "file:///a.lmp", "main");
  assert.equal(did.shown.length, 1);
  const place = did.shown[0];
  assert.equal(await did.provider.provideTextDocumentContent(place), "# P");
  assert.deepEqual(did.sent.at(-1), ["lmc.preview", ["file:///a.lmp", "main", CHOICES[0].inputs]]);
  const before = did.changed;
  did.notified();
  assert.equal(did.changed, before + 1);
  did.broken = true; // half-typed: the last prompt stays
  assert.match(await did.provider.provideTextDocumentContent(place), /mistakes\n\n# P$/);
});

test("a click on run asks for inputs and runs with them", async () => {
  const { did, click } = await started({ picks: [1], typed: '{"message": "typed"}' });
  const outcome = await click("lmc.run", "file:///a.lmp", "main");
  assert.equal(outcome.ok, true);
  assert.deepEqual(did.sent.at(-1), ["lmc.run", ["file:///a.lmp", "main", { message: "typed" }]]);
  assert.ok(did.lines.includes("1 test passed"));
});

test("an example's own inputs are taken as they are", async () => {
  const { did, click } = await started({});
  await click("lmc.run", "file:///a.lmp", "main", { message: "mine" });
  assert.deepEqual(did.sent, [["lmc.run", ["file:///a.lmp", "main", { message: "mine" }]]]);
});

test("nothing runs in a workspace that nobody trusts", async () => {
  const { did, click } = await started({ trusted: false });
  await click("lmc.run", "file:///a.lmp", "main");
  await click("lmc.runTest", "file:///a.lmp", "a test");
  assert.deepEqual(did.sent, []);
  assert.equal(did.warned.length, 2);
  await click("lmc.showPrompt", "file:///a.lmp", "main"); // which asks no model
  assert.equal(did.shown.length, 1);
});

test("graphs and explanations are shown, and other commands are passed on", async () => {
  const { did, click } = await started({});
  await click("lmc.graph", "file:///a.lmp", "main");
  assert.match(did.panel.webview.html, /default-src 'none'.*<svg\/>/);
  await click("lmc.explain", "unknown-field");
  assert.deepEqual(did.shown.at(-1), { content: "# words", language: "markdown" });
  assert.equal(await click("other.command"), "passed on");
});

test("the packaged bundle loads, with the real client in it", () => {
  const anything = new Proxy(class {}, {
    get: (target, key) => (key === "prototype" ? target.prototype : anything),
    apply: () => anything,
  });
  const vscode = new Proxy({}, { get: () => anything });
  const made = loaded(path.join(here, "..", "dist", "extension.js"), { vscode });
  assert.equal(typeof made.activate, "function");
  assert.equal(typeof made.deactivate, "function");
});

test("the package names only files that are there", () => {
  const root = path.join(here, "..");
  const about = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8"));
  const { languages, grammars, snippets, commands } = about.contributes;
  const files = [
    about.icon,
    about.main,
    ...languages.map((language) => language.configuration),
    ...grammars.map((grammar) => grammar.path),
    ...snippets.map((snippet) => snippet.path),
  ];
  for (const file of files) {
    assert.ok(fs.existsSync(path.join(root, file)), file);
  }
  assert.ok(commands.every((command) => command.command.startsWith("lmc.")));
});
