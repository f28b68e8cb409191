"""Values: validate untrusted JSON, and convert it to and from typed Python objects."""

from lmc.values.border import python_type, to_json, to_python
from lmc.values.problems import InvalidValue, Problem
from lmc.values.schema import json_schema
from lmc.values.taking import taken_in
from lmc.values.validation import validate

__all__ = [
    "InvalidValue",
    "Problem",
    "json_schema",
    "python_type",
    "taken_in",
    "to_json",
    "to_python",
    "validate",
]
