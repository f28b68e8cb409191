"""The table of dialects in the docs: `python -m tests.test_docs.dialect_table` writes it anew.

It stands between `<!-- dialects -->` and `<!-- end of dialects -->`.
"""

import re
from pathlib import Path

from lmc.models.server_kinds import KINDS, ServerKind
from lmc.models.thinking_budgets import thinking

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "models.md"
TABLE = re.compile(r"(<!-- dialects -->\n).*?(<!-- end of dialects -->)", re.DOTALL)
_SCHEMAS = {"json_schema": "schema", "json_object": "JSON", "none": "no"}
_ADAPTERS = {"": "no", "name": "by name", "suffix": "`model:adapter`", "loaded": "loaded by lmc"}


def tables() -> str:
    """What is sent to each kind of server, and where its answers have what."""
    kinds = list(KINDS.values())
    first = [
        "| `dialect` | known by | samples | schema | log-probs | seed | limit | adapters |",
        "|---|---|---|---|---|---|---|---|",
        *map(_sent, kinds),
    ]
    second = [
        '| `dialect` | `reasoning: "low"` | a number | thoughts in | cached tokens in usage |',
        "|---|---|---|---|---|",
        *map(_thoughts, kinds),
    ]
    return "\n".join([*first, "", *second, ""])


def rewritten() -> str:
    """The page with the table as the code has it."""
    return TABLE.sub(lambda found: found[1] + tables() + found[2], PAGE.read_text("utf-8"))


def _sent(kind: ServerKind) -> str:
    schema = _SCHEMAS[kind.schema] + (", strict" if kind.strict else "")
    schema += ", grammar" if kind.grammar else ""
    name = f"[`{kind.name}`]({kind.source})" if kind.source else f"`{kind.name}`"
    cells = [
        name, _known_by(kind), str(kind.most_n or "any"), schema, "yes" if kind.logprobs else "no",
        f"`{kind.seed}`" if kind.seed else "no", f"`{kind.limit}`", _ADAPTERS[kind.adapters],
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _known_by(kind: ServerKind) -> str:
    ways = [f"`{kind.hosts[0]}`"] if kind.hosts else []
    if kind.port:
        ways.append(f"port {kind.port} of this machine")
    if kind.base_url:
        ways.insert(0, f"`{kind.name}/…`")
    prefixes = {"vllm": "`hosted_vllm/…`", "ollama": "`ollama/…`", "llama.cpp": "`llama.cpp/…`"}
    if kind.name in prefixes:
        ways.insert(0, prefixes[kind.name])
    return ", ".join(ways) or "`dialect:`"


def _thoughts(kind: ServerKind) -> str:
    low, exact = (_shown(kind, wanted) for wanted in ("low", 2000))
    cached = f"`{kind.cached}`" if kind.cached else "not told"
    where = kind.thoughts or "hidden"
    exact = exact if exact != low else "the nearest"
    return f"| `{kind.name}` | {low} | {exact} | {where} | {cached} |"


def _shown(kind: ServerKind, wanted: str | int) -> str:
    sent = thinking(kind.thinking, wanted, "m", 10_000)
    return ", ".join(f"`{name}`: {_value(value)}" for name, value in sent.items())


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"`{key}` {_value(inner)}" for key, inner in value.items())
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    PAGE.write_text(rewritten(), "utf-8")
