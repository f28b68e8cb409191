"""Typed tree -> graph: the graph, its specification, and its views."""
