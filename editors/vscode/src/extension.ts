// The client of `lmc lsp`: starts the server, and shows what its lenses give.

import * as vscode from "vscode";
import {
  type ExecuteCommandSignature,
  LanguageClient,
  type LanguageClientOptions,
  type ServerOptions,
} from "vscode-languageclient/node";

import { serverStart } from "./command";
import { type Choice, type Preview, Prompts, SCHEME, words } from "./preview";

interface Outcome {
  ok: boolean;
  output: string;
  command: string;
}

let client: LanguageClient | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const output = vscode.window.createOutputChannel("lmc", { log: true });
  const runs = vscode.window.createOutputChannel("lmc runs");
  const prompts = new Prompts((uri, target, inputs) => send("lmc.preview", uri, target, inputs));
  context.subscriptions.push(
    output,
    runs,
    vscode.workspace.registerTextDocumentContentProvider(SCHEME, prompts),
    vscode.workspace.onDidCloseTextDocument((document) => {
      if (document.uri.scheme === SCHEME) {
        prompts.forget(document.uri);
      }
    }),
    vscode.commands.registerCommand("lmc.openPrompt", () => withProgram((uri) => show(prompts, uri))),
    vscode.commands.registerCommand("lmc.openGraph", () => withProgram((uri) => graph(uri))),
    vscode.commands.registerCommand("lmc.restart", () => start(output, runs, prompts)),
    vscode.workspace.onDidGrantWorkspaceTrust(() => start(output, runs, prompts)),
  );
  await start(output, runs, prompts);
}

export async function deactivate(): Promise<void> {
  await client?.stop();
}

async function start(
  output: vscode.LogOutputChannel,
  runs: vscode.OutputChannel,
  prompts: Prompts,
): Promise<void> {
  await client?.stop().catch(() => undefined);
  const configured = vscode.workspace.getConfiguration("lmc").get<string[]>("server.command");
  const folders = (vscode.workspace.workspaceFolders ?? []).map((folder) => folder.uri.fsPath);
  const server: ServerOptions = serverStart(configured, folders, vscode.workspace.isTrusted);
  const options: LanguageClientOptions = {
    documentSelector: [
      { scheme: "file", language: "lmp" },
      { scheme: "untitled", language: "lmp" },
    ],
    outputChannel: output,
    synchronize: { fileEvents: vscode.workspace.createFileSystemWatcher("**/*.lmp") },
    middleware: {
      executeCommand: (command, args, next) => clicked(command, args, next, runs, prompts),
    },
  };
  client = new LanguageClient("lmc", "lmc", server, options);
  client.onNotification("lmc/changed", () => prompts.refresh());
  try {
    await client.start();
  } catch (problem) {
    const help = "Install lmc-lang[lsp], or set lmc.server.command.";
    void vscode.window.showErrorMessage(`lmc lsp does not start: ${words(problem)} ${help}`);
  }
}

async function send<T>(command: string, ...args: unknown[]): Promise<T> {
  if (!client) {
    throw new Error("The server is not running.");
  }
  // Arguments that are left out at the end must not arrive as null.
  while (args.length > 0 && args[args.length - 1] === undefined) {
    args.pop();
  }
  const found = { command, arguments: args.map((arg) => arg ?? null) };
  return client.sendRequest("workspace/executeCommand", found);
}

/** A click on a lens: the server is asked, and what it says is shown here. */
export async function clicked(
  command: string,
  args: unknown[],
  next: ExecuteCommandSignature,
  runs: vscode.OutputChannel,
  prompts: Prompts,
): Promise<unknown> {
  const [uri, target, inputs] = args as [string, string | undefined, unknown];
  switch (command) {
    case "lmc.showPrompt":
      return show(prompts, uri, target, inputs);
    case "lmc.graph":
      return graph(uri, target);
    case "lmc.explain": {
      const found = await send<{ markdown: string }>(command, uri);
      return text(found.markdown, "markdown");
    }
    case "lmc.run":
    case "lmc.runTest":
      return run(command, uri, target ?? "", inputs, runs);
  }
  return next(command, args);
}

