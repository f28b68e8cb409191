"""The trace store, which keeps every run on disk, and selectors that choose runs to learn from."""
