"""The tables of the journal of jobs."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, MetaData, Table, Text, UniqueConstraint

metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("key", Text),  # the Idempotency-Key of its request
    Column("digest", Text, nullable=False),  # of the request
    Column("program", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("rows", Integer, nullable=False),
    UniqueConstraint("owner", "key"),
)

rows = Table(
    "rows",
    metadata,
    Column("job", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("state", Text, nullable=False),
    Column("inputs", Text, nullable=False),
    Column("answer", Text),
    Index("rows_by_state", "state", "number"),
)
