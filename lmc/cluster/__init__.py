"""Runs of a program on many processes and machines, with one driver that keeps the accounts."""
