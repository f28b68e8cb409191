"""The names of a program's parts in Python.

One rule for all of them: a part has the same name in Python, unless Python has taken it. Then `_`
is appended (`class_`), and another `_` while that is the name of another part.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from keyword import iskeyword

from lmc.ir.graph import Port
from lmc.types import EnumType, RecordType

Taken = Callable[[str], bool]


def python_names(names: Iterable[str], taken: Taken = iskeyword) -> dict[str, str]:
    """The Python name of each name. No two are the same.

    `taken` tells which names Python itself needs. By default those are the keywords.
    """
    own = list(names)
    return dict(zip(own, distinct_names(own, taken)))


def distinct_names(names: Sequence[str], taken: Taken = iskeyword) -> list[str]:
    """The same in order, for names of which some may be equal."""
    used = {name for name in names if _plain(name) == name and not taken(name)}
    kept = set(used)
    found = []
    for name in names:
        free = name
        if name in kept:
            kept.remove(name)
        else:
            free = _plain(name) + "_"
            while free in used or taken(free):
                free += "_"
            used.add(free)
        found.append(free)
    return found


def _plain(name: str) -> str:
    """A name as Python can write it. Columns of data, unlike names of programs, may be any text."""
    word = re.sub(r"\W", "_", name, flags=re.ASCII).lstrip("_") or "field"
    return f"n{word}" if word[0].isdigit() else word


def renamed(names: Mapping[str, str]) -> dict[str, str]:
    """The parts that have another name in Python, by that name."""
    return {python: name for name, python in names.items() if python != name}


def input_names(ports: Iterable[Port]) -> dict[str, str]:
    """The keywords of the inputs of a module or pipeline, and of the function of a tool."""
    return python_names(port.name for port in ports)


def field_names(type: RecordType) -> dict[str, str]:
    """The attributes of a record. Pydantic needs its own `model_` methods."""
    return python_names((field.name for field in type.fields), _no_field)


def variant_names(type: EnumType) -> dict[str, str]:
    """The members of an enum. `Enum` refuses `mro`."""
    return python_names(type.variants, lambda name: name == "mro" or iskeyword(name))


def stub_module(stem: str) -> str:
    """The module name of the stubs of a file. It hides no module of the standard library."""
    word = re.sub(r"\W", "_", stem)
    word = word if word.isidentifier() else f"_{word}"
    return f"{word}_" if iskeyword(word) or word in sys.stdlib_module_names else word


@cache
def names_of_models() -> frozenset[str]:
    """The names of the attributes that every pydantic model has."""
    from pydantic import BaseModel

    return frozenset(dir(BaseModel))


def _no_field(name: str) -> bool:
    return iskeyword(name) or (name.startswith("model_") and name in names_of_models())
