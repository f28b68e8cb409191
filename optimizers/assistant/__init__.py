"""Asking a model to propose and judge: instructions, descriptions, preferences."""
