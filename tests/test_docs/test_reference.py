"""The examples of the reference are run."""

from pathlib import Path

import pytest

from tests.test_docs.pages import PAGES, page_name, run_page
from tests.warm import WarmProcess

# Last the pages that repeat README's commands: by then their answers are in the cache.
REFERENCE = sorted(
    (page for page in PAGES if "reference" in page.parts),
    key=lambda page: page.stem in ("cli", "python"),
)


@pytest.mark.parametrize("page", REFERENCE, ids=page_name)
def test_a_page_runs(page: Path, workplace: Path, cache: Path, warm: WarmProcess) -> None:
    run_page(page, workplace, cache, warm)
