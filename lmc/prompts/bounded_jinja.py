"""Jinja for the templates of programs: sandboxed, with bounds on work and output.

Each render may spend `MOST_WORK` units. One unit is a character or an item that a filter reads or
an operation makes. A turn of a loop costs `TURN_WORK` and a call costs `CALL_WORK`, in proportion
to their time. Unbounded filters that prompts do not need are left out (`REFUSED_FILTERS`).
Operations that enlarge a value are charged before they run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextvars import ContextVar
from functools import wraps
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from lmc.check.templates import REFUSED_FILTERS

MOST_WORK, TURN_WORK, CALL_WORK = 4_000_000, 4, 50
MOST_PROMPT_CHARS = 1_000_000  # of one message
MOST_RANGE = 10_000
MOST_INDENT, MOST_DIGITS = 100, 15
_TEXT_METHODS = frozenset(
    {
        "capitalize", "casefold", "count", "endswith", "find", "index", "isalnum", "isalpha",
        "isascii", "isdecimal", "isdigit", "isidentifier", "islower", "isnumeric", "isspace",
        "istitle", "isupper", "lower", "lstrip", "partition", "removeprefix", "removesuffix",
        "rfind", "rindex", "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith",
        "strip", "swapcase", "title", "upper",
    }
)  # fmt: skip

_left: ContextVar[list[int]] = ContextVar("left")


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """The environment of templates. Record fields hide dict methods; `show` writes values."""

    intercepted_binops = frozenset({"+", "*", "**", "%", "//", "/", "-"})

    def __init__(self, show: Callable[[Any], Any]) -> None:
        def written(value: Any) -> Any:
            text = show(value)
            spend(_size(text))
            return text

        super().__init__(undefined=StrictUndefined, finalize=written, optimized=False)
        kept = {k: f for k, f in self.filters.items() if k not in REFUSED_FILTERS}
        self.filters = {name: _charged(filter) for name, filter in (kept | _FILTERS).items()}
        self.globals = {"range": _range, "namespace": self.globals["namespace"]}

    def template(self, text: str) -> Template:
        """Compile a template. Raises: TemplateError."""
        return self.from_string(_Counting().visit(self.parse(text)))

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A field of a record, or an attribute of another object."""
        if not isinstance(obj, dict):
            return super().getattr(obj, attribute)
        return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """An item or a slice."""
        if isinstance(argument, slice):
            spend(_size(obj))
        return super().getitem(obj, argument)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Refuse methods that make long texts of short ones, and all methods of numbers."""
        if isinstance(obj, str):
            return attr in _TEXT_METHODS
        return not isinstance(obj, int | float | bytes) and super().is_safe_attribute(
            obj, attr, value
        )

    def call(self, context: Any, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a macro or a method."""
        spend(CALL_WORK + _size(getattr(obj, "__self__", "")))
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Compute with small numbers, or add texts or lists."""
        numbers = all(isinstance(v, int | float) and abs(v) < 1e9 for v in (left, right))
        if operator == "+" and not numbers:
            spend(_size(left) + _size(right))
        elif not numbers or operator == "**":
            raise SecurityError(f"`{operator}` works only on numbers below 10^9")
        return super().call_binop(context, operator, left, right)


def render(template: Template, names: dict[str, Any]) -> str:
    """Render a template. Raises: SecurityError above the bounds, other TemplateErrors."""
    token = _left.set([MOST_WORK])
    try:
        parts, length = [], 0
        for part in template.generate(names):
            parts.append(part)
            length += len(part)
            if length > MOST_PROMPT_CHARS:
                raise SecurityError(f"the text is longer than {MOST_PROMPT_CHARS} characters")
        return "".join(parts)
    finally:
        _left.reset(token)


def spend(units: int) -> None:
    """Spend units of work of this render. Raises: SecurityError if too few are left."""
    left = _left.get([MOST_WORK])
    left[0] -= units
    if left[0] < 0:
        raise SecurityError("it exceeds the work limit of a template")


class _Counting(NodeTransformer):
    """Adds code that counts the turns of loops and the characters of joined texts."""

    def visit_For(self, node: nodes.For) -> nodes.For:
        if node.recursive:
            raise TemplateSyntaxError("recursive loops are not allowed", node.lineno)
        self.generic_visit(node)
        node.iter = _filter(node.iter, "counted")
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:
        self.generic_visit(node)
        return _filter(nodes.List(list(node.nodes), lineno=node.lineno), "joined", node)


def _filter(inner: Any, name: str, place: Any = None) -> nodes.Filter:
    made = nodes.Filter(inner, name, [], [], None, None)
    made.set_lineno((place or inner).lineno, override=False)
    made.set_environment((place or inner).environment)
    return made


def _charged(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that counts its input, which may follow a context argument."""
    first = 1 if hasattr(function, "jinja_pass_arg") else 0

    @wraps(function)
    def charged(*args: Any, **kwargs: Any) -> Any:
        spend(1 + (_size(args[first]) if len(args) > first else 0))
        return function(*args, **kwargs)

    return charged


