"""The journal of finished rows, whatever a kill left of it."""

from pathlib import Path

import pytest

from lmc.measure.evaluate import RowResult
from lmc.measure.row_journal import row_journal
from lmc.requests.usage import Usage

ROW = RowResult(
    "0-a", 1.0, {"x": [1.5, "\ud800"]}, "a\nb", usage=Usage(calls=2), rewards={"m": 0.5}
)


def kept(out: Path, *rows: RowResult) -> RowResult | None:
    """What the journal has of the row; it stays as if the process were killed then."""
    found = []

    def killed() -> None:
        with row_journal(out, ["a program"]) as journal:
            found.append(journal.finished(ROW.id))
            for row in rows:
                journal.keep(row)
            raise KeyError("killed")

    with pytest.raises(KeyError, match="killed"):
        killed()
    return found[0]


def test_a_journal_that_was_cut_anywhere_has_whole_rows(tmp_path: Path) -> None:
    out, file = tmp_path / "out.jsonl", tmp_path / ".out.jsonl.rows"
    kept(out, ROW)
    whole = file.read_bytes()
    for size in range(len(whole) + 1):
        file.write_bytes(whole[:size])
        assert kept(out, ROW) == (ROW if size >= len(whole) - 1 else None)
        assert kept(out) == ROW


@pytest.mark.parametrize("line", [b"null", b"[]", b"7", b'{"usage": {}}', b"\xff", b"[" * 10**5])
def test_lines_of_something_else_are_passed_over(tmp_path: Path, line: bytes) -> None:
    out, file = tmp_path / "out.jsonl", tmp_path / ".out.jsonl.rows"
    kept(out)
    with file.open("ab") as damaged:
        damaged.write(line + b"\n")
    kept(out, ROW)
    assert kept(out) == ROW
