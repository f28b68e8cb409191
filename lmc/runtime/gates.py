"""Gates of adapters: for each input of a module, which of several LoRA adapters answers.

Each gate looks at the words of the input, so that the choice needs no model, is the same on every
engine and server, and is made before a request joins a batch. `route_adapters` trains gates.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from lmc.frozen import frozen
from lmc.ir.words import text_of, words


@frozen
class AdapterGate:
    """How likely it is that an adapter answers well: the logit is linear in the words that occur.

    Without an `adapter`, it is the gate of the model's own weights.
    """

    adapter: str | None
    bias: float
    words: Mapping[str, float]

    def logit(self, found: Collection[str]) -> float:
        """The logit for the different words of an input."""
        return self.bias + sum(self.words.get(word, 0.0) for word in found)


def words_in(inputs: Mapping[str, Any]) -> list[str]:
    """The different words of a module's inputs, sorted, so that sums do not depend on the run."""
    return sorted(set(words(text_of(inputs))))


def chosen_adapter(gates: Sequence[AdapterGate], inputs: Mapping[str, Any]) -> str | None:
    """The adapter whose gate is the most open. The first of equals is chosen."""
    found = words_in(inputs)
    return max(gates, key=lambda gate: gate.logit(found)).adapter
