"""A model that workers of a crew ask, registered as `far/`."""

from collections.abc import Iterator

import pytest

from lmc.models.registry import register, unregister
from tests.far_workers import FarModel


@pytest.fixture
def model() -> Iterator[FarModel]:
    made = FarModel()
    register("far/", lambda name, settings: made)
    yield made
    unregister("far/")
