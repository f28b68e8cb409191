"""The regions of a graph, one kind a file: how each runs its bodies."""
