"""JSON as it is written into artifacts."""

import json

from hypothesis import given
from hypothesis import strategies as st

from lmc.files import indented_json

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
)  # fmt: skip


@given(values, st.booleans())
def test_it_is_the_text_that_python_writes(value, sort_keys):
    expected = json.dumps(value, indent=1, sort_keys=sort_keys, ensure_ascii=False)
    assert indented_json(value, sort_keys=sort_keys) == expected
