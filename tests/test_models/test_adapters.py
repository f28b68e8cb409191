"""Adapters are named by what is in them, and never change."""

from pathlib import Path

import pytest

from lmc.diagnostics import LmcError
from lmc.models.adapters import CONFIG, WEIGHTS, AdapterStore, adapter_id, is_adapter_id

FILES = {WEIGHTS: b"weights", CONFIG: b"{}"}


def test_the_id_says_what_is_in_it(tmp_path: Path) -> None:
    store = AdapterStore(tmp_path / "store")
    one = store.add_files(FILES)
    assert is_adapter_id(one.id)
    assert one.id == adapter_id(FILES) == one.folder.name
    assert store.find(one.id).files() == FILES
    assert store.add_files({**FILES, WEIGHTS: b"other"}).id != one.id
    assert len(list((tmp_path / "store").iterdir())) == 2


def test_the_same_twice_is_kept_once(tmp_path: Path) -> None:
    store = AdapterStore(tmp_path / "store")
    folder = tmp_path / "trained"
    folder.mkdir()
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    assert store.add(folder) == store.add_files(FILES)
    assert [p.name for p in (tmp_path / "store").iterdir()] == [adapter_id(FILES)]


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    store = AdapterStore(tmp_path)
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / CONFIG).write_bytes(b"{}")
    with pytest.raises(LmcError) as found:
        store.add(tmp_path / "half")
    assert found.value.diagnostics[0].code == "not-an-adapter"
    for name in ("0" * 32, "../half", "half"):
        with pytest.raises(LmcError) as found:
            store.find(name)
        assert found.value.diagnostics[0].code == "unknown-adapter"


@pytest.mark.parametrize("name", ["support", "org/name", "A" * 32, "0" * 31])
def test_names_of_servers_are_no_ids(name: str) -> None:
    assert not is_adapter_id(name)
