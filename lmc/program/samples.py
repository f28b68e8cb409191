"""Made-up values of a type, which show where an input stands in a prompt."""

from __future__ import annotations

from typing import Any

from lmc.types import (
    BoolType,
    DictType,
    EnumType,
    FloatType,
    IntType,
    ListType,
    LiteralType,
    MediaType,
    OptionalType,
    RecordType,
    StrType,
    Type,
    UnionType,
    WrittenType,
    is_messages,
)
from lmc.written import EXAMPLES

_MOST_ITEMS = 3
_DEEPEST = 3  # of records in records, which may hold themselves
_MIME = {"image": "image/png", "audio": "audio/wav", "pdf": "application/pdf", "media": "image/png"}


def sample(type: Type, name: str, depth: int = 0) -> Any:
    """A made-up value of a type; a text says which input it stands for."""
    if is_messages(type):
        return [{"role": "user", "content": f"‹{name}›"}]
    match type:
        case StrType():
            return _text(type, name)
        case IntType(low, high) | FloatType(low, high):
            whole = isinstance(type, IntType)
            value = low if low is not None else min(0, high) if high is not None else 0
            return int(value) if whole else float(value)
        case BoolType():
            return True
        case WrittenType(kind, low, high):
            return low or high or EXAMPLES[kind]
        case LiteralType(values=(first, *_)) | EnumType(variants=(first, *_)):
            return first
        case OptionalType(item):
            return None if depth >= _DEEPEST else sample(item, name, depth + 1)
        case UnionType(options=(first, *_)):
            return sample(first, name, depth)
        case ListType(item, low):
            count = min(low or 1, _MOST_ITEMS) if depth < _DEEPEST else 0
            return [sample(item, f"{name} {i + 1}", depth + 1) for i in range(count)]
        case DictType(item):
            return {name: sample(item, name, depth + 1)}
        case RecordType(fields=fields):
            return {f.name: sample(f.type, f"{name}.{f.name}", depth + 1) for f in fields}
        case MediaType(kind):
            return {"media": _MIME[kind], "sha256": "0" * 64, "bytes": 1}
    return f"‹{name}›"


def _text(type: StrType, name: str) -> str:
    text = f"‹{name}›"
    if type.min_len is not None and len(text) < type.min_len:
        text += "…" * min(type.min_len - len(text), 200)
    return text[: type.max_len] if type.max_len is not None else text
