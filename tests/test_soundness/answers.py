"""A model and tools that answer at random: rightly, nearly rightly, and with nonsense.

What they answer depends only on what they are asked, so that two runs can be compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from lmc.ir.graph import ProgramGraph
from lmc.models.base import Answer, ModelFailure, Request
from lmc.models.scripted import Scripted, prompt_text
from lmc.prompts.spec import BARE, CallSpec
from lmc.types import RecordType
from lmc.values import to_json
from tests.test_soundness.values import TEXTS, a_value, fits

TAG = re.compile(r"@(\w+)@")
GARBAGE = (
    "", "I cannot help with that.", "[[result]]", "{", "[[", '{"result": null}', "null", "[]",
    "[[a]] 1\n[[a]] 2", "<result>", "NaN", "1e400", "-5", '{"result": {"result": 1}}', "{}",
    '{"a": 1, "a": 2}', "yes and no", "\ud83d\ude00", "[[result]] [[result]]", "9" * 60, "```",
)  # fmt: skip


class RandomModel(Scripted):
    """A model that knows the prepared calls of an executor, and answers as its seed says."""

    def __init__(self, seed: int, right: float) -> None:
        super().__init__(self._replies)
        self.seed, self.right = seed, right
        self.calls: Callable[[], Mapping[int, Any]] = dict
        self.faults: list[str] = []

    def _replies(self, request: Request) -> list[Any]:
        steady = request.sampling.temperature == 0
        return [self._reply(request, 0 if steady else request.index + i) for i in range(request.n)]

    def _reply(self, request: Request, index: int) -> Any:
        try:
            return self._answer(request, index)
        except Exception as fault:  # it would count as a failure of the model
            self.faults.append(f"{fault!r}")
            raise

    def _answer(self, request: Request, index: int) -> Any:
        text = prompt_text(request)
        rng = Random(f"{self.seed} {index} {sorted(text.splitlines())}")
        call = self._asked(text)
        dice = rng.random()
        if dice > self.right + (1 - self.right) * 0.6:
            failure = ModelFailure("server", "no", retryable=False)
            return failure if rng.random() < 0.1 else rng.choice(GARBAGE)
        spec = call.spec
        outputs = right_outputs(rng, spec)
        seen = spec.seen_outputs(outputs)
        written = call.layout.answer_text(spec.seen, call.layout.safe(spec.seen, seen))
        text = written if dice < self.right else spoiled(rng, written)
        return Answer(text, 1, 1, logprobs=(-rng.random(), -0.1), certainty=rng.random())

    def _asked(self, text: str) -> Any:
        found = TAG.search(text)
        assert found is not None, f"a prompt without its instruction: {text!r}"
        calls = self.calls().values()  # the name of an imported module begins with its file
        return next(c for c in calls if c.slots.module.rpartition(".")[2] == found[1])


def right_outputs(rng: Random, spec: CallSpec) -> dict[str, Any]:
    """Outputs of the right types, by field."""
    value = a_value(rng, spec.result)
    outputs = {name: rng.choice(TEXTS) for name in spec.thoughts}
    if not isinstance(spec.result, RecordType):
        return outputs | {BARE: value}
    dropped = {f.name for f in spec.result.fields if f.has_default and rng.random() < 0.3}
    return outputs | {k: v for k, v in value.items() if k not in dropped}


def spoiled(rng: Random, text: str) -> str:
    """A text with one thing wrong, or only strange."""
    at = rng.randrange(len(text) + 1)
    ways: list[Callable[[], str]] = [
        lambda: text[:at] + text[at + 1 :],
        lambda: text[:at],
        lambda: text[:at] + rng.choice(['"', "}", "[", "0", ",", "[[", "\n", "x"]) + text[at:],
        lambda: "Sure! Here it is:\n" + text,
        lambda: "```json\n" + text + "\n```",
        lambda: text + "\n" + text,
        lambda: re.sub(r"\d", lambda m: rng.choice("0123456789."), text),
        lambda: text.swapcase(),
        lambda: text.replace("[", "{"),
        lambda: "\n".join(reversed(text.splitlines())),
        lambda: re.sub(r"(?<=[\w\"])(\s*[:,])", r" \1", text),
        lambda: text.replace('"', "'"),
    ]
    return rng.choice(ways)()


def random_tools(
    program: ProgramGraph, seed: int, right: float, faults: list[str]
) -> dict[str, Any]:
    """Python functions for the tools, which see that what they are given has its type."""
    return {name: _function(tool, seed, right, faults) for name, tool in program.tools.items()}


def _function(tool: Any, seed: int, right: float, faults: list[str]) -> Callable[..., Any]:
    def function(**inputs: Any) -> Any:
        try:
            plain = {port.name: to_json(port.type, inputs[port.name]) for port in tool.inputs}
        except Exception as fault:
            faults.append(f"{tool.name} was given {inputs!r}: {fault!r}")
            raise
        faults.extend(
            f"{tool.name}.{port.name} was given {plain[port.name]!r}, which is no `{port.type}`"
            for port in tool.inputs
            if not fits(port.type, plain[port.name])
        )
        rng = Random(f"{seed} {tool.name} {sorted(plain.items())}")
        if rng.random() < right:
            return a_value(rng, tool.result)
        if rng.random() < 0.2:
            raise ValueError("the tool is broken")
        return rng.choice([None, -7, "", "x", [], [None], {}, 0.5, {"a": 1}, float("nan")])

    return function
