"""Constrained decoding with llguidance: allow only tokens that keep to a grammar or JSON Schema.

Whitespace between JSON tokens is fixed. Otherwise small models write newlines until the limit.
"""

from __future__ import annotations

import importlib.util
import json
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch

from lmc.models.base import Request
from lmc.models.engine.chat_tokens import knows_thoughts, opens_thoughts

_SPACING = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_KNOWN_GRAMMARS = 256  # whose compiled form is kept
# The thoughts of a reasoning model, which its layout leaves out of the answer.
_END = "<\\/(?:think|thinking)>"
_THOUGHTS = f"/(?s:.*)/ & ~/(?s:.*{_END}.*)/"
_OPENED = rf"""start: THOUGHTS answer
THOUGHTS: (TEXT "\n")? /{_END}\n{{1,4}}/
TEXT: {_THOUGHTS}
"""
_MAY_THINK = rf"""start: THOUGHTS? answer
THOUGHTS: /<think>/ TEXT /<\/think>\n{{0,4}}/ | /<thinking>/ TEXT /<\/thinking>\n{{0,4}}/
TEXT: {_THOUGHTS}
"""


def available() -> bool:
    """Whether the library is installed."""
    return importlib.util.find_spec("llguidance") is not None


class BadSchema(Exception):
    """A schema that the library cannot enforce. The message says why."""


def grammar_of(request: Request, tokenizer: Any, prompt: Sequence[int]) -> str | None:
    """What the answer to a prompt may be, in Lark form. None if the request does not say it.

    A model that writes thoughts may write a block of them first, and must end one that its prompt
    opened. `lmc.prompts.thinking` reads them.
    """
    if (grammar := request.grammar) is None:
        if request.schema is None:
            return None
        grammar = f"start: %json {json.dumps({**request.schema, 'x-guidance': _SPACING})}\n"
    if not knows_thoughts(tokenizer):
        return grammar
    thoughts = _OPENED if opens_thoughts(tokenizer, prompt) else _MAY_THINK
    return thoughts + grammar.replace("start:", "answer:", 1)


class Constraint:
    """The position of one answer in its grammar."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    @property
    def at_end(self) -> bool:
        """Whether no token may follow."""
        return bool(self._matcher.is_stopped())

    def copy(self) -> Constraint:
        """A copy for another answer at the same position."""
        return Constraint(self._matcher.deep_copy())

    def allows(self, token: int) -> bool:
        """Whether a token may be next."""
        return bool(self._matcher.validate_tokens([token]))

    def accept(self, token: int) -> None:
        """Advance by one token."""
        self._matcher.consume_token(token)

    def forced(self) -> list[int]:
        """The tokens up to the next choice, of which the grammar allows one each."""
        return [] if self.at_end else list(self._matcher.compute_ff_tokens())

    def fill(self, mask: Any, row: int) -> None:
        """Write the allowed next tokens into a row of a bit mask."""
        from llguidance.numpy import fill_next_token_bitmask

        fill_next_token_bitmask(self._matcher, mask, row)


class Grammars:
    """Compiles grammars over one tokenizer, each once."""

    def __init__(self, tokenizer: Any, vocabulary: int, ends: Collection[int]) -> None:
        from llguidance import hf

        self.vocabulary = vocabulary
        self._tokenizer = hf.from_tokenizer(tokenizer, n_vocab=vocabulary, eos_token=sorted(ends))
        self._at_start: OrderedDict[str, Constraint] = OrderedDict()

    def constraint(self, grammar: str) -> Constraint:
        """The constraint at the start of an answer. Raises: BadSchema."""
        if grammar not in self._at_start:
            self._at_start[grammar] = self._compiled(grammar)
            if len(self._at_start) > _KNOWN_GRAMMARS:
                self._at_start.popitem(last=False)
        self._at_start.move_to_end(grammar)
        return self._at_start[grammar].copy()

    def _compiled(self, text: str) -> Constraint:
        from llguidance import LLMatcher

        grammar = LLMatcher.grammar_from_lark(text)
        problem, messages = LLMatcher.validate_grammar_with_warnings(grammar, self._tokenizer)
        if problem:
            raise BadSchema("; ".join(messages))
        return Constraint(LLMatcher(self._tokenizer, grammar))

    def mask(self, logits: torch.Tensor, rows: Mapping[int, Constraint]) -> torch.Tensor:
        """Mask the logits (B, V) of the given rows to the tokens that their grammars allow."""
        import numpy as np

        places: Sequence[int] = list(rows)
        words = np.zeros((len(places), (self.vocabulary + 31) // 32), dtype=np.int32)
        for i, place in enumerate(places):
            rows[place].fill(words, i)
        bits = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")
        allowed = torch.from_numpy(bits[:, : logits.shape[-1]].astype(bool)).to(logits.device)
        logits[places] = logits[places].masked_fill(~allowed, float("-inf"))
        return logits
