"""What an artifact brings for the stores of its program is a stranger's, and held against types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.diagnostics import LmcError
from lmc.models.scripted import Scripted
from lmc.program.artifact import Artifact, Manifest
from lmc.runtime.parameters import Parameters
from lmc.stores import brought
from tests.programs import lowered

TEXT = """
record Fact { town: str(r"[a-z]+"), label: str = "L" }
store facts: Fact { key: .town  keep: 3  url: "postgresql://db.example/db" }
pipeline main() -> list[str] { return [f.town for f in facts] }
"""
GOOD = [{"town": "rome", "label": "a"}, {"town": "oslo", "label": "b"}]


def written(tmp_path: Path, stores: Any) -> Path:
    path = tmp_path / "p.lmpc"
    parameters = Parameters(stores=stores)
    Artifact(Manifest(lmc="0", entry="p.lmp"), lowered(TEXT), parameters).write(path)
    return path


def test_good_records_are_read_back(tmp_path: Path) -> None:
    path = written(tmp_path, {"facts": GOOD})
    read = Artifact.read(path)
    assert read.manifest.format == 3
    assert read.parameters.stores == {"facts": GOOD}
    assert read.to_bytes() == path.read_bytes()
    program = lmc.load(path, cache=False, backend=Scripted("L"))
    assert program.main() == ["rome", "oslo"]


def test_without_records_the_format_is_the_old_one(tmp_path: Path) -> None:
    assert Artifact.read(written(tmp_path, {})).manifest.format == 2


@pytest.mark.parametrize(
    ("stores", "words"),
    [
        ({"others": GOOD}, "no store `others`"),
        ({"facts": [{"town": "rome"}]}, "record 1: a field is missing"),
        ({"facts": [{**GOOD[0], "more": 1}]}, "record 1"),
        ({"facts": [GOOD[0], {"town": "ROME", "label": "a"}]}, "record 2"),
        ({"facts": ["rome"]}, "record 1"),
        ({"facts": [GOOD[0], GOOD[0]]}, "two records with one key"),
        ({"facts": [{"town": t, "label": ""} for t in "abcd"]}, "at most 3 records"),
    ],
)
def test_records_that_no_run_could_have_kept_are_refused(
    tmp_path: Path, stores: Any, words: str
) -> None:
    with pytest.raises(LmcError, match=words) as failure:
        Artifact.read(written(tmp_path, stores))
    assert failure.value.code == "artifact-damaged"


def test_they_are_not_more_than_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, {"facts": [{"town": "rome", "label": "x" * 2000}]})
    monkeypatch.setattr(brought, "MOST_BYTES", 1000)
    with pytest.raises(LmcError, match="more than 1,000") as failure:
        Artifact.read(path)
    assert failure.value.code == "artifact-damaged"


def test_what_was_brought_opens_no_place_of_the_program(tmp_path: Path) -> None:
    """The URL in the graph is a stranger's: without consent nothing connects to it."""
    keeping = TEXT + "pipeline learn(t: str) -> str { keep Fact(town=t) in facts return t }\n"
    path = tmp_path / "k.lmpc"
    parameters = Parameters(stores={"facts": GOOD})
    Artifact(Manifest(lmc="0", entry="p.lmp"), lowered(keeping), parameters).write(path)
    with pytest.raises(LmcError) as failure:
        lmc.load(path, cache=False, backend=Scripted("L")).main()
    assert failure.value.code == "store-not-allowed"
    allowed = lmc.load(path, cache=False, backend=Scripted("L"), stores="memory")
    assert allowed.main() == ["rome", "oslo"]
