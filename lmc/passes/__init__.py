"""Graph -> graph: one pass a file, run in the order of `pipeline.PASSES`."""
