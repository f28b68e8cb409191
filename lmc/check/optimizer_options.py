"""What an option of an optimizer is, and how a call of an optimizer is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from lmc.frozen import frozen
from lmc.syntax.literals import quote
from lmc.types import LiteralType, Type


@frozen
class Option:
    """An option of an optimizer; where it is optional, a default of None means "not given"."""

    type: Type
    default: Any
    about: str  # one line, with units
    names: Literal["target", "module", "metric", "dataset"] | None = None  # what a name may name

    @property
    def shown(self) -> str:
        """The type in a table. What a choice is among stands in `about`."""
        return "str" if isinstance(self.type, LiteralType) else str(self.type)


@frozen
class OptimizerSignature:
    """An optimizer's name, its options in the order of positional arguments, and other names."""

    name: str
    options: Mapping[str, Option] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All names by which a step may call it."""
        return self.name, *self.aliases

    def complete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The value of every option: what is given, else the default."""
        return {name: option.default for name, option in self.options.items()} | dict(given)

    @property
    def call(self) -> str:
        """A call that says every default, as a program writes it; what is not given is left out."""
        return call_text(self.name, {k: v for k, v in self.complete({}).items() if v is not None})


def call_text(name: str, options: Mapping[str, Any]) -> str:
    """A call as a program writes it: `ablate(drop=false)`."""
    written = (f"{key}={literal(value)}" for key, value in options.items())
    return f"{name}({', '.join(written)})"


def literal(value: str | float | bool | None) -> str:
    """The value of an option as a program writes it."""
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case str():
            return quote(value)
    return repr(value)
