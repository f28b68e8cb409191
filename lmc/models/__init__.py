"""Backends that answer requests, one a file; the local engine has a folder of its own."""
