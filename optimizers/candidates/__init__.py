"""Comparing candidates: trials, races, stopping by betting, Bayesian search, the gate."""
