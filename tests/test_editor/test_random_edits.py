"""Random edits of real programs: nothing that one can type makes the server fail."""

import os
import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types as lsp

from lmc.editor.editor import Editor
from lmc.editor.positions import Positions, changed
from tests.test_editor.client import AT_POSITION, OF_DOCUMENT, ROOT, connected

EDITS = 1000 if os.environ.get("LMC_FUZZ") else 60
PIECES = [
    "{", "}", "(", ")", "[", "]", '"', '"""', 'f"', "\n", "\r\n", "\r", " ", ".", "?.", ",", ":",
    "=", "->", "=>", "|", "#", "é", "\U0001f600", "\u2028", "\x0c", "\x00", "\ufeff", "let x = ",
    "return ", "main(", "record R { a: R? }", 'from "lmc/judge" import judge', "match x { ",
    "tune[1, 2]", "0..", "1e999", "lmc_cursor", "{{ question }}", "generate g(", "x" * 300,
]  # fmt: skip
TEXTS = st.text(st.sampled_from("ab\n\r\u2028\x0cé\U0001f600\ud800 "), max_size=30)


def edit(text: str, places: Positions, chance: random.Random) -> lsp.TextDocumentContentChangeEvent:
    """Something typed, removed, moved or pasted somewhere."""
    start = chance.randrange(len(text) + 1)
    end = min(len(text), start + chance.choice([0, 0, 1, 1, 5, 40]))
    if chance.random() < 0.3 and text:
        other = chance.randrange(len(text))
        new = text[other : other + chance.randrange(60)]
    else:
        new = chance.choice(PIECES)
    if chance.random() < 0.02:
        return lsp.TextDocumentContentChangeWholeDocument(text[: len(text) // 2])
    return lsp.TextDocumentContentChangePartial(places.range(start, end), new)


def program(chance: random.Random) -> str:
    paths = sorted((ROOT / "programs").glob("*.lmp"))
    return chance.choice(paths).read_text("utf-8")


async def test_random_edits_over_the_wire() -> None:
    chance = random.Random(21)
    async with connected() as client:
        uri, text = "untitled:edited.lmp", ""
        for number in range(EDITS):
            if number % 50 == 0:
                if text:
                    client.close(uri)
                text = program(chance)
                client.open(uri, text)
            change = edit(text, Positions(text), chance)
            text = changed(text, [change], "utf-16")
            client.type(uri, change)
            at = Positions(text).position(chance.randrange(len(text) + 1))
            if chance.random() < 0.6:
                await client.ask(chance.choice(AT_POSITION), uri, at)
            else:
                await client.ask(chance.choice(OF_DOCUMENT), uri)
        await client.checked()
        places = Positions(text)
        for told in client.told[uri].diagnostics:
            assert places.position(places.offset(told.range.end)) == told.range.end


def questions(editor: Editor, uri: str, at: lsp.Position) -> Iterator[object]:
    yield editor.hover(uri, at)
    yield editor.definition(uri, at)
    yield editor.highlights(uri, at)
    yield editor.completion(uri, at)
    yield editor.signature(uri, at)
    yield editor.actions(uri, lsp.Range(at, at))
    yield editor.colours(uri)
    yield editor.outline(uri)
    yield editor.folds(uri)
    yield editor.lenses(uri)
    yield editor.formatting(uri)


@pytest.mark.parametrize("seed", range(12 if EDITS > 100 else 2))
def test_every_question_after_every_edit(seed: int) -> None:
    chance, editor = random.Random(seed), Editor()
    uri, text = "untitled:1", program(random.Random(seed))
    editor.open(uri, 1, text)
    for version in range(2, 2 + EDITS // 6):
        change = edit(text, Positions(text), chance)
        text = changed(text, [change], "utf-16")
        editor.change(uri, version, [change])
        assert editor.texts.buffers[uri].source.text.lstrip("\ufeff ") == text.lstrip("\ufeff ")
        at = Positions(text).position(chance.randrange(len(text) + 1))
        for _ in questions(editor, uri, at):
            pass
        for told in editor.diagnostics():
            assert told.version in (version, None)


@given(TEXTS, st.sampled_from(["utf-8", "utf-16", "utf-32"]))
def test_positions_and_offsets_are_inverse(text: str, encoding: str) -> None:
    places = Positions(text, encoding)
    for offset in range(len(text) + 1):
        inside = text[offset - 1 : offset + 1] == "\r\n"  # a line end is one place
        assert inside or places.offset(places.position(offset)) == offset


@given(TEXTS, TEXTS, st.data())
def test_a_change_replaces_what_its_range_names(text: str, new: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    places = Positions(text)
    low, high = places.offset(places.position(start)), places.offset(places.position(end))
    change = lsp.TextDocumentContentChangePartial(places.range(start, end), new)
    assert changed(text, [change], "utf-16") == text[:low] + new + text[high:]
