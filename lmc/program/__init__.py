"""Programs as Python objects: loading, calling, measuring, testing, artifacts."""