def _size(value: Any) -> int:
    return len(value) if isinstance(value, Sized) else 1


def _counted(items: Iterable[Any]) -> Any:
    if isinstance(items, dict | str):
        items = list(items)
    return _Turns(items) if isinstance(items, Sequence) else _turns(items)


class _Turns(Sequence[Any]):
    """A list that counts each item as it is read. `loop.length` still works."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place: Any) -> Any:
        return self.items[place]

    def __iter__(self) -> Iterator[Any]:
        return _turns(self.items)


def _turns(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        spend(TURN_WORK)
        yield item


def _joined(parts: Sequence[Any]) -> str:
    texts = [str(part) for part in parts]
    spend(sum(map(len, texts)))
    return "".join(texts)


def _join(items: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
    values = [item if attribute is None else item[attribute] for item in items]
    texts = [str(value) for value in values]
    spend(sum(map(len, texts)) + len(str(d)) * len(texts))
    return str(d).join(texts)


def _replace(text: Any, old: str, new: str, count: int | None = None) -> str:
    whole = str(text)
    times = whole.count(old) if count is None else min(count, whole.count(old))
    spend(len(whole) + times * len(new))
    return whole.replace(old, new, -1 if count is None else count)


def _round(number: float, precision: int = 0) -> float:
    if abs(precision) > MOST_DIGITS:
        raise SecurityError(f"at most {MOST_DIGITS} digits")
    return round(float(number), precision)


def _sum(items: Iterable[Any], attribute: str | None = None, start: float = 0) -> float:
    values: list[Any] = [item if attribute is None else item[attribute] for item in items]
    if not all(isinstance(value, int | float) for value in [*values, start]):
        raise SecurityError("`sum` adds numbers")
    total: float = sum(values, start)
    return total


def _range(*bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers) > MOST_RANGE:
        raise SecurityError(f"a range has at most {MOST_RANGE} numbers")
    return numbers


def _indent(text: str, width: int = 4, first: bool = False) -> str:
    if width > MOST_INDENT:
        raise SecurityError(f"at most {MOST_INDENT} spaces")
    lines = str(text).split("\n")
    spend(len(str(text)) + width * len(lines))
    rest = [" " * width + line if line else line for line in lines[1:]]
    return "\n".join([" " * width * first + lines[0], *rest])


def _tojson(value: Any, indent: int | None = None) -> str:
    from jinja2.utils import htmlsafe_json_dumps

    if indent is not None and indent > MOST_INDENT:
        raise SecurityError(f"at most {MOST_INDENT} spaces")
    text = str(htmlsafe_json_dumps(value, indent=indent))
    spend(len(text))
    return text


_FILTERS: dict[str, Callable[..., Any]] = {
    "counted": _counted, "joined": _joined, "join": _join, "replace": _replace, "round": _round,
    "sum": _sum, "indent": _indent, "tojson": _tojson,
}  # fmt: skip
