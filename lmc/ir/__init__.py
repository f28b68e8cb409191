"""The typed graph: lowering from the syntax tree, its specification, and its views."""
