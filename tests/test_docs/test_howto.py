"""The examples of the how-to pages are run; one file a part, so that parts run side by side."""

from pathlib import Path

import pytest

from tests.test_docs.pages import PAGES, page_name, run_page
from tests.warm import WarmProcess

HOWTO = [page for page in PAGES if page.parent.name == "howto"]


@pytest.mark.parametrize("page", HOWTO, ids=page_name)
def test_a_page_runs(page: Path, workplace: Path, cache: Path, warm: WarmProcess) -> None:
    run_page(page, workplace, cache, warm)
