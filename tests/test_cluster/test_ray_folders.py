"""Folders of results, without a cluster."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import pytest

from lmc.cluster.ray_folders import Folder, few_readers
from lmc.diagnostics import LmcError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def test_failures_are_counted_beside_nested_columns(tmp_path: Path) -> None:
    table = pa.table(
        {
            "part": [{"failed": "x", "b": 1}, {"failed": "y", "b": 2}],
            "map": pa.array([[("failed", 1)], [("b", 2)]], pa.map_(pa.string(), pa.int64())),
            "failed": [None, "model"],
            "error": [None, "no answer"],
            "row_hash": ["1", "2"],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    found = Folder.of(str(tmp_path)).written()
    assert (found.rows, found.failed) == (2, 1)
    assert [(row.id, row.failed) for row in found.first_failures] == [("2", "model")]


def test_a_folder_beside_it_with_files_of_the_user_is_kept(tmp_path: Path) -> None:
    mine = tmp_path / "out.unfinished" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(LmcError, match=r"out.unfinished` has files already"):
        Folder.of(str(tmp_path / "out")).begin("asked")
    assert os.listdir(mine.parent) == ["mine.txt"]
    mine.unlink()
    assert Folder.of(str(tmp_path / "out")).begin("asked") == 0
    assert Folder.of(str(tmp_path / "out")).begin("asked") == 0
    with pytest.raises(LmcError, match="another batch"):
        Folder.of(str(tmp_path / "out")).begin("other")


def test_few_processes_read_the_ends_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would start 32 for one file."""
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 3.0})
    name = "RAY_DATA_PARQUET_FOOTER_NUM_ACTORS"
    formats = "ray.data._internal.datasource_v2.formats.parquet.footer_file_indexer"
    indexer = importlib.import_module(formats).FooterFileIndexer

    def readers() -> int:
        number: int = indexer(ignore_missing_paths=False)._num_actors
        return number

    monkeypatch.delenv(name, raising=False)
    with few_readers():
        assert readers() == 3
    assert name not in os.environ
    monkeypatch.setenv(name, "5")
    with few_readers():
        assert readers() == 5
    assert os.environ[name] == "5"


def test_the_deepest_failure_of_ray_is_told(tmp_path: Path) -> None:
    class TaskError(Exception):
        cause = ValueError("deep down")

    class Rows:
        context: Any = type("Context", (), {"execution_options": type("Options", (), {})})

        def write_parquet(self, *args: Any, **options: Any) -> None:
            raise TaskError("the stack of a worker")

    pytest.importorskip("ray")
    with pytest.raises(LmcError, match="deep down") as failure:
        Folder.of(str(tmp_path / "out")).write(Rows())
    assert "stack of a worker" not in str(failure.value)
