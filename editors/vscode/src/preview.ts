// The live prompt: a read-only document beside the program, asked for again after each check.

import * as vscode from "vscode";

export const SCHEME = "lmc-prompt";

export interface Section {
  module: string;
  role: string;
  origin: string;
  messages: { role: string; content: string }[];
  tokens: number;
}

export interface Choice {
  origin: string;
  inputs: Record<string, unknown>;
}

export interface Preview {
  target: string;
  sections: Section[];
  choices: Choice[];
  missing: string;
  markdown: string;
}

type Ask = (uri: string, target?: string, inputs?: unknown) => Promise<Preview>;

interface Shown {
  source: string;
  target: string | undefined;
  inputs: unknown;
  text: string;
}

/** Prompts by the address of their document, which names the program and the target. */
export class Prompts implements vscode.TextDocumentContentProvider {
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.changed.event;
  private readonly shown = new Map<string, Shown>();

  constructor(private readonly ask: Ask) {}

  async provideTextDocumentContent(uri: vscode.Uri): Promise<string> {
    const known = this.shown.get(uri.toString());
    if (!known) {
      return "This prompt is no longer open. Show it again from the program.\n";
    }
    try {
      known.text = (await this.ask(known.source, known.target, known.inputs)).markdown;
      return known.text;
    } catch (problem) {
      // While a program is being typed it has mistakes. The last prompt stays, and says so.
      return `> ${words(problem)}\n\n${known.text}`;
    }
  }

  /** The document of a target, which is shown with these inputs from now on. */
  place(source: string, target: string | undefined, inputs: unknown): vscode.Uri {
    const uri = vscode.Uri.from({
      scheme: SCHEME,
      path: `/prompt of ${target ?? "main"}.md`,
      query: source,
    });
    const before = this.shown.get(uri.toString());
    this.shown.set(uri.toString(), { source, target, inputs, text: before?.text ?? "" });
    this.changed.fire(uri);
    return uri;
  }

  forget(uri: vscode.Uri): void {
    this.shown.delete(uri.toString());
  }

  /** Ask again for all prompts: the server has checked the programs. */
  refresh(): void {
    for (const uri of this.shown.keys()) {
      this.changed.fire(vscode.Uri.parse(uri));
    }
  }
}

export function words(problem: unknown): string {
  return problem instanceof Error ? problem.message : String(problem);
}
