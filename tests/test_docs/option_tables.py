"""The tables of options in docs/: `python -m tests.test_docs.option_tables` writes them anew.

A page holds the table of an optimizer between `<!-- options: NAME -->` and `<!-- end -->`.
"""

import re
from pathlib import Path

from lmc.check.optimizer_options import Option, literal
from lmc.check.optimizers import SIGNATURES

DOCS = Path(__file__).parents[2] / "docs"
TABLE = re.compile(r"(<!-- options: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def table(name: str) -> str:
    """The options of an optimizer as a Markdown table."""
    rows = [f"| option of `{name}` | type | default | meaning |", "|---|---|---|---|"]
    rows += [_row(key, option) for key, option in SIGNATURES[name].options.items()]
    return "\n".join(rows)


def rewritten(page: str) -> str:
    """A page whose tables say what the optimizers' table says."""
    return TABLE.sub(lambda found: f"{found[1]}{table(found[2])}\n{found[4]}", page)


def pages() -> list[Path]:
    """The pages of the documentation."""
    return sorted(DOCS.rglob("*.md"))


def _row(name: str, option: Option) -> str:
    default = "–" if option.default is None else f"`{literal(option.default)}`"
    return f"| `{name}` | `{option.shown}` | {default} | {option.about} |"


if __name__ == "__main__":
    for path in pages():
        path.write_text(rewritten(path.read_text("utf-8")), "utf-8")
