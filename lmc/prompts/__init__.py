"""Prompts: lay a model call out as messages, and read its answer."""
