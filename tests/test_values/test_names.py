"""The names that a program's parts have in Python."""

from enum import StrEnum

import pytest

from lmc.ir.graph import Port
from lmc.types import INT, STR, EnumType, Field, RecordType
from lmc.values import InvalidValue, python_type, to_json, to_python
from lmc.values.names import (
    field_names,
    input_names,
    python_names,
    renamed,
    stub_module,
    variant_names,
)

FIELDS = {
    "question": "question",
    "class": "class_",
    "class_": "class_",
    "None": "None_",
    "match": "match",
    "self": "self",
    "json": "json",
    "schema": "schema",
    "copy": "copy",
    "model_name": "model_name",
    "model_dump": "model_dump_",
    "model_config": "model_config_",
    "model_fields": "model_fields_",
    "mro": "mro",
    "name": "name",
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_is_an_attribute_of_its_name_where_python_allows_it(name: str) -> None:
    type = RecordType("R", (Field(name, INT),))
    assert field_names(type) == {name: FIELDS[name]}
    record = to_python(type, {name: 3})
    assert getattr(record, FIELDS[name]) == 3
    assert record.model_dump() == to_json(type, record) == {name: 3}
    assert python_type(type)(**{FIELDS[name]: 3}) == record


VARIANTS = {
    "red": "red",
    "None": "None_",
    "class": "class_",
    "mro": "mro_",
    "name": "name",
    "value": "value",
    "title": "title",
    "count": "count",
    "model_dump": "model_dump",
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_a_member_of_its_name_where_python_allows_it(name: str) -> None:
    type = EnumType("E", (name, "other"))
    assert variant_names(type)[name] == VARIANTS[name]
    enum = python_type(type)
    assert issubclass(enum, StrEnum)
    member = to_python(type, name)
    assert member is getattr(enum, VARIANTS[name])
    assert member == name
    assert to_json(type, member) == name
    assert to_python(type, "other").value == "other"


@pytest.mark.parametrize(
    ("names", "python"),
    [
        (["class", "class_"], ["class__", "class_"]),
        (["class_", "class", "class__"], ["class_", "class___", "class__"]),
        (["Class", "class"], ["Class", "class_"]),
        (["self", "cls", "lambda"], ["self", "cls", "lambda_"]),
    ],
)
def test_no_two_names_become_one(names: list[str], python: list[str]) -> None:
    assert list(python_names(names).values()) == python
    assert list(input_names([Port(name, STR) for name in names]).values()) == python
    assert renamed(python_names(names)) == {
        new: old for old, new in zip(names, python, strict=True) if old != new
    }


def test_columns_of_data_become_names_too() -> None:
    columns = ["_id", "my col", "1st", "__", "id_"]
    assert list(python_names(columns).values()) == ["id__", "my_col_", "n1st_", "field_", "id_"]


@pytest.mark.parametrize(
    ("stem", "module"),
    [
        ("triage", "triage"),
        ("my-prog", "my_prog"),
        ("1st", "_1st"),
        ("class", "class_"),
        ("email", "email_"),
        ("größe", "größe"),
        ("", "_"),
    ],
)
def test_stubs_are_a_module_that_can_be_imported(stem: str, module: str) -> None:
    assert stub_module(stem) == module


def test_a_record_in_the_place_of_another_is_refused() -> None:
    first, second = (
        RecordType("R", (Field("class", INT),)),
        RecordType("R", (Field("class_", INT),)),
    )
    with pytest.raises(InvalidValue):
        to_json(second, to_python(first, {"class": 3}))
