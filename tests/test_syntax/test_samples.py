"""The sample programs of the design: what they parse to, and that no mutation of them surprises."""

from collections import Counter
from pathlib import Path

import pytest

from lmc.source import Source
from lmc.syntax import nodes
from lmc.syntax.parser import parse
from lmc.syntax.printer import format_source
from lmc.syntax.tokens import COMMENT, END, tokens

SAMPLES = Path(__file__).parent.parent / "cases" / "syntax" / "samples"
NAMES = ("tiny", "math", "rag")
SENTINEL = "\n\nrecord After { x: str }\n"


def sample(name: str) -> Source:
    return Source.read(SAMPLES / f"{name}.lmp")


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("tiny", {"ModuleDecl": 1}),
        (
            "math",
            {
                "ModelDecl": 2,
                "DefaultDecl": 1,
                "RecordDecl": 2,
                "ModuleDecl": 4,
                "PipelineDecl": 1,
                "ExampleDecl": 1,
                "DatasetDecl": 1,
                "MetricDecl": 1,
                "OptimizeDecl": 1,
                "TestDecl": 1,
            },
        ),
        (
            "rag",
            {
                "ModelDecl": 1,
                "DefaultDecl": 1,
                "RecordDecl": 4,
                "EnumDecl": 1,
                "ToolDecl": 1,
                "ModuleDecl": 5,
                "PipelineDecl": 2,
                "ExampleDecl": 1,
                "DatasetDecl": 1,
                "MetricDecl": 2,
                "OptimizeDecl": 1,
                "TestDecl": 1,
            },
        ),
    ],
)
def test_samples_parse(name, kinds):
    module, diagnostics = parse(sample(name))
    assert diagnostics == []
    assert Counter(type(decl).__name__ for decl in module.decls) == kinds


@pytest.mark.parametrize("name", NAMES)
def test_samples_print_back_unchanged(name):
    assert format_source(sample(name)) == sample(name).text


def mutations():
    """Every declaration of the samples with one token deleted; every third doubled or swapped."""
    for name in NAMES:
        for decl in parse(sample(name))[0].decls:
            text = decl.span.text
            found = [t for t in tokens(Source("", text)) if t.kind not in (COMMENT, END)]
            for i, token in enumerate(found):
                before, after = text[: token.start], text[token.end :]
                yield before + after
                if i % 3 == 0:
                    yield f"{before}{token.text} {token.text}{after}"
                if i % 3 == 1 and i + 1 < len(found):
                    other = found[i + 1]
                    between = text[token.end : other.start]
                    yield f"{before}{other.text} {between}{token.text}{text[other.end :]}"


def test_a_wrong_token_gives_a_telling_message_and_spares_the_next_declaration():
    codes: Counter[str] = Counter()
    spared = total = 0
    for text in mutations():
        module, diagnostics = parse(Source("", text + SENTINEL))
        codes[diagnostics[0].code if diagnostics else "fine"] += 1
        last = module.decls[-1] if module.decls else None
        spared += isinstance(last, nodes.RecordDecl) and last.name.name == "After"
        total += 1
    assert codes["unexpected-token"] <= 0.005 * total, codes  # goes down only
    assert spared >= 0.985 * total
    assert codes["fine"] <= 0.12 * total
