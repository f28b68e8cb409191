"""Prompts: how a model call is laid out as messages, and how its answer is read."""
