"""A browser for the tests: Chromium by Playwright, or a reason why there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium: the one that LMC_CHROMIUM names, else that of the system, else Playwright's."""
    playwright = pytest.importorskip("playwright.sync_api")
    found = os.environ.get("LMC_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    # Chromium as root, as in containers, has no sandbox. The pages of the tests are our own.
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with playwright.sync_playwright() as driver:
        try:
            opened = driver.chromium.launch(
                executable_path=found, args=["--no-sandbox"] if root else []
            )
        except playwright.Error as problem:
            pytest.skip(f"no browser starts here: {str(problem).splitlines()[0]}")
        try:
            yield opened
        finally:
            opened.close()
