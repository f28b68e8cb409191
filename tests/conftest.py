"""What all tests share."""

from hypothesis import settings

# Machines that run tests are slow at times; how long one example takes says nothing.
settings.register_profile("lmc", deadline=None)
settings.load_profile("lmc")
