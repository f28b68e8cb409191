"""What an editor waits for: one edit of a program in `lmc lsp`, in processor time.

Each edit types a word into a module in the middle of the file, and waits for the diagnostics. The
server's own clock of processor time is read before and after, over all edits of a size.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from lsprotocol import types as lsp

sys.path.insert(0, str(Path(__file__).parents[1]))

MODULE = '''
record Item{n} {{ text: str, score: float(0..1) = 0.5, tags: list[str](..5) = [] }}

generate draft{n}(question: str, context: str = "") -> Item{n} {{
  """Answer question {n} from the context."""
  temperature: 0.7
  max_tokens: 200
}}

critique judge{n}(question: str, draft: Item{n}) -> Verdict {{
  """Is the answer right and complete?"""
  subject: draft
}}

refine best{n}(question: str) -> Item{n} {{
  """Mend what the feedback names."""
  draft: draft{n}(question)
  check: judge{n}(question, draft)
  until: check.ok
  rounds: 2
}}

pipeline answer{n}(questions: list[str]) -> list[Item{n}] {{
  let found = [best{n}(q) for q in questions if len(q) > {n}]
  let good = [x for x in found if x.score > 0.2]
  return [x with {{tags: x.tags + [strip(x.text)]}} for x in sort_by(good, .score)][:5]
}}
'''
ASKED = ("hover", "completion", "signatureHelp", "references", "semanticTokens/full", "codeLens")


def program(lines: int) -> str:
    """A program of about so many lines."""
    each = MODULE.count("\n")
    return "".join(MODULE.format(n=n) for n in range(max(1, lines // each)))


def in_process(text: str, edits: int) -> list[float]:
    """Milliseconds of processor time of each edit, without a connection."""
    from lmc.editor.editor import Editor

    editor, uri, took = Editor(), "untitled:1", []
    editor.open(uri, 1, text)
    list(editor.diagnostics())
    for version in range(2, edits + 2):
        began = time.process_time()
        editor.change(uri, version, [typed(text, version)])
        list(editor.diagnostics())
        took.append(1000 * (time.process_time() - began))
    return took


def typed(text: str, number: int) -> lsp.TextDocumentContentChangePartial:
    """A letter more in a docstring in the middle, so that all that follows moves."""
    line = text.count("\n", 0, text.index('"""', len(text) // 2))
    at = lsp.Position(line, 5)
    return lsp.TextDocumentContentChangePartial(lsp.Range(at, at), "abcdefghij"[number % 10])


async def in_server(text: str, edits: int) -> tuple[float, float, dict[str, float]]:
    """Mean processor time and median wait of an edit, and the time of each kind of question."""
    from tests.test_editor.client import _PARAMETERS, connected

    async with connected() as client:
        process = client.peer._server
        assert process is not None
        uri = client.open("untitled:bench", text)
        await client.checked()
        waits = []
        before = cpu_s(process.pid)
        for number in range(edits):
            began = time.perf_counter()
            client.type(uri, typed(text, number))
            await client.checked()
            waits.append(1000 * (time.perf_counter() - began))
        spent = 1000 * (cpu_s(process.pid) - before) / edits
        line = text.count("\n", 0, text.index("= [best", len(text) // 2))
        asked = {}
        for name in ASKED:
            method = next(m for m in _PARAMETERS if m.endswith(f"/{name}"))
            await client.ask(method, uri, lsp.Position(line, 18))
            before = cpu_s(process.pid)
            for _ in range(edits):
                await client.ask(method, uri, lsp.Position(line, 18))
            asked[name] = 1000 * (cpu_s(process.pid) - before) / edits
        return spent, statistics.median(waits), asked


def cpu_s(pid: int) -> float:
    """The processor time of another process, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, nargs="*", default=[100, 500, 2000])
    parser.add_argument("--edits", type=int, default=30)
    options: Any = parser.parse_args()
    print("lines   edit, in process   edit, in the server   wait (50 ms of them a pause)")
    for lines in options.lines:
        text = program(lines)
        took = in_process(text, options.edits)
        spent, wait, asked = asyncio.run(in_server(text, options.edits))
        print(
            f"{text.count(chr(10)):5}   {statistics.median(took):8.1f} ms"
            f" ({min(took):.1f} to {max(took):.1f})   {spent:8.1f} ms          {wait:8.0f} ms"
        )
        print("        " + ", ".join(f"{name} {ms:.1f} ms" for name, ms in asked.items()))


if __name__ == "__main__":
    main()
