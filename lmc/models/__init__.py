"""Backends that answer requests, one per file; the local engine has its own folder."""
