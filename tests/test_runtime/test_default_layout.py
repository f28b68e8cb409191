"""Which layout a call has that names none: the one that its model can best follow."""

from dataclasses import replace

import pytest

import lmc
from lmc.models.registry import default_layout
from lmc.models.scripted import Scripted
from lmc.requests.pool import ANY_MODEL, ModelPool
from lmc.runtime.executor import Executor
from lmc.tasks.loop import run_sync
from tests.programs import lowered

PROGRAM = """
generate label(text: str) -> "good" | "bad" {{ {layout} }}
generate reply(text: str) -> str {{ {layout} }}
"""
ANSWERS = {"label": '{"result": "good"}', "reply": "words"}


def asked(name: str, fitting: str, layout: str = "") -> str:
    """The messages of a call of a model with a default layout, as one text."""
    seen = []

    def answer(request):
        seen.append(request)
        return ANSWERS[name]

    backend = Scripted(answer)
    backend.capabilities = replace(backend.capabilities, default_layout=fitting)
    graph = lowered(PROGRAM.format(layout=layout))
    pool = ModelPool(graph.models, graph.default, backends={ANY_MODEL: backend})
    run_sync(Executor(graph, pool).run(name, {"text": "t"}))
    return "\n".join(message["content"] for message in seen[0].messages)


def test_a_model_gets_its_layout_where_none_is_named():
    assert '{"text": "t"}' in asked("label", "json")
    assert "[[text]] t" in asked("label", "chat")


def test_a_plain_string_stays_in_the_chat_layout():
    assert asked("reply", "json") == asked("reply", "chat")


@pytest.mark.parametrize("layout", ["chat", "json", "xml"])
def test_what_the_program_names_comes_first(layout):
    named = f'layout: "{layout}"'
    assert asked("label", "json", named) == asked("label", "chat", named)


@pytest.mark.parametrize(
    ("name", "settings", "layout"),
    [
        ("lmc/tiny", {}, "chat"),
        ("lmc/smollm2", {}, "json"),
        ("hf/some/model", {}, "json"),
        ("gguf/model.gguf", {}, "json"),
        ("vllm/some/model", {"base_url": "http://localhost:8000/v1"}, "chat"),
        ("openai/gpt-4o", {}, "chat"),
        ("no-provider", {}, "chat"),
    ],
)
def test_names_tell_the_layout_without_opening_a_model(name, settings, layout):
    assert default_layout(name, settings) == layout


def test_a_preview_shows_the_layout_of_the_model(tmp_path):
    file = tmp_path / "p.lmp"
    model = 'model big { name: "hf/not/there" }\ndefault { model: big }\n'
    for head, shown in ((model, '{"text": "t"}'), ("", "[[text]] t")):
        file.write_text(head + PROGRAM.format(layout=""))
        messages = lmc.load(file).label.prompt(text="t")
        assert shown in messages[-1]["content"]
