"""Where pages run: a copy of the examples for each page, and one cache of answers for all."""

import os
import shutil
from pathlib import Path

import pytest

from tests.test_docs.pages import ROOT


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A copy of the examples, as a reader who follows a page would have them."""
    hidden = shutil.ignore_patterns(".lmc", "tiny", "__pycache__", "*.lmpc")
    shutil.copytree(ROOT / "examples", tmp_path, dirs_exist_ok=True, ignore=hidden)
    return tmp_path


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by the workers of pytest-xdist: pages that repeat commands then load no model."""
    own = tmp_path_factory.getbasetemp()
    return (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "docs-cache"
