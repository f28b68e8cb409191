"""Agents that are given media and conversations, and unions with files."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lmc.check import check_program
from lmc.diagnostics import LmcError, render
from lmc.media import Media
from lmc.models.base import ToolCall
from lmc.models.dialect import forget_dialects
from lmc.models.scripted import Scripted
from lmc.program.program import load
from lmc.source import Source
from tests.loopback import Loopback, said

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
PART = {
    "type": "image_url",
    "image_url": {"url": "data:image/png;base64," + base64.b64encode(PNG).decode()},
}
AGENT = '''
model m { name: "openai/x" temperature: 0.0 }
default { model: m }
tool price(thing: str) -> str from "python:" { """The price.""" }
agent main(history: messages, photo: image, question: str) -> str {
  """Answer the customer."""
  tools: [price]
  KEEP
}
'''
TALK = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hello " * 30},
    {"role": "assistant", "content": "Hi there."},
    {"role": "user", "content": "Thanks."},
    {"role": "assistant", "content": "You are welcome."},
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    forget_dialects()


def reply(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    call = {"id": f"{name}1", "type": "function", "function": function}
    return said(None, "tool_calls", tool_calls=[call])


def asked(tmp_path: Path, keep: str = "") -> list[dict[str, Any]]:
    """The messages of the second step of an agent."""
    file = tmp_path / "agent.lmp"
    file.write_text(AGENT.replace("KEEP", keep))
    replies = [reply("price", {"thing": "lamp"}), reply("finish", {"answer": "24"})]
    consent = {"tools": {"price": lambda thing: f"<|media:image/png:{'0' * 64}|> 24"}}
    with Loopback(lambda payload: replies[len(server.payloads) - 1]) as server:
        options = {"base_url": server.url, "hosts": ["127.0.0.1"], "cache": False}
        with load(file, **options, **consent) as program:
            assert program.main(history=TALK, photo=PNG, question="How much?") == "24"
    messages: list[dict[str, Any]] = server.payloads[1]["messages"]
    return messages


def test_calls_of_tools_follow_the_conversation_and_the_image(tmp_path: Path) -> None:
    system, hello, hi, thanks, welcome, question, step, result = asked(tmp_path)
    assert system["content"].startswith("Answer the customer.")
    assert system["content"].endswith("Be kind.")
    roles = [m["role"] for m in (hello, hi, thanks, welcome, question, step, result)]
    assert roles == ["user", "assistant", "user", "assistant", "user", "assistant", "tool"]
    assert welcome["content"] == "You are welcome."
    assert [part for part in question["content"] if part["type"] != "text"] == [PART]
    assert step["content"] is None
    assert isinstance(result["content"], str)  # a tool cannot name a file
    assert result["content"].endswith("24")


def test_an_agent_keeps_so_much_of_a_conversation(tmp_path: Path) -> None:
    system, thanks, welcome, *_ = asked(tmp_path, "keep: 60 tokens")
    assert system["content"].endswith("Be kind.")
    assert (thanks["content"], welcome["content"]) == ("Thanks.", "You are welcome.")


class Native(Scripted):
    """A model that finishes at once with a call."""

    def __init__(self, media: tuple[str, ...], answer: str) -> None:
        super().__init__(lambda request: "called")
        self.capabilities = replace(self.capabilities, media=media, tools=True, local=False)
        self.call = ToolCall("f1", "finish", json.dumps({"answer": answer}))

    async def generate(self, request: Any) -> Any:
        return [replace(a, tool_calls=(self.call,)) for a in await super().generate(request)]


def test_the_fallback_of_an_agent_takes_what_its_model_does_not(tmp_path: Path) -> None:
    file = tmp_path / "agent.lmp"
    text = AGENT.replace("KEEP", "").replace("temperature: 0.0", "fallback: [n]")
    file.write_text(text + 'model n { name: "openai/y" }\n')
    blind, seeing = Native(("pdf",), "?"), Native(("image",), "a lamp")
    functions = {"price": lambda thing: "24"}
    backends = {"m": blind, "n": seeing}
    inputs: dict[str, Any] = {"history": [], "photo": PNG, "question": "What?"}
    with load(file, backend=backends, tools=functions, cache=False) as program:
        assert program.main(**inputs) == "a lamp"
    assert not blind.requests
    assert [m.sha256 for m in seeing.requests[0].media] == [Media.of_bytes(PNG).sha256]
    with load(file, backend=blind, tools=functions, cache=False) as program:
        with pytest.raises(LmcError) as refused:
            program.main(**inputs)
        assert refused.value.code == "media-not-supported"


UNION = '''
record Shot { kind: "shot" = "shot"  picture: image }
record Note { kind: "note"  text: str  picture: image? = none }
generate look(seen: image | str) -> str { """Look."""}
generate read(paper: Shot | Note) -> str { """Read.""" }
pipeline kind(seen: image | str) -> str {
  return match seen { image => look(seen), str => "text " + seen }
}
pipeline main(paper: Shot | Note) -> str {
  return match paper { Shot => look(paper.picture), Note => paper.text }
}
'''


def test_a_file_is_a_member_of_a_union_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "union.lmp"
    file.write_text(UNION)
    backend = Scripted(lambda request: f"{len(request.media)}")
    with load(file, backend=backend, cache=False) as program:
        assert program.kind(seen=PNG) == "1"
        assert program.kind(seen="words") == "text words"
        assert program.look(seen=Media.of_bytes(PNG)) == "1"
        assert program.look(seen="words") == "0"
        assert program.read(paper={"kind": "note", "text": "t", "picture": PNG}) == "1"
        assert program.read(paper={"kind": "note", "text": "t"}) == "0"
        assert program.main(paper={"kind": "shot", "picture": PNG}) == "1"
        assert program.main(paper={"kind": "note", "text": "t", "picture": PNG}) == "t"
        with pytest.raises(LmcError, match="must be a file or text"):
            program.look(seen=3)


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ('generate look(seen: image | pdf) -> str { """Look.""" }', "unclear-union", "are a file"),
        (
            "pipeline main(seen: image | str) -> str "
            '{ return match seen { pdf => "pdf", image => "image", str => seen } }',
            "never-equal",
            "is never `pdf`",
        ),
    ],
)
def test_kinds_of_files(text: str, code: str, words: str) -> None:
    _, found = check_program(Source("t.lmp", text))
    assert found[0].code == code, found
    assert words in render(found)


LABELLED = '''
model m { name: "openai/x" temperature: 0.0 }
default { model: m }
record Part { kind: str as "@kind", size: int = 1 }
tool build(part: Part) -> str from "python:" { """Build it.""" }
record Done { part: Part as "@part", says: str }
agent main(who: str, order: str) -> Done {
  """Fill the order."""
  role: "You are " + who + "."
  tools: [build]
}
agent pick(order: str, options: list[str]) -> one_of(options) { """Choose.""" tools: [build] }
'''


def test_aliases_roles_and_labels_in_calls_of_tools(tmp_path: Path) -> None:
    file = tmp_path / "labelled.lmp"
    file.write_text(LABELLED)
    built: list[Any] = []
    done = {"@part": {"@kind": "leg", "size": 2}, "says": "ok"}
    replies = [
        reply("build", {"part": {"@kind": "leg"}}),
        reply("finish", done),
        reply("finish", {"answer": "blue"}),
        reply("finish", {"answer": "red"}),
    ]
    with Loopback(lambda payload: replies[len(server.payloads) - 1]) as server:
        options = {"base_url": server.url, "hosts": ["127.0.0.1"], "cache": False}
        tools = {"build": lambda part: built.append(part) or "built"}
        with load(file, tools=tools, **options) as program:
            result = program.main(who="Ann", order="a table")
            assert program.pick(order="a table", options=["red", "green"]) == "red"
    assert (result.part.kind, result.part.size, result.says) == ("leg", 2, "ok")
    assert (built[0].kind, built[0].size) == ("leg", 1)
    first, _, third, fourth = server.payloads
    assert first["messages"][0]["content"].startswith("You are Ann.\n\nFill the order.")
    build, finish = (tool["function"]["parameters"] for tool in first["tools"])
    assert "@kind" in build["properties"]["part"]["properties"]
    assert "@part" in finish["properties"]
    assert third["tools"][1]["function"]["parameters"]["properties"]["answer"]["enum"] == [
        "red",
        "green",
    ]
    assert len(fourth["messages"]) > len(third["messages"])  # `blue` is no label
