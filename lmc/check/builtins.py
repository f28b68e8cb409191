"""The built-in pure functions: one table of signatures, results and meanings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from lmc import types
from lmc.check import moments
from lmc.check.subtyping import (
    MOST_COUNT,
    forget,
    is_number,
    is_subtype,
    is_text,
    is_written,
    join,
    optional,
    required,
)
from lmc.frozen import frozen
from lmc.media.content import KINDS as KINDS_OF_FILES
from lmc.types import Type
from lmc.written import KINDS, Kind

# The types of the arguments in order of the parameters; None for one that is left out.
Given = Sequence[Type | None]


@frozen
class BuiltinParam:
    """A parameter. `wants` describes the types that `accepts` allows. A selector is a `.field`."""

    name: str
    wants: str
    accepts: Callable[[Type], bool]
    required: bool = True
    selector: bool = False


@frozen
class BuiltinFunction:
    """A built-in. A variadic one repeats its last parameter."""

    name: str
    params: tuple[BuiltinParam, ...]
    result: Callable[[Given], Type]
    meaning: str
    variadic: bool = False


def _is_list(type: Type) -> bool:
    return isinstance(type, types.ListType | types.ErrorType)


def _is_list_of(test: Callable[[Type], bool]) -> Callable[[Type], bool]:
    def accepts(type: Type) -> bool:
        return isinstance(type, types.ErrorType) or (
            isinstance(type, types.ListType)
            and (isinstance(type.item, types.NeverType) or test(type.item))
        )

    return accepts


def _is_sized(type: Type) -> bool:
    return is_text(type) or isinstance(type, types.ListType | types.DictType | types.JsonType)


def _is_bool(type: Type) -> bool:
    return isinstance(type, types.BoolType | types.ErrorType)


def _is_int(type: Type) -> bool:
    return isinstance(type, types.IntType | types.ErrorType)


def _is_files(type: Type) -> bool:
    return is_subtype(type, types.MEDIA) or is_subtype(type, types.ListType(types.MEDIA))


def _is_ordered(type: Type) -> bool:
    return is_number(type) or is_text(type) or is_written(type)


def _is_amount(type: Type) -> bool:
    return is_number(type) or is_written(type, "decimal")


def _is_numeric_text(type: Type) -> bool:
    return _is_amount(type) or is_text(type) or isinstance(type, types.BoolType | types.JsonType)


def _is_comparable(type: Type) -> bool:
    return _is_ordered(type) or _is_list_of(_is_ordered)(type)


def _anything(type: Type) -> bool:
    return True


_TEXT = BuiltinParam("text", "a string", is_text)
_LIST = BuiltinParam("xs", "a list", _is_list)
_DICT = BuiltinParam("d", "a dict", lambda type: isinstance(type, types.DictType | types.ErrorType))
_BOOLS = BuiltinParam("xs", "a list of bools", _is_list_of(_is_bool))
_NUMBERS = BuiltinParam("xs", "a list of numbers", _is_list_of(_is_amount))
_NUMBER = BuiltinParam("x", "a number", _is_amount)
_COMPARABLE = BuiltinParam("x", "numbers, strings or dates, or one list of them", _is_comparable)
_PARSED = BuiltinParam("x", "a string, number or bool", _is_numeric_text)
_FIELD = BuiltinParam("by", "a field, written `.name`", _anything, required=False, selector=True)
_KEY = BuiltinParam(
    "by",
    "a number, string or date field, written `.name`",
    _is_ordered,
    required=False,
    selector=True,
)
_FLAG = BuiltinParam("by", "a bool field, written `.name`", _is_bool, required=False, selector=True)


def _item(type: Type | None) -> Type:
    return type.item if isinstance(type, types.ListType) else types.ErrorType()


def _always(type: Type) -> Callable[[Given], Type]:
    return lambda given: type


def _unique(given: Given) -> Type:
    xs = given[0]
    if not isinstance(xs, types.ListType):
        return types.ListType(types.ERROR, unique=True)
    return types.ListType(xs.item, 1 if xs.min_len else None, xs.max_len, unique=True)


def _same_list(given: Given) -> Type:
    """A list with the items of another in another order."""
    return given[0] if isinstance(given[0], types.ListType) else types.ListType(types.ERROR)


def _one_of_items(xs: Type | None) -> Type:
    """An item of a list: none if the list may be empty."""
    if isinstance(xs, types.ListType) and xs.min_len:
        return xs.item
    return optional(_item(xs))


def _keys(given: Given) -> Type:
    return types.ListType(types.STR, unique=True)


def _values(given: Given) -> Type:
    return types.ListType(given[0].item if isinstance(given[0], types.DictType) else types.ERROR)


def _is_unique(type: Type | None) -> bool:
    return isinstance(type, types.ListType) and type.unique


def _sum(given: Given) -> Type:
    item = _item(given[0])
    if is_written(item):
        return types.DECIMAL
    return types.FLOAT if isinstance(item, types.FloatType) else types.INT


def _extreme(given: Given) -> Type:
    """The result for one argument. Several are joined when the call is checked."""
    only = given[0] or types.INT
    return _one_of_items(only) if isinstance(only, types.ListType) else forget(only)


def _abs(given: Given) -> Type:
    return forget(given[0] or types.INT)


def _round(given: Given) -> Type:
    if is_written(given[0] or types.INT):
        return types.INT if given[1] is None else types.DECIMAL
    return types.INT if given[1] is None else types.FLOAT


def _made(kind: Kind) -> BuiltinFunction:
    """The function of a date and the like: `date("2026-01-31")`, `date(text)`."""
    param = BuiltinParam("x", moments.TAKES[kind], partial(moments.takes, kind))
    meaning = f"a constant {kind}; the {kind} that a string gives, or none; or that of a value"
    return BuiltinFunction(
        kind, (param,), lambda given: moments.made(kind, given[0] or types.STR), meaning
    )


def _filtered(given: Given) -> Type:
    item = _item(given[0])
    if given[1] is None:
        item = types.NEVER if isinstance(item, types.NoneType) else required(item)
    return types.ListType(item, unique=_is_unique(given[0]))


def _found(given: Given) -> Type:
    """A list of what was found, with the bound of the list or of a constant count."""
    xs, count = given[0], given[2]
    held = xs.max_len if isinstance(xs, types.ListType) else None
    asked = DEFAULT_FOUND if count is None else None
    if isinstance(count, types.IntType) and count.high is not None:
        asked = max(0, count.high)
    bounds = [bound for bound in (held, asked) if bound is not None]
    return types.ListType(_item(xs), None, min(bounds, default=None))


def _range(given: Given) -> Type:
    """The ints of a range; as many as constant ends and a constant step say."""
    start, stop = (types.IntType(0, 0), given[0]) if given[1] is None else given[:2]
    if not isinstance(start, types.IntType) or not isinstance(stop, types.IntType):
        return types.ListType(types.INT)
    by = _constant_step(given[2])
    if by is None:
        return types.ListType(types.INT)
    most = None if stop.high is None or start.low is None else _steps(stop.high - start.low, by)
    least = None if stop.low is None or start.high is None else _steps(stop.low - start.high, by)
    last = None if stop.high is None else stop.high - 1
    if most == 0:
        return types.ListType(types.INT, 0, 0)
    return types.ListType(types.IntType(start.low, last), least, most)


def _constant_step(step: Type | None) -> int | None:
    """The step upwards that a type tells, if it does."""
    if step is None:
        return 1
    match step:
        case types.IntType(int(low), int(high)) if low == high > 0:
            return low
    return None


def _steps(length: int, step: int) -> int:
    """How many steps begin within a length."""
    return max(0, -(-length // step))


def _flattened(given: Given) -> Type:
    outer, inner = given[0], _item(given[0])
    if not isinstance(outer, types.ListType) or not isinstance(inner, types.ListType):
        return types.ListType(inner)
    bounded = outer.max_len is not None and inner.max_len is not None
    most = outer.max_len * inner.max_len if bounded else None  # type: ignore[operator]
    return types.ListType(inner.item, None, most if most is None or most <= MOST_COUNT else None)


def _grouped(given: Given) -> Type:
    """Records with the common value, and the items that have it."""
    whole, key = given[0], given[1] or types.ERROR
    if not isinstance(whole, types.ListType):
        return types.ERROR
    items = types.ListType(whole.item, 1, whole.max_len)
    group = types.RecordType("Group", (types.Field("key", key), types.Field("items", items)))
    return types.ListType(group, 1 if whole.min_len else None, whole.max_len)


DEFAULT_FOUND = 3
_QUERY = BuiltinParam("query", "a string", is_text)
_HOW_MANY = BuiltinParam("count", "an int", _is_int, required=False)
MOST_RANGE = 100_000  # ints of a `range`
_OLD = BuiltinParam("old", "a string", is_text)
_NEW = BuiltinParam("new", "a string", is_text)
_PATTERN = BuiltinParam("pattern", "a pattern", is_text)
_LANGUAGE = BuiltinParam("language", "a string", is_text, required=False)
_GROUP_KEY = BuiltinParam("by", "a field, written `.name`", _anything, selector=True)
_STOP = BuiltinParam("stop", "an int", _is_int, required=False)
_STEP = BuiltinParam("step", "an int", _is_int, required=False)
_DIGITS = BuiltinParam("digits", "an int", _is_int, required=False)
_SEPARATOR = BuiltinParam("separator", "a string", is_text, required=False)
_DESCENDING = BuiltinParam("descending", "a bool", _is_bool, required=False)
_VALUE = BuiltinParam("value", "a value", _anything, required=False)

_FUNCTIONS = (
    BuiltinFunction(
        "len",
        (BuiltinParam("x", "a string, list or dict", _is_sized),),
        _always(types.INT),
        "number of characters, items or keys",
    ),
    BuiltinFunction(
        "str",
        (BuiltinParam("x", "a value", _anything),),
        _always(types.STR),
        "a string unchanged; a number, bool or enum as written in a program; the rest as JSON",
    ),
    BuiltinFunction(
        "int",
        (_PARSED,),
        _always(types.INT),
        "the number in a string, or a number truncated to an int",
    ),
    BuiltinFunction(
        "float", (_PARSED,), _always(types.FLOAT), "the number in a string, or a number as float"
    ),
    BuiltinFunction(
        "join",
        (BuiltinParam("xs", "a list of strings", _is_list_of(is_text)), _SEPARATOR),
        _always(types.STR),
        'the strings joined by the separator (default "")',
    ),
    BuiltinFunction(
        "split",
        (_TEXT, _SEPARATOR),
        _always(types.ListType(types.STR)),
        "the parts between separators; without a separator, the words",
    ),
    BuiltinFunction(
        "range",
        (BuiltinParam("start", "an int", _is_int), _STOP, _STEP),
        _range,
        "the ints from `start` (0 if only one is given) to before `stop`, 100,000 at most; "
        "every `step`-th of them",
    ),
    BuiltinFunction(
        "flatten",
        (BuiltinParam("xs", "a list of lists", _is_list_of(_is_list)),),
        _flattened,
        "the items of all lists of a list, in order",
    ),
    BuiltinFunction(
        "group_by",
        (_LIST, _GROUP_KEY),
        _grouped,
        "records with a `key` and the `items` whose field has it, in the order of first items",
    ),
    BuiltinFunction("upper", (_TEXT,), _always(types.STR), "the text in upper case"),
    BuiltinFunction(
        "replace",
        (_TEXT, _OLD, _NEW),
        _always(types.STR),
        "the text with `new` wherever it has `old`; unchanged if `old` is empty",
    ),
    BuiltinFunction(
        "matches",
        (_TEXT, _PATTERN),
        _always(types.BOOL),
        "whether a pattern, which is a constant, matches all of the text",
    ),
    BuiltinFunction(
        "code",
        (_TEXT, _LANGUAGE),
        _always(types.STR),
        "the code in the first fenced block, of this language if there is one; without a block,"
        " the text",
    ),
    BuiltinFunction("lower", (_TEXT,), _always(types.STR), "the text in lower case"),
    BuiltinFunction(
        "strip",
        (_TEXT, BuiltinParam("characters", "a string", is_text, required=False)),
        _always(types.STR),
        "the text without white space, or without these characters, at both ends",
    ),
    BuiltinFunction(
        "first",
        (_LIST,),
        lambda given: _one_of_items(given[0]),
        "the first item, or none if empty",
    ),
    BuiltinFunction("any", (_BOOLS,), _always(types.BOOL), "whether at least one item is true"),
    BuiltinFunction("all", (_BOOLS,), _always(types.BOOL), "whether all items are true"),
    BuiltinFunction("sum", (_NUMBERS,), _sum, "the sum, 0 if empty"),
    BuiltinFunction(
        "min",
        (_COMPARABLE,),
        _extreme,
        "the least argument, or the least item of a single list (none if empty)",
        True,
    ),
    BuiltinFunction(
        "max",
        (_COMPARABLE,),
        _extreme,
        "the greatest argument, or the greatest item of a single list (none if empty)",
        True,
    ),
    BuiltinFunction("abs", (_NUMBER,), _abs, "the absolute value"),
    BuiltinFunction(
        "round",
        (_NUMBER, _DIGITS),
        _round,
        "the nearest int (half to even), or the number rounded to `digits` digits",
    ),
    BuiltinFunction("keys", (_DICT,), _keys, "the keys of a dict, in their order"),
    BuiltinFunction("values", (_DICT,), _values, "the values of a dict, in the order of its keys"),
    BuiltinFunction(
        "find",
        (_LIST, _QUERY, _HOW_MANY),
        _found,
        f"the `count` items (default {DEFAULT_FOUND}) most like the query, the most alike first;"
        " they are compared by words, or as their store says",
    ),
    BuiltinFunction(
        "unique",
        (_LIST, _FIELD),
        _unique,
        "the items without repetitions, compared as a whole or by a field",
    ),
    BuiltinFunction(
        "sort_by",
        (BuiltinParam("xs", "a list", _is_list), _KEY, _DESCENDING),
        _same_list,
        "the items sorted by a field or by themselves; equal items keep their order",
    ),
    BuiltinFunction(
        "filter",
        (_LIST, _FLAG),
        _filtered,
        "the items whose bool field is true; without a field, those that are not none",
    ),
    BuiltinFunction(
        "count",
        (_LIST, _VALUE),
        _always(types.INT),
        "the number of items equal to the value; without a value, of those that are true",
    ),
    *map(_made, KINDS),
)
TURNS = ("user", "assistant", "system")  # functions that make a turn of a conversation
_TURNS = tuple(
    BuiltinFunction(
        role,
        (_TEXT, BuiltinParam("files", "media, or a list of them", _is_files, required=False)),
        _always(types.MESSAGE),
        f"a turn of the {role}" if role != "system" else "an instruction inside a conversation",
    )
    for role in TURNS
)
FUNCTIONS = {f.name: f for f in (*_FUNCTIONS, *_TURNS)}


def turn(role: str, content: str, files: Any = ()) -> dict[str, Any]:
    """The value of a turn; `files` may be a single one."""
    several = [files] if isinstance(files, dict) else list(files)
    whole = {"role": role, "content": content, "files": several, "tool": None}
    return {**whole, "calls": [], "call": None}


# `zip(xs, ys, …)` walks through lists in parallel, to the end of the shortest, and `enumerate(xs)`
# through a list with the number of each item. They are allowed only after the `in` of a
# comprehension, because the language has no tuples.
WALKS = ("zip", "enumerate")
CERTAINTIES = ("certainty", "logprob")  # of the answer that a module gave
OF_ANSWERS = (*CERTAINTIES, "turns")  # `turns(x)` is what an agent did for its answer
# `image("cat.png")` is a file beside the program.
NAMES = (*FUNCTIONS, *WALKS, *OF_ANSWERS, *KINDS_OF_FILES, *types.BUILTIN_RECORDS)


def named(name: str) -> str | types.RecordType | None:
    """The built-in record of that name, or the name itself for a built-in function; else None."""
    return types.BUILTIN_RECORDS.get(name) or (name if name in NAMES else None)


def check_count(given: Given) -> str | None:
    """What `count` needs instead of these types, in words. None if they fit."""
    item, value = _item(given[0]), given[1]
    if value is None:
        return None if _is_list_of(_is_bool)(given[0] or types.BOOL) else "a list of bools"
    alike = isinstance(item, types.NeverType | types.OptionalType) or join(
        forget(item), forget(value)
    )
    return None if alike or is_subtype(value, item) else f"a value of `{item}`"
