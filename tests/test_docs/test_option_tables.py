"""The tables of options in docs/ say what the optimizers' own table says."""

from collections import Counter
from pathlib import Path

import pytest

from lmc.check.optimizers import SIGNATURES
from tests.test_docs.option_tables import DOCS, TABLE, pages, rewritten

COMMAND = "python -m tests.test_docs.option_tables"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(DOCS)))
def test_the_tables_are_current(page: Path) -> None:
    text = page.read_text("utf-8")
    assert text == rewritten(text), f"run `{COMMAND}`"


def test_each_optimizer_has_one_table() -> None:
    found = Counter(m[2] for page in pages() for m in TABLE.finditer(page.read_text("utf-8")))
    assert found == Counter({signature.name for signature in SIGNATURES.values()})


def test_a_stale_table_is_seen() -> None:
    stale = "<!-- options: tune -->\n| `trials` | `int` | `7` | tries |\n<!-- end -->\n"
    assert "`int(1..1000)` | `32`" in rewritten(stale)
    assert rewritten(rewritten(stale)) == rewritten(stale)
