"""`layout: "auto"`: a model is measured once, and asked in what it does best."""

import json
from dataclasses import replace

import pytest

from lmc.models.base import ModelFailure
from lmc.models.scripted import Scripted
from lmc.prompts.spec import BARE
from lmc.requests.pool import ANY_MODEL, ModelPool
from lmc.runtime import fitting
from lmc.runtime.executor import Executor
from lmc.tasks.loop import run_sync
from tests.programs import lowered

PROGRAM = """
model asked {{ name: "scripted/x"{model} }}
default {{ model: asked }}
generate label(text: str) -> "good" | "bad" {{ {layout} }}
generate reply(text: str) -> str {{ {layout} }}
pipeline both(text: str) -> list["good" | "bad"] {{ return [label(text), label(text + "!")] }}
"""
KNOWN = fitting._MESSAGES


def layout_of(request):
    system = request.messages[0]["content"]
    return "json" if "JSON object" in system else "xml" if "tags" in system else "chat"


class Model:
    """Knows the answers of the rows, and gives them in one layout only."""

    def __init__(self, good: str, *, default: str = "chat", broken: bool = False) -> None:
        self.asked: list[str] = []
        self.good, self.broken, self.known = good, broken, 24
        self.backend = Scripted(self.answer)
        self.backend.capabilities = replace(self.backend.capabilities, default_layout=default)

    def answer(self, request):
        layout, question = layout_of(request), request.messages[-1]["content"]
        self.asked.append(layout)
        if "[[text]]" in question or '"text"' in question or "<text>" in question:
            value = "good"
        elif self.broken:
            return ModelFailure("refusal", "no", retryable=False)
        else:
            known = (topic for text, topic in list(KNOWN.items())[: self.known] if text in question)
            value = next(known, "nothing") if layout == self.good else "nothing"
        shown = {"chat": value, "xml": f"<result>{value}</result>"}
        return shown.get(layout, json.dumps({"result": value}))

    def run(self, name="label", *, layout='layout: "auto"', model="", times=1):
        graph = lowered(PROGRAM.format(layout=layout, model=model))
        pool = ModelPool(graph.models, graph.default, backends={ANY_MODEL: self.backend})
        executor = Executor(graph, pool)
        found = [run_sync(executor.run(name, {"text": "t"})) for _ in range(times)]
        return found[0], pool.layouts


@pytest.mark.parametrize("good", ["chat", "json", "xml"])
@pytest.mark.parametrize("default", ["chat", "json"])
def test_a_model_is_asked_in_what_it_does_best(good, default):
    model = Model(good, default=default)
    assert model.run(times=3) == ("good", {"asked": good})
    rows = 8 * len(fitting._TASKS)
    assert model.asked[:-3].count("xml") == rows and len(model.asked) == 3 * rows + 3
    assert model.asked[-3:] == [good] * 3


def test_a_few_more_right_answers_are_no_reason_to_leave_the_default():
    model = Model("json", default="xml")
    model.known = 2
    assert model.run()[1] == {"asked": "xml"}
    model.known = 3
    assert model.run()[1] == {"asked": "json"}


def test_calls_at_once_measure_a_model_once():
    model = Model("xml")
    model.run("both")
    assert len(model.asked) == 3 * 8 * len(fitting._TASKS) + 2


def test_a_model_may_say_it_for_all_its_modules():
    assert Model("json").run(layout="", model=', layout: "auto"')[1] == {"asked": "json"}


@pytest.mark.parametrize("default", ["chat", "json"])
def test_a_model_that_does_nothing_right_keeps_its_default(default):
    model = Model("none", default=default, broken=True)
    assert model.run() == ("good", {"asked": default})


def test_a_plain_string_needs_no_measuring():
    model = Model("json")
    assert model.run("reply")[1] == {}
    assert model.asked == ["chat"]


def test_the_rows_can_be_answered_in_every_layout():
    for words, type in fitting._TASKS.items():
        spec = fitting._spec(words, type)
        for layout in fitting.LAYOUTS.values():
            for expected in fitting._rows(type).values():
                outputs = expected if isinstance(expected, dict) else {BARE: expected}
                assert layout.parse(spec, layout.answer_text(spec, outputs)) == outputs