async function show(
  prompts: Prompts,
  uri: string,
  target?: string,
  inputs?: unknown,
): Promise<void> {
  let chosen = inputs;
  if (chosen === undefined) {
    const found = await send<Preview>("lmc.preview", uri, target);
    const choice = await choose(found.choices, "the prompt's inputs", true);
    if (choice === null) {
      return;
    }
    chosen = choice;
  }
  const document = await vscode.workspace.openTextDocument(prompts.place(uri, target, chosen));
  await vscode.window.showTextDocument(document, {
    viewColumn: vscode.ViewColumn.Beside,
    preserveFocus: true,
    preview: true,
  });
}

async function run(
  command: string,
  uri: string,
  target: string,
  inputs: unknown,
  runs: vscode.OutputChannel,
): Promise<Outcome | undefined> {
  if (!vscode.workspace.isTrusted) {
    void vscode.window.showWarningMessage("Trust this workspace to run its programs.");
    return undefined;
  }
  await vscode.workspace.textDocuments.find((d) => d.uri.toString() === uri)?.save();
  const args: unknown[] = [uri, target];
  if (command === "lmc.run") {
    const given = inputs ?? (await inputsOf(uri, target));
    if (given === null) {
      return undefined;
    }
    args.push(given);
  }
  const title = command === "lmc.run" ? `Running ${target}` : `Testing ${target}`;
  const outcome = await vscode.window.withProgress(
    { location: vscode.ProgressLocation.Window, title },
    () => send<Outcome>(command, ...args),
  );
  runs.appendLine(`$ ${outcome.command}`);
  runs.appendLine(outcome.output);
  runs.show(true);
  return outcome;
}

/** The inputs of a run: an example's, a row's, or typed ones. Null where the user gave up. */
async function inputsOf(uri: string, target: string): Promise<unknown> {
  const found = await send<Preview>("lmc.preview", uri, target);
  return choose(found.choices, `the inputs of ${target}`, false);
}

async function choose(choices: Choice[], what: string, madeUp: boolean): Promise<unknown> {
  if (choices.length === 0 && madeUp) {
    return undefined;
  }
  const typed = "$(edit) type the inputs as JSON";
  const picked = await vscode.window.showQuickPick(
    [
      ...choices.map((choice) => ({
        label: choice.origin,
        description: JSON.stringify(choice.inputs).slice(0, 100),
        inputs: choice.inputs as unknown,
      })),
      { label: typed, description: "", inputs: undefined as unknown },
    ],
    { placeHolder: `Choose ${what}` },
  );
  if (!picked) {
    return null;
  }
  if (picked.label !== typed) {
    return picked.inputs;
  }
  const written = await vscode.window.showInputBox({
    prompt: `${what} as JSON`,
    value: choices[0] ? JSON.stringify(choices[0].inputs) : "{}",
    validateInput: notJson,
  });
  return written === undefined ? null : JSON.parse(written);
}

function notJson(written: string): string | undefined {
  try {
    const value: unknown = JSON.parse(written);
    return value && typeof value === "object" && !Array.isArray(value)
      ? undefined
      : "a JSON object is needed";
  } catch (problem) {
    return words(problem);
  }
}

async function graph(uri: string, target?: string): Promise<void> {
  const found = await send<{ target: string; svg: string }>("lmc.graph", uri, target);
  const panel = vscode.window.createWebviewPanel(
    "lmcGraph",
    `graph of ${found.target}`,
    vscode.ViewColumn.Beside,
    { enableScripts: false, localResourceRoots: [] },
  );
  const policy = "default-src 'none'; style-src 'unsafe-inline'";
  panel.webview.html =
    `<!doctype html><meta http-equiv="Content-Security-Policy" content="${policy}">` +
    `<body style="background:#fff">${found.svg}</body>`;
}

async function text(content: string, language: string): Promise<void> {
  const document = await vscode.workspace.openTextDocument({ content, language });
  await vscode.window.showTextDocument(document, vscode.ViewColumn.Beside);
}

async function withProgram(way: (uri: string) => Promise<void>): Promise<void> {
  const document = vscode.window.activeTextEditor?.document;
  if (document?.languageId !== "lmp") {
    return;
  }
  try {
    await way(document.uri.toString());
  } catch (problem) {
    void vscode.window.showErrorMessage(words(problem));
  }
}
