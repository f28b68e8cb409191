"""Odd content of files, frames and databases: no row is lost in silence, and nothing is a crash."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.diagnostics import LmcError
from lmc.measure.adapting import fitted
from lmc.measure.rows import SourceRows, target_row
from lmc.measure.sources import RowSource, given_source, object_source
from lmc.models.scripted import Scripted
from lmc.types import IntType
from tests.programs import lowered

PROGRAM = """
generate main(text: str, count: int = 3, tags: list[str] = [], hint: int? = none) -> str { "Say." }
"""


def rows(source: RowSource | str | None) -> list[dict[str, Any]]:
    assert source is not None
    found = given_source(source) if isinstance(source, str) else source
    return [dict(row.values) for row in SourceRows(found)]


def told(source: RowSource | str | None) -> str:
    with pytest.raises(LmcError) as failure:
        rows(source)
    return str(failure.value)


def test_a_file_of_zstd_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    """Each of its lines may be whole."""
    zstandard = pytest.importorskip("zstandard")
    pytest.importorskip("pyarrow")
    whole = zstandard.compress(b'{"text": "a"}\n' * 1000)
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(whole + whole)
    assert len(rows(str(path))) == 2000
    path.write_bytes(whole + whole[:-5])
    assert "Truncated" in told(str(path))


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,text\na,b\n")
    assert "a.csv:1:1: error[bad-row]: the column `text` is there twice" in told(
        f"{tmp_path}/a.csv"
    )
    (tmp_path / "b.csv").write_text("text,,\na,b,c\n")  # columns that nobody can name
    assert rows(f"{tmp_path}/b.csv")[0]["text"] == "a"
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(table, tmp_path / "a.parquet")
    for source in (f"{tmp_path}/a.parquet", object_source(table)):
        assert "`text` is there twice" in told(source)
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame([["a", "b"]], columns=["text", "text"])
    assert "`text` is there twice" in told(object_source(frame))


def test_a_value_that_python_cannot_have_names_row_and_column(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    times = pa.array([0, 2**60], pa.timestamp("us"))
    table = pa.table({"text": ["a", "b"], "at": times})
    pq.write_table(table, tmp_path / "a.parquet")
    assert "row group 1, row 2: `at` cannot be read" in told(f"{tmp_path}/a.parquet")
    assert "row 2: `at` cannot be read" in told(object_source(table))


@pytest.mark.parametrize("value", ["1e999999999", "-1E999999999"])
def test_a_short_text_of_an_endless_number_is_not_computed(value: str) -> None:
    assert fitted(IntType(), value) == value
    assert fitted(IntType(), "1e3") == fitted(IntType(), Decimal("1000")) == 1000


def test_an_empty_cell_is_what_a_null_of_a_table_is(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,count,tags,hint\n,,,\n")
    row = target_row(lowered(PROGRAM).graphs["main"])
    found = next(iter(SourceRows(given_source(f"{tmp_path}/a.csv"), row)))
    assert found.values == {"text": "", "count": 3, "tags": [], "hint": None}


def test_frames_that_are_not_computed_and_batches_are_rows() -> None:
    pa = pytest.importorskip("pyarrow")
    assert rows(object_source(pa.record_batch({"text": ["a"]}))) == [{"text": "a"}]
    pl = pytest.importorskip("polars")
    assert rows(object_source(pl.LazyFrame({"text": ["a"]}))) == [{"text": "a"}]


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(LmcError, match="no rows"):
        object_source(3)
    with pytest.raises(LmcError, match="not a pattern"):
        given_source(f"{tmp_path}/**x.jsonl")
    assert "null byte" in told(f"{tmp_path}/a\0b.jsonl")
    assert "there is no file" in told(f"sqlite:///{tmp_path}/none.db#SELECT 1")
    assert not [*tmp_path.iterdir()]


def test_a_python_function_is_a_metric(tmp_path: Path) -> None:
    (tmp_path / "p.lmp").write_text(PROGRAM)
    seen = []

    def judged(gold: dict[str, Any], pred: str) -> bool:
        seen.append((gold["text"], pred))
        return pred == "said"

    program = lmc.load(tmp_path / "p.lmp", backend=Scripted(["said"] * 3), cache=False)
    data: Any = [{"text": "a", 3: 4}]
    assert lmc.evaluate(program, data, judged).mean == 1.0
    assert seen == [("a", "said")]
    wrong: Any
    for wrong, words in ((len, "does not take"), (3, "a Python int is not a metric")):
        with pytest.raises(LmcError, match=words):
            lmc.evaluate(program, data, wrong)


@pytest.mark.parametrize("budget", [3, "calls=3", [1]])
def test_a_budget_of_another_kind_is_a_mistake(budget: Any) -> None:
    from lmc.program.options import require_budget

    with pytest.raises(LmcError, match="a budget is a mapping"):
        require_budget(budget)
