"""A model that answers from a script: by order, by callable, or by rule."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableSequence, Sequence
from pathlib import Path
from typing import Any

from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.media.content import KINDS
from lmc.models.base import Answer, Capabilities, ModelFailure, Price, Request
from lmc.patterns import Pattern
from lmc.regular import read_text

Reply = str | Answer | ModelFailure
Respond = Callable[[Request], "Reply | Sequence[Reply] | Awaitable[Reply | Sequence[Reply]]"]


@frozen
class ScriptRule:
    """Answers for the prompts that match. Sample i gets answer i, cyclically."""

    matches: Callable[[str], bool]
    answers: tuple[Reply, ...]


class Scripted:
    """A backend that gives prepared answers.

    `script` has one of three forms. A sequence of replies is given out in the order of the
    requests. Rules are `(pattern, reply)` or `(pattern, [replies])`; the first one whose pattern is
    in the prompt answers. A callable (sync or async) maps the request to one reply, or to one per
    sample. A reply is a text, an Answer, or a ModelFailure to raise. `requests` keeps all requests.
    """

    price: Price | None = None

    def __init__(self, script: Respond | Sequence[Any], *, name: str | None = None) -> None:
        self.endpoint = f"scripted:{name or 'anonymous'}"
        self.capabilities = Capabilities(
            json_schema=True, logprobs=True, multiple_samples=True, adapters=True, seed=True,
            local=True, cacheable=name is not None, continues=True, media=KINDS,
        )  # fmt: skip
        self.requests: MutableSequence[Request] = []
        self._respond = script if callable(script) else _respond_from(script)

    @classmethod
    def from_file(cls, path: Path) -> Scripted:
        """Read a script: a JSON list of answers, or {"rules": [{"match", "answer(s)"}], "default"}.

        `match` is a regular expression. Raises: LmcError[unknown-model, script-invalid].
        """
        text = _read(path)
        try:
            script = _script_from_json(json.loads(text))
        except (ValueError, TypeError, AttributeError, RecursionError, re.error) as e:
            raise LmcError.of("script-invalid", f"{path} is not a script: {e}") from None
        # A list is given out in order. Its answers do not depend on the request: no caching.
        by_rule = bool(script) and isinstance(script[0], ScriptRule)
        name = hashlib.sha256(text.encode()).hexdigest()[:16] if by_rule else None
        scripted = cls(script, name=name)
        scripted.requests = deque(maxlen=0)  # a program in use keeps no requests
        return scripted

    async def generate(self, request: Request) -> Sequence[Answer]:
        """Reply from the script. Raises: ModelFailure, as scripted or `script_end`."""
        self.requests.append(request)
        replies = self._respond(request)
        if inspect.isawaitable(replies):
            replies = await replies
        if isinstance(replies, str | Answer | ModelFailure):
            replies = [replies] * request.n
        if len(replies) != request.n:
            raise _script_end(f"the script gave {len(replies)} answers for {request.n} samples")
        answers = [_answer(request, reply, i) for i, reply in enumerate(replies)]
        if request.on_text is not None and request.n == 1:
            for word in re.findall(r"\s*\S+|\s+$", answers[0].text):
                request.on_text(word)
        return answers

    async def close(self) -> None:
        """Nothing to release."""


def prompt_text(request: Request) -> str:
    """All messages as one text, in which the patterns of rules are searched."""
    return "\n".join(message["content"] for message in request.messages)


def _respond_from(script: Sequence[Any]) -> Respond:
    if script and all(isinstance(item, ScriptRule | tuple) for item in script):
        return _by_rule([item if isinstance(item, ScriptRule) else _rule(*item) for item in script])
    return _by_order(iter(script))


def _rule(pattern: str | re.Pattern[str], answers: Any) -> ScriptRule:
    many = answers if isinstance(answers, list | tuple) else (answers,)
    found = re.compile(pattern, re.DOTALL).search
    return ScriptRule(lambda prompt: found(prompt) is not None, tuple(many))


def _by_order(replies: Iterator[Reply]) -> Respond:
    def respond(request: Request) -> Sequence[Reply]:
        taken = [reply for _, reply in zip(range(request.n), replies)]
        if len(taken) < request.n:
            raise _script_end("the script has no more answers")
        return taken

    return respond


def _by_rule(rules: Sequence[ScriptRule]) -> Respond:
    def respond(request: Request) -> Sequence[Reply]:
        prompt = prompt_text(request)
        for rule in rules:
            if rule.matches(prompt):
                places = range(request.index, request.index + request.n)
                return [rule.answers[i % len(rule.answers)] for i in places]
        raise _script_end(f"no rule of the script matches the prompt that ends {prompt[-80:]!r}")

    return respond


def _answer(request: Request, reply: Reply, place: int) -> Answer:
    if isinstance(reply, ModelFailure):
        raise reply
    if isinstance(reply, Answer):
        return reply
    # Words count as tokens, so that budgets and reports have figures.
    prompt_tokens = len(prompt_text(request).split()) if place == 0 else 0
    return Answer(reply, prompt_tokens, len(reply.split()))


def _script_end(message: str) -> ModelFailure:
    hint = "add an answer or a rule to the script"
    return ModelFailure("script_end", message, retryable=False, hint=hint)


def _read(path: Path) -> str:
    try:
        return read_text(path)
    except OSError as e:
        reason = e.strerror or str(e)
        raise LmcError.of("unknown-model", f"cannot read the script {path}: {reason}") from None
    except UnicodeDecodeError as e:
        raise LmcError.of("script-invalid", f"{path} is not a script: {e}") from None


def _script_from_json(data: Any) -> list[Any]:
    if isinstance(data, list):
        return [_as_text(item) for item in data]
    if "rules" not in data:
        raise ValueError('it is neither a list of answers nor {"rules": […], "default": …}')
    rules = [_rule_from_json(rule) for rule in data["rules"]]
    if "default" in data:
        rules.append(_rule("", _as_text(data["default"])))
    return rules


def _rule_from_json(rule: Mapping[str, Any]) -> ScriptRule:
    answers = rule["answers"] if "answers" in rule else [rule.get("answer")]
    if not answers or answers == [None] or "match" not in rule:
        raise ValueError("a rule has no `match` or no answer")
    pattern = Pattern(rule["match"], whole=False, across_lines=True)  # the file may be hostile
    return ScriptRule(pattern.matches, tuple(_as_text(answer) for answer in answers))


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
