// How the server is started: by the setting, else by the workspace's environment if the workspace
// is trusted, else by what is on the path. A folder that nobody trusts names no program to run.

import * as fs from "node:fs";
import * as path from "node:path";

export interface Start {
  command: string;
  args: string[];
}

export function serverStart(
  configured: readonly string[] | undefined,
  folders: readonly string[],
  trusted: boolean,
  windows: boolean = process.platform === "win32",
  exists: (file: string) => boolean = fs.existsSync,
): Start {
  const [command, ...args] = configured ?? [];
  if (command) {
    return { command, args };
  }
  if (trusted) {
    for (const folder of folders) {
      const script = windows ? ["Scripts", "lmc.exe"] : ["bin", "lmc"];
      const found = path.join(folder, ".venv", ...script);
      if (exists(found)) {
        return { command: found, args: ["lsp"] };
      }
    }
  }
  return { command: windows ? "lmc.exe" : "lmc", args: ["lsp"] };
}
