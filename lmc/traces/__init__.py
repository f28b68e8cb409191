"""The trace store: what every run did, kept on disk, and selectors that learn from it."""
