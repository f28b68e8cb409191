"""Constrained decoding with llguidance: allow only tokens that keep to a JSON Schema.

Whitespace between JSON tokens is fixed. Otherwise small models write newlines until the limit.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch

_SPACING: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def available() -> bool:
    """Whether the library is installed."""
    return importlib.util.find_spec("llguidance") is not None


class BadSchema(Exception):
    """A schema that the library cannot enforce. The message says why."""


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
    """Compiles schemas to grammars over one tokenizer, each once."""

    def __init__(self, tokenizer: Any, vocabulary: int) -> None:
        from llguidance import hf

        self.vocabulary = vocabulary
        self._tokenizer = hf.from_tokenizer(tokenizer, n_vocab=vocabulary)
        self._grammars: dict[str, str] = {}

    def constraint(self, schema: Mapping[str, Any]) -> Constraint:
        """The constraint at the start of an answer. Raises: BadSchema."""
        from llguidance import LLMatcher

        key = json.dumps(schema)  # in its own order, in which properties are written
        if key not in self._grammars:
            grammar = LLMatcher.grammar_from_json_schema(key, overrides=_SPACING)
            problem, messages = LLMatcher.validate_grammar_with_warnings(grammar, self._tokenizer)
            if problem:
                raise BadSchema("; ".join(messages))
            self._grammars[key] = grammar
        return Constraint(LLMatcher(self._tokenizer, self._grammars[key]))

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
