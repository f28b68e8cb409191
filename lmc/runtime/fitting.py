"""`layout: "auto"`: ask a model a few rows in every layout, and take the one it does best.

The rows are the same for every program: a label, a number and a record. The cache keeps the
answers like all others, so a model is asked once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lmc.models.base import ModelFailure, Request, Sampling
from lmc.prompts.border import as_text
from lmc.prompts.layouts import LAYOUTS
from lmc.prompts.spec import BARE, CallSpec, FieldSpec, Layout, ParseFailure
from lmc.prompts.thinking import without_thoughts
from lmc.types import INT, STR, EnumType, Field, IntType, RecordType, Type
from lmc.values import InvalidValue, validate

if TYPE_CHECKING:
    from lmc.requests.bound import BoundModel
    from lmc.requests.pool import ModelPool

AUTO = "auto"
_MOST_TOKENS = 48
_LUCK = 2  # so many more right answers may be luck: no reason to leave the model's default
_TOPIC = EnumType("Topic", ("payment", "delivery", "returns", "account"))
_DAY = EnumType("Day", ("monday", "tuesday", "friday", "sunday"))
_BOOKING = RecordType(
    "Booking", (Field("name", STR), Field("day", _DAY), Field("guests", IntType(1, 20)))
)
_TASKS: Mapping[str, Type] = {
    "Which topic does the customer's message have?": _TOPIC,
    "For how many guests is the booking?": INT,
    "Fill in the booking from the message.": _BOOKING,
}
_BOOKINGS = {
    "This is Boris. A table for 4, on Tuesday, please.": ("Boris", "tuesday", 4),
    "Could we come on Friday? We are 7, the name is Greta.": ("Greta", "friday", 7),
    "Emil here, I would like to book for 2 people on Monday.": ("Emil", "monday", 2),
    "We are a group of 11 and want to eat with you on Sunday. Regards, Dora": (
        "Dora",
        "sunday",
        11,
    ),
    "Hello, I am Fatima. Can you seat 5 of us next Friday?": ("Fatima", "friday", 5),
    "Chen wants a table on Monday evening for 3 guests.": ("Chen", "monday", 3),
    "Please book Sunday for 9 people. My name is Ann.": ("Ann", "sunday", 9),
    "On Tuesday there will be 6 of us. Yours, Hugo": ("Hugo", "tuesday", 6),
}
_MESSAGES = {
    "My card was charged twice for the same order.": "payment",
    "The courier left my parcel in the rain.": "delivery",
    "The lamp arrived broken and I want to send it back.": "returns",
    "I forgot my password and cannot log in.": "account",
    "Why is the bill higher than last month?": "payment",
    "When will my package come?": "delivery",
    "These shoes are too small, can I swap them?": "returns",
    "Please change the address in my profile.": "account",
}


async def fit_layout(pool: ModelPool, model: str | None) -> None:
    """Find the layout that a model does best, once per pool, and note it in `pool.layouts`.

    A failed request counts as a wrong answer. The model's default stays unless another layout has
    clearly more right answers.
    Raises: LmcError[budget-exceeded].
    """
    bound = pool.bind(model)
    async with pool.fitting:
        if bound.name in pool.layouts:
            return
        first = bound.backend.capabilities.default_layout
        names = sorted(LAYOUTS, key=lambda name: (name != first, name))
        right = await asyncio.gather(*(_right(pool, bound, LAYOUTS[name]) for name in names))
        clearly = max(right) > right[0] + _LUCK
        pool.layouts[bound.name] = names[right.index(max(right))] if clearly else first


async def _right(pool: ModelPool, bound: BoundModel, layout: Layout) -> int:
    """How many rows a model answers right in a layout."""
    asked = [
        _is_right(pool, bound, layout, _spec(words, type), message, expected)
        for words, type in _TASKS.items()
        for message, expected in _rows(type).items()
    ]
    return sum(await asyncio.gather(*asked))


def _rows(type: Type) -> Mapping[str, Any]:
    if type is _TOPIC:
        return _MESSAGES
    if type is INT:
        return {message: guests for message, (*_, guests) in _BOOKINGS.items()}
    names = [field.name for field in _BOOKING.fields]
    return {message: dict(zip(names, booking)) for message, booking in _BOOKINGS.items()}


def _spec(instruction: str, result: Type) -> CallSpec:
    fields = result.fields if isinstance(result, RecordType) else (Field(BARE, result),)
    outputs = tuple(FieldSpec(field.name, field.type) for field in fields)
    return CallSpec(instruction, (FieldSpec("message", STR),), outputs, result)


async def _is_right(
    pool: ModelPool, bound: BoundModel, layout: Layout, spec: CallSpec, message: str, expected: Any
) -> bool:
    can = bound.backend.capabilities
    request = Request(
        bound.model,
        tuple(layout.prompt(spec, ())({"message": message})),
        Sampling(temperature=0.0, max_tokens=_MOST_TOKENS),
        layout.response_schema(spec) if can.json_schema else None,
        layout.grammar(spec) if can.grammar else None,
    )
    try:
        (answer,) = await pool.ask(bound.name, request, fallback=())
        outputs = layout.parse(spec, without_thoughts(spec, as_text(answer.text)))
        found = outputs if isinstance(spec.result, RecordType) else outputs[BARE]
        return bool(validate(spec.result, found, lenient=True) == expected)
    except (ModelFailure, ParseFailure, InvalidValue):
        return False
