"""Measuring a program: rows, metrics, evaluation, statistics and result files."""
