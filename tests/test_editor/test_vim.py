"""The colours for Vim, in Vim."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.test_editor.grammar import EDITORS, declarations, programs

SAMPLE = '''\
# a note
generate solve(train hint: str, mail: str) -> one_of(mail) {
  frozen """Say "it" to {{ mail }}."""
  model: 4000 tokens
  require: out != none and len(out.model) > 0
}
pipeline main(mail: str) -> str { return f"{solve(mail=d["k"])} {{x}} \\n" }
let x = "open
type Code = str(r"\\d#")
'''
COLOURS = [
    (1, "# a note", "lmpComment"),
    (2, "generate", "lmpDeclaration"),
    (2, "solve", "lmpName"),
    (2, "train", "lmpKeyword"),
    (2, "hint", "lmpKey"),
    (2, "str", "lmpType"),
    (2, "->", "lmpOperator"),
    (3, "frozen", "lmpKeyword"),
    (3, '"it"', "lmpText"),
    (3, "{{ mail", "lmpJinja"),
    (4, "model", "lmpKey"),
    (4, "4000", "lmpNumber"),
    (4, "tokens", "lmpUnit"),
    (5, "none", "lmpConstant"),
    (5, "and", "lmpWordOperator"),
    (5, "len", "lmpBuiltin"),
    (5, "model", "lmpMember"),
    (7, "return", "lmpKeyword"),
    (7, 'f"', "lmpInterpolated"),
    (7, "solve", "lmpFunction"),
    (7, "mail=", "lmpArgument"),
    (7, '"k"', "lmpString"),
    (7, "{{", "lmpBrace"),
    (7, "\\n", "lmpEscape"),
    (8, '"open', "lmpString"),
    (9, "type", "lmpDeclaration"),
    (9, "\\d#", "lmpPattern"),
]
SCRIPT = """
set nocompatible
let &runtimepath = "{folder}," . $VIMRUNTIME
filetype plugin on
syntax on
let found = []
for asked in json_decode(join(readfile("asked.json"), ""))
  execute "edit" fnameescape(asked.file)
  for [line, column] in asked.places
    call add(found, &filetype . " " . synIDattr(synID(line, column, 1), "name"))
  endfor
endfor
call writefile([json_encode(found)], "found.json")
qall!
"""


def groups(texts: list[tuple[str, list[tuple[int, int]]]], folder: Path) -> list[str]:
    """The file type and the syntax group at places (line and byte, from 1) of texts, from Vim."""
    vim = shutil.which("vim")
    if vim is None or "+syntax" not in subprocess.check_output([vim, "--version"], text=True):
        pytest.skip("no Vim with colours")
    asked = []
    for number, (text, places) in enumerate(texts):
        (folder / f"{number}.lmp").write_text(text, "utf-8")
        asked.append({"file": f"{number}.lmp", "places": places})
    (folder / "asked.json").write_text(json.dumps(asked), "utf-8")
    (folder / "script.vim").write_text(SCRIPT.format(folder=EDITORS / "vim"), "utf-8")
    command = [vim, "-es", "-u", "NONE", "-i", "NONE", "-n", "-S", "script.vim"]
    subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, timeout=120, check=True)
    return list(json.loads((folder / "found.json").read_text("utf-8")))


def place(text: str, offset: int) -> tuple[int, int]:
    start = text.rfind("\n", 0, offset) + 1
    return text.count("\n", 0, offset) + 1, len(text[start:offset].encode()) + 1


def test_colours(tmp_path: Path) -> None:
    lines = SAMPLE.splitlines()
    places = [(line, lines[line - 1].index(part) + 1) for line, part, _ in COLOURS]
    found = groups([(SAMPLE, places)], tmp_path)
    got = [(line, part, group) for (line, part, _), group in zip(COLOURS, found)]
    assert got == [(line, part, f"lmp {group}") for line, part, group in COLOURS]


def test_every_declaration_is_seen(tmp_path: Path) -> None:
    """So no text, value or brace before it runs on."""
    texts = [
        (text, [place(text, decl.span.start) for decl in declarations(text)])
        for name, text in programs().items()
        if name.startswith(("programs/", "examples/", "docs/tutorial"))
    ]
    found = groups(texts, tmp_path)
    assert len(found) > 400
    wrong = [number for number, group in enumerate(found) if group != "lmp lmpDeclaration"]
    every = [(text, spot) for text, places in texts for spot in places]
    assert [every[number] for number in wrong] == []
