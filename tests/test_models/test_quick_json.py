"""JSON on the wire: what pydantic-core refuses is written and read as json does it."""

import json
import math

import pytest

from lmc.models import quick_json


@pytest.mark.parametrize(
    "value",
    [
        {"text": "é ☃ \u2028 \x00", "list": (1, 2.5, None, True), "nested": {"a": [{}]}},
        "half of a pair: \ud83d",
        [1e300, 10**30, -0.0],
    ],
    ids=["plain", "surrogate", "numbers"],
)
def test_what_is_written_is_read_again(value):
    text = quick_json.encode(value)
    assert quick_json.decode(text) == json.loads(text) == json.loads(json.dumps(value))


def test_what_json_reads_is_read():
    assert quick_json.decode('["\\ud83d", "x"]') == ["\ud83d", "x"]
    assert math.isnan(quick_json.decode(b"NaN"))


@pytest.mark.parametrize("text", [b"", b'{"a":', b"\xff", b"[1] 2", "nothing"])
def test_what_is_no_json_is_refused(text):
    with pytest.raises(ValueError):
        quick_json.decode(text)
