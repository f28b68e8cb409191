"""The examples of the reference are run, in a file of its own: it runs beside the guide."""

from pathlib import Path

import pytest

from tests.test_docs.pages import PAGES, page_name, run_page

REFERENCE = [page for page in PAGES if "reference" in page.parts]


@pytest.mark.parametrize("page", REFERENCE, ids=page_name)
def test_a_page_runs(page: Path, workplace: Path, cache: Path) -> None:
    run_page(page, workplace, cache)
