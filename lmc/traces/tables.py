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
    TypeDecorator,
)
from sqlalchemy.engine import Dialect


class _Text(TypeDecorator[str]):
    """A text. PostgreSQL has no character NUL, so there its picture is kept."""

    impl, cache_ok = Text, True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value and value.replace("\0", "␀") if dialect.name == "postgresql" else value


metadata = MetaData()
_WORDS = String(200).with_variant(Text(), "postgresql")  # which would refuse longer ones

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
    Column("job", _WORDS, index=True, nullable=False),  # the compilation or evaluation
    Column("program", _WORDS, nullable=False),
    Column("target", _WORDS, nullable=False),
    Column("stage", _WORDS, nullable=False),
    Column("row", _WORDS, nullable=False),
    Column("sample", Integer, nullable=False),
    Column("variant", _WORDS, nullable=False),
    Column("training", Boolean, nullable=False),  # `train` parameters were shown
    Column("parameters", ForeignKey("parameters.digest"), nullable=False),
    Column("values", JSON, nullable=False),  # of the row, labels included
    Column("score", Float),
    Column("pred", JSON),
    Column("feedback", _Text, nullable=False),
    Column("failed", String(20), nullable=False),
    Column("error", _Text),
    Column("created", Float, nullable=False),  # seconds since 1970
    Column("rewards", JSON),  # by module; None in stores of earlier versions
)

regions = Table(
    "regions",
    metadata,
    Column("run", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("place", _WORDS, primary_key=True),
    Column("parent", _WORDS),
    Column("kind", String(20), nullable=False),
    Column("name", _WORDS, nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("result", JSON),
    Column("detail", JSON, nullable=False),
    Column("error", _Text),
)

calls = Table(
    "calls",
    metadata,
    Column("run", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("place", _WORDS, primary_key=True),
    Column("parent", _WORDS),
    Column("sample_group", _WORDS),  # the enclosing vote, whose samples answer one question
    Column("module", _WORDS, index=True, nullable=False),
    Column("role", String(20), nullable=False),
    Column("sample", Integer, nullable=False),
    Column("model", _WORDS, nullable=False),
    Column("adapter", _WORDS),
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
    Column("error", _Text),
    Column("infrastructure", Boolean, nullable=False),
    Column("dropped", Integer),  # turns of a conversation; None in stores of earlier versions
    Column("sampled", JSON),  # the tokens of the last text in `raw`, as `SampledTokens` writes them
)

texts = Table(
    "texts",
    metadata,
    Column("digest", String(32), primary_key=True),
    Column("text", _Text, nullable=False),
)
