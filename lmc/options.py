"""Collects keyword options in one frozen value, and refuses a misspelt option by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any, Concatenate, ParamSpec, TypeVar

from lmc.diagnostics import LmcError, error, suggestion

P = ParamSpec("P")
Options = TypeVar("Options")
Subject = TypeVar("Subject")
Result = TypeVar("Result")


class UnknownOption(LmcError, TypeError):
    """An unknown keyword of a function of lmc. It is also a TypeError, as in Python."""


def takes(
    options: Callable[P, Options],
) -> Callable[[Callable[[Subject, Options], Result]], Callable[Concatenate[Subject, P], Result]]:
    """Let callers pass options as keywords, and give the function one frozen value.

    Type checkers and editors see the fields of the dataclass `options` as keyword parameters.
    A call raises UnknownOption for a keyword that is not a field, and suggests a similar one.
    """
    names = [field.name for field in fields(options)]  # type: ignore[arg-type]

    def decorate(
        function: Callable[[Subject, Options], Result],
    ) -> Callable[Concatenate[Subject, P], Result]:
        @wraps(function)
        def call(subject: Subject, /, *args: P.args, **given: P.kwargs) -> Result:
            require_known(function.__name__, names, given)
            return function(subject, options(*args, **given))

        call.__signature__ = _signature(function, options)  # type: ignore[attr-defined]
        return call

    return decorate


def _signature(function: Callable[..., Any], options: Callable[..., Any]) -> Signature:
    """The parameters that `help` and notebooks show: the subject, then the options."""
    whole = signature(function)
    subject = next(iter(whole.parameters.values())).replace(kind=Parameter.POSITIONAL_ONLY)
    return whole.replace(parameters=[subject, *signature(options).parameters.values()])


def require_known(function: str, names: Iterable[str], given: Iterable[str]) -> None:
    """Refuse keywords that are not in `names`. Raises: UnknownOption."""
    known = list(names)
    wrong = [name for name in given if name not in known]
    if wrong:
        raise UnknownOption(*(_unknown(function, name, known) for name in wrong))


def _unknown(function: str, name: str, known: list[str]) -> Any:
    help = suggestion(name, known, f"it takes {', '.join(known)}")
    return error("unknown-option", f"`{function}` has no option `{name}`", help=help)
