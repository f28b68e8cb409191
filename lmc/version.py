"""The version of lmc; `pyproject.toml` reads it from here."""

__version__ = "0.1.0"
