"""Signature help: the parameters of the call that is being written."""

from __future__ import annotations

from lmc.check.optimizers import SIGNATURES
from lmc.editor.cursor import cursor_at, open_call
from lmc.editor.describing import Heading, builtin_head, head_of, optimizer_head
from lmc.editor.inspected import Inspected
from lmc.frozen import frozen


@frozen
class Asked:
    """A head, and the index of the parameter that is being written; None where there is none."""

    head: Heading
    active: int | None


def signature_at(seen: Inspected, offset: int) -> Asked | None:
    """The call around an offset of the entry file."""
    cursor = cursor_at(seen.source, offset)
    if cursor.in_comment or cursor.open_text is not None:
        return None
    call = open_call(cursor)
    head = _head(seen, call.name.text, cursor.code[0].kind) if call is not None else None
    if call is None or head is None:
        return None
    names = [parameter.name for parameter in head.parameters]
    if call.named:
        return Asked(head, names.index(call.named) if call.named in names else None)
    last = len(names) - 1
    number = min(call.number, last) if head.repeats else call.number
    return Asked(head, number if 0 <= number <= last else None)


def _head(seen: Inspected, name: str, first: str) -> Heading | None:
    declared = seen.inspection.files[-1].names.get(name)
    if declared is not None:
        return head_of(declared.decl)
    if first == "OPTIMIZE" and name in SIGNATURES:
        return optimizer_head(SIGNATURES[name])
    return builtin_head(name)
