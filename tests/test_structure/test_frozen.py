"""Frozen classes behave as frozen dataclasses do, but for the guard that the type checker is."""

import copy
import pickle
from dataclasses import dataclass, field, replace

import pytest

from lmc.frozen import frozen, frozen_identity


@frozen
class Point:
    """A point; where it was written does not count."""

    x: int
    tags: tuple[str, ...] = ()
    place: int = field(default=0, compare=False, repr=False)


@frozen
class Named(Point):
    """A point with a name."""

    name: str = ""


@dataclass(frozen=True, slots=True)
class Plain:
    """What the standard library makes of it."""

    x: int
    tags: tuple[str, ...] = ()
    place: int = field(default=0, compare=False, repr=False)


@frozen
class Empty:
    """Nothing to compare."""


@frozen
class Rounded:
    """Says for itself what is equal."""

    x: float

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rounded) and round(self.x) == round(other.x)

    def __hash__(self) -> int:
        return hash(round(self.x))


@frozen_identity
class Known:
    """Itself, whatever it holds."""

    x: int


def test_equal_by_content() -> None:
    assert Point(1, ("a",), place=3) == Point(1, ("a",), place=4) != Point(2, ("a",))
    assert len({Point(1), Point(1, place=7), Point(2)}) == 2
    assert Point(1) != Named(1)
    assert Point(1) != (1, ())
    assert Empty() == Empty() and hash(Empty()) == hash(Empty()) and Empty() != Point(1)


def test_own_methods_stay() -> None:
    assert Rounded(1.2) == Rounded(0.9) and len({Rounded(1.2), Rounded(0.9)}) == 1


def test_identity() -> None:
    one = Known(1)
    assert one == one and one != Known(1) and len({one, Known(1)}) == 2
    assert repr(one) == "Known(x=1)"


def test_as_the_standard_library() -> None:
    assert repr(Point(1, ("a",))) == repr(Plain(1, ("a",))).replace("Plain", "Point")
    assert Point.__match_args__ == Plain.__match_args__ and Point.__slots__ == Plain.__slots__
    assert replace(Named(1, name="a"), x=2) == Named(2, name="a")
    with pytest.raises(AttributeError):
        Point(1).other = 1  # type: ignore[attr-defined]


def test_copied_and_pickled() -> None:
    point = Named(1, ("a",), 3, "b")
    for again in (copy.deepcopy(point), pickle.loads(pickle.dumps(point))):
        assert again == point and again.place == 3
