"""The examples of README, the tutorial and the explanation are run."""

from pathlib import Path

import pytest

from tests.test_docs.pages import PAGES, page_name, run_page
from tests.warm import WarmProcess

GUIDE = [page for page in PAGES if page.parent.name not in ("howto", "reference")]


@pytest.mark.parametrize("page", GUIDE, ids=page_name)
def test_a_page_runs(page: Path, workplace: Path, cache: Path, warm: WarmProcess) -> None:
    run_page(page, workplace, cache, warm)
