"""What all tests share."""

import os
import resource
import signal

from hypothesis import settings

# Shells start background jobs deaf to Ctrl-C, and the programs that tests start inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# macOS gives a process 256 files; tests of many requests at once hold more connections than that.
OPEN_FILES = 4096
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
if soft != resource.RLIM_INFINITY and soft < OPEN_FILES:
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))

# Every graph is looked at again after each pass, in the programs that tests start too.
os.environ["LMC_VERIFY"] = "1"

# Machines that run tests are slow at times; how long one example takes says nothing. Examples are
# the same in each run, so that a change is to blame when a test fails. `make fuzz` draws others.
settings.register_profile("lmc", deadline=None, derandomize=True)
settings.register_profile("fuzz", deadline=None, max_examples=1000)
settings.load_profile("fuzz" if "LMC_FUZZ" in os.environ else "lmc")
