"""The local engine under a grammar: no answer leaves its type, whatever the weights say."""

from copy import copy
from dataclasses import replace

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("llguidance")

from lmc.models.base import Request, Sampling
from lmc.models.engine import constraints
from lmc.models.engine.loading import load_engine
from lmc.models.engine.worker import Job
from lmc.prompts.layouts import layout_for
from lmc.prompts.spec import BARE, CallSpec, FieldSpec
from lmc.types import EnumType, Field, IntType, ListType, RecordType
from lmc.values import validate
from tests.test_models.tiny_llama import save_tiny_llama

KIND = EnumType("Kind", ("spam", "ham", "not sure"))
ORDER = RecordType("Order", (Field("count", IntType(1, 20)), Field("kind", KIND)))
SPECS = {
    "kind": CallSpec("Say it.", (), (FieldSpec(BARE, KIND),), KIND),
    "counts": CallSpec("", (), (FieldSpec(BARE, t := ListType(IntType(0, 9), 1, 3)),), t),
    "order": CallSpec("", (), tuple(FieldSpec(f.name, f.type) for f in ORDER.fields), ORDER),
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    return load_engine(str(save_tiny_llama(tmp_path_factory.mktemp("tiny"))))


def ask_for(text, *, n=1, **sampling):
    messages = ({"role": "user", "content": text},)
    return Request("tiny", messages, Sampling(**{"max_tokens": 12, **sampling}), n=n)


def answers(engine, *requests):
    jobs = [Job(request) for request in requests]
    for job in jobs:
        engine.admit(job)
    while not engine.idle:
        engine.step()
    return [job.done.result() for job in jobs]


@pytest.mark.parametrize("layout", ["chat", "json", "xml"])
@pytest.mark.parametrize("source", ["kind", "counts", "order"])
def test_no_answer_leaves_its_type_in_any_layout(engine, layout, source):
    spec = SPECS[source]
    own = layout_for(layout)
    asked = ask_for("q", temperature=1.5, n=6, max_tokens=400)
    (found,) = answers(engine, replace(asked, grammar=own.grammar(spec)))
    assert {answer.finish_reason for answer in found} == {"stop"}
    for answer in found:
        outputs = own.parse(spec, answer.text)
        validate(spec.result, outputs.get(BARE, outputs), lenient=True)


def test_a_grammar_that_cannot_be_compiled_leaves_the_answer_free(engine):
    asked = ask_for("q")
    (free,), (bound,) = answers(engine, asked, replace(asked, grammar="start: /\\ba/\n"))
    assert free.text == bound.text


@pytest.mark.parametrize(
    ("template", "good", "refused"),
    [
        ("{{ messages }}", ["7"], ["<think>x</think>7", "x</think>\n7"]),
        ("<think>{{ messages }}", ["7", "<think>x\n</think>\n\n7"], ["<think>7", "x</think>\n7"]),
        ("{{ messages }}<think>\n", ["x y\n</think>\n\n7", "</think>\n7"], ["7", "x</think>7"]),
    ],
    ids=["none", "may", "opened"],
)
def test_thoughts_come_before_the_answer_of_a_model_that_writes_them(
    engine, template, good, refused
):
    tokenizer = copy(engine.tokenizer)
    tokenizer.chat_template = template
    prompt = tokenizer(template)["input_ids"]
    asked = replace(ask_for("q"), grammar="start: T\nT: /[0-9]/\n")
    grammar = constraints.grammar_of(asked, tokenizer, prompt)
    grammars = constraints.Grammars(tokenizer, len(tokenizer), engine.eos_ids)
    for text, expected in [*((a, True) for a in good), *((r, False) for r in refused)]:
        matcher = grammars.constraint(grammar)._matcher
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        whole = matcher.validate_tokens(ids) == len(ids)
        assert (whole and matcher.consume_tokens(ids) and matcher.is_accepting()) is expected
