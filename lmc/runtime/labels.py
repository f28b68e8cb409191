"""Labels that are known at run time: what `one_of(options)` allows in one call."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar

from lmc.diagnostics import LmcError
from lmc.prompts.spec import CallSpec
from lmc.source import Span
from lmc.types import LiteralType, OneOfType, Type, parts, rebuilt
from lmc.values import InvalidValue

MOST_KEPT = 16  # lists of labels per module whose grammars and schemas are kept
# Of an enum in a schema, as OpenAI bounds it. Larger ones are validated, and grammars enforce them.
MOST_IN_SCHEMA, MOST_UNCOUNTED, MOST_CHARS = 1000, 250, 15_000
T = TypeVar("T")


class LastUsed(Generic[T]):
    """What was made last for some keys."""

    def __init__(self) -> None:
        self._made: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What was made for a key, or is made now."""
        if key not in self._made:
            self._made[key] = make()
            if len(self._made) > MOST_KEPT:
                self._made.popitem(last=False)
        self._made.move_to_end(key)
        return self._made[key]

    def clear(self) -> None:
        """Forget all."""
        self._made.clear()


def sources_of_labels(type: Type) -> tuple[str, ...]:
    """The parameters that hold labels of a type, each once."""
    names = (part.options for part in parts(type) if isinstance(part, OneOfType))
    return tuple(dict.fromkeys(names))


def require_label(type: Type, value: Any, inputs: Mapping[str, Any], span: Span | None) -> None:
    """Raises: LmcError[out-of-range] if a value has a text that is none of the labels of a call."""
    literals = {name: LiteralType(tuple(inputs[name])) for name in sources_of_labels(type)}
    if not literals or not all(literal.values for literal in literals.values()):
        return  # without labels, the call of the model says so
    try:
        validator_of(_told(type, literals))(type, value)
    except InvalidValue as problem:
        message = f"the draft does not fit `{type}`: {problem}"
        raise LmcError.of("out-of-range", message, span) from None


def with_labels(spec: CallSpec, labels: Mapping[str, tuple[str, ...]]) -> CallSpec:
    """A signature whose answers have the labels of one call."""
    literals = {name: LiteralType(values) for name, values in labels.items()}
    outputs = tuple(replace(f, type=_told(f.type, literals)) for f in spec.outputs)
    return replace(spec, outputs=outputs, result=_told(spec.result, literals))


def _told(type: Type, literals: Mapping[str, LiteralType]) -> Type:
    return rebuilt(type, lambda p: literals[p.options] if isinstance(p, OneOfType) else p)


def validator_of(type: Type) -> Callable[[Type, Any], Any]:
    """What validates the answers of one call. Those of a program's own types are kept for good."""
    from lmc.values.validators import validator

    checked = validator(type, strict=False)
    return lambda _, value: checked(value)


def fit_schema(labels: Iterable[tuple[str, ...]]) -> bool:
    """Whether providers take labels as enums of a schema."""
    sizes = [(len(values), sum(map(len, values))) for values in labels]
    counted = [chars for count, chars in sizes if count > MOST_UNCOUNTED]
    total = sum(count for count, _ in sizes)
    return total <= MOST_IN_SCHEMA and all(chars <= MOST_CHARS for chars in counted)
