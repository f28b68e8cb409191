"""The compiler's passes over the graph. Each has its own file; `pipeline.PASSES` is the order."""
