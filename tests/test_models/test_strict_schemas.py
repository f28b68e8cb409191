"""Schemas that servers keep to by the letter, and requests that ask for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmc.models.base import Request, Sampling
from lmc.models.dialect import Dialect, forget_dialects
from lmc.models.openai_compatible import OpenAICompatible
from lmc.models.server_kinds import KINDS
from lmc.models.strict_schemas import strict_schema
from tests.loopback import Fault, Loopback

RECORD = {
    "type": "object",
    "properties": {
        "a": {"type": "string", "maxLength": 9, "pattern": "^x"},
        "b": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}], "default": None},
        "c": {"type": "array", "items": {"$ref": "#/$defs/R"}, "maxItems": 3, "uniqueItems": True},
    },
    "required": ["a"],
    "additionalProperties": False,
    "$defs": {
        "R": {
            "type": "object",
            "properties": {"e": {"type": "string", "enum": ["x", "y"]}},
            "required": [],
            "additionalProperties": False,
        }
    },
}
STRICT = {
    "type": "object",
    "properties": {
        "a": {"type": "string", "pattern": "^x"},
        "b": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}]},
        "c": {"type": "array", "items": {"$ref": "#/$defs/R"}, "maxItems": 3},
    },
    "required": ["a", "b", "c"],
    "additionalProperties": False,
    "$defs": {
        "R": {
            "type": "object",
            "properties": {"e": {"type": "string", "enum": ["x", "y"]}},
            "required": ["e"],
            "additionalProperties": False,
        }
    },
}
PROMPT = ({"role": "user", "content": "Answer in JSON."},)


@pytest.fixture(autouse=True)
def nothing_learnt():
    forget_dialects()
    yield
    forget_dialects()


def test_a_record_is_told_in_the_subset_and_only_once():
    assert strict_schema(RECORD) == STRICT == strict_schema(STRICT)


def of(**properties):
    return {"type": "object", "properties": properties, "additionalProperties": False}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "string"},
        {"anyOf": [of(a={"type": "string"})]},
        {"$ref": "#/$defs/R", "$defs": {}},
        of(),
        of(a={}),
        of(a={"not": {}}),
        of(a={"type": "array"}),
        of(a={"type": "object", "additionalProperties": {"type": "string"}}),
        of(a={"anyOf": [{"type": "string"}, {}]}),
    ],
)
def test_what_the_subset_cannot_say_is_no_strict_schema(schema):
    assert strict_schema(schema) is None


LEAVES = st.sampled_from([{"type": "string"}, {"type": "integer", "minimum": 1}, {}])
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from("abc"), inner).map(lambda p: of(**p)),
        inner.map(lambda item: {"type": "array", "items": item}),
        st.lists(inner, min_size=1, max_size=2).map(lambda options: {"anyOf": options}),
    ),
    max_leaves=6,
)


@given(SCHEMAS)
def test_each_object_of_a_strict_schema_is_closed_and_whole(schema):
    found = strict_schema(of(root=schema))
    todo = [found] if found else []
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            if part.get("type") == "object":
                assert part["required"] == [*part["properties"]]
                assert part["additionalProperties"] is False
            todo += part.values()
        elif isinstance(part, list):
            todo += part


@pytest.mark.parametrize(
    ("kind", "strict", "sent"),
    [
        ("openai", None, True),
        ("openai", False, False),
        ("vllm", None, False),
        ("vllm", True, True),
        ("anthropic", True, None),
    ],
)
def test_who_is_asked_for_it(kind, strict, sent):
    request = Request("m", PROMPT, Sampling(strict=strict), schema=RECORD)
    told = Dialect("e", KINDS[kind]).payload(request).get("response_format")
    assert (told and told["json_schema"].get("strict", False)) == sent
    if sent is False:
        assert told["json_schema"]["schema"] == RECORD


def test_a_server_that_only_knows_json_is_asked_for_that_where_the_prompt_says_so():
    dialect = Dialect("e", KINDS["deepseek"])
    told = dialect.payload(Request("m", PROMPT, schema=RECORD))
    assert told["response_format"] == {"type": "json_object"}
    plain = ({"role": "user", "content": "Answer."},)
    assert "response_format" not in dialect.payload(Request("m", plain, schema=RECORD))


async def test_a_strict_schema_that_is_refused_is_sent_as_a_plain_one():
    def script(payload):
        told = payload["response_format"]["json_schema"]
        return Fault(400, "Invalid schema for response_format") if "strict" in told else "{}"

    with Loopback(script) as server:
        backend = OpenAICompatible(server.url, kind=KINDS["openai"])
        for _ in range(2):
            await backend.generate(Request("m", PROMPT, schema=RECORD))
        await backend.close()
    assert len(server.payloads) == 3
    assert server.payloads[-1]["response_format"]["json_schema"]["schema"] == RECORD
