"""What all tests share."""

import gc
import os
import resource
import signal
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.warm import WarmProcess

# Shells start background jobs deaf to Ctrl-C, and the programs that tests start inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# macOS gives a process 256 files; tests of many requests at once hold more connections than that.
OPEN_FILES = 4096
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
if soft != resource.RLIM_INFINITY and soft < OPEN_FILES:
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))

# Where no bytecode is kept, each of the many processes that tests start would compile lmc anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Every graph is looked at again after each pass, in the programs that tests start too.
os.environ["LMC_VERIFY"] = "1"

# litellm fetches its table of prices when it is imported. lmc forbids it; tests import it first.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

# Machines that run tests are slow at times; how long one example takes says nothing. Examples are
# the same in each run, so that a change is to blame when a test fails. `make fuzz` draws others.
settings.register_profile("lmc", deadline=None, derandomize=True)
settings.register_profile("fuzz", deadline=None, max_examples=1000)
settings.load_profile("fuzz" if "LMC_FUZZ" in os.environ else "lmc")

# Files of few tests that take minutes. With pytest-xdist they come first, so that none is left over
# for one process when all others have ended.
LONG = ("test_guide.py", "test_howto.py", "test_reference.py", "test_soundness.py", "test_lora.py")


def pytest_configure(config: pytest.Config) -> None:
    """Let pytest-xdist keep the order of the files: its own puts the files with few tests last."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first, in the order of their names above."""
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONG)))


def pytest_collection_finish() -> None:
    """What all test files have imported stays: no search for garbage goes through it again."""
    gc.freeze()


@pytest.fixture(scope="session")
def warm() -> Iterator[WarmProcess]:
    """Starts when a first test needs it."""
    process = WarmProcess()
    yield process
    process.close()
