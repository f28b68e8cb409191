"""Runs graphs: executor, calls, cache, budget, data, metrics, artifacts."""
