"""The tables of the trace store: runs of programs on rows, their regions and model calls.

The places form the tree of a run: `/0/3/2` is inside `/0/3`, which is inside `/0`. A text that
many calls share, such as an instruction or a demonstration, is stored once.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

parameters = Table(
    "parameters",
    metadata,
    Column("digest", String(32), primary_key=True),
    Column("data", JSON, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("job", String(200), index=True, nullable=False),  # the compilation or evaluation
    Column("program", String(200), nullable=False),
    Column("target", String(200), nullable=False),
    Column("stage", String(200), nullable=False),
    Column("row", String(200), nullable=False),
    Column("sample", Integer, nullable=False),
    Column("variant", String(200), nullable=False),
    Column("training", Boolean, nullable=False),  # `train` parameters were shown
    Column("parameters", ForeignKey("parameters.digest"), nullable=False),
    Column("values", JSON, nullable=False),  # of the row, labels included
    Column("score", Float),
    Column("pred", JSON),
    Column("feedback", Text, nullable=False),
    Column("failed", String(20), nullable=False),
    Column("error", Text),
    Column("created", Float, nullable=False),  # seconds since 1970
    Column("rewards", JSON),  # by module; None in stores of earlier versions
)

regions = Table(
    "regions",
    metadata,
    Column("run", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("place", String(200), primary_key=True),
    Column("parent", String(200)),
    Column("kind", String(20), nullable=False),
    Column("name", String(200), nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("result", JSON),
    Column("detail", JSON, nullable=False),
    Column("error", Text),
)

calls = Table(
    "calls",
    metadata,
    Column("run", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("place", String(200), primary_key=True),
    Column("parent", String(200)),
    Column("sample_group", String(200)),  # the enclosing vote, whose samples answer one question
    Column("module", String(200), index=True, nullable=False),
    Column("role", String(20), nullable=False),
    Column("sample", Integer, nullable=False),
    Column("model", String(200), nullable=False),
    Column("adapter", String(200)),
    Column("inputs", JSON, nullable=False),
    Column("outputs", JSON),
    Column("result", JSON),
    Column("check", JSON),
    Column("messages", JSON, nullable=False),  # [role, digest of the text] in order
    Column("raw", JSON, nullable=False),
    Column("logprobs", JSON),
    Column("attempts", Integer, nullable=False),
    Column("calls", Integer, nullable=False),
    Column("cached_calls", Integer, nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    Column("cost_usd", Float, nullable=False),
    Column("latency_ms", Float, nullable=False),
    Column("error", Text),
    Column("infrastructure", Boolean, nullable=False),
    Column("dropped", Integer),  # turns of a conversation; None in stores of earlier versions
    Column("sampled", JSON),  # the tokens of the last text in `raw`, as `SampledTokens` writes them
)

texts = Table(
    "texts",
    metadata,
    Column("digest", String(32), primary_key=True),
    Column("text", Text, nullable=False),
)
