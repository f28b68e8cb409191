"""Backends: one file for each way to get an answer from a model, behind `base.Backend`."""
