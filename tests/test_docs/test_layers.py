"""The map and the picture of the architecture page are those of the code."""

import os
import re
from itertools import pairwise
from pathlib import Path

from tests.test_docs.layers import BOX_WIDTH, ROOT, picture, placed

PAGE = ROOT / "docs" / "explanation" / "architecture.md"
PICTURE = PAGE.with_name("layers.svg")


def test_the_picture_is_current() -> None:
    """LMC_UPDATE_GOLDEN=1 draws it again."""
    drawn = picture()
    if os.environ.get("LMC_UPDATE_GOLDEN"):
        PICTURE.write_text(drawn, "utf-8")
    assert PICTURE.read_text("utf-8") == drawn


def test_the_map_names_every_folder() -> None:
    named = set(re.findall(r"^\| `([\w/]+)/` \|", PAGE.read_text("utf-8"), re.MULTILINE))
    assert named == {folder.relative_to(ROOT).as_posix() for folder in code_folders()}


def code_folders() -> list[Path]:
    """Folders of the product with code of their own, each once."""
    folders = [ROOT / "grammars", ROOT / "programs", ROOT / "optimizers"]
    inside = [f for top in (ROOT / "lmc", ROOT / "optimizers") for f in top.rglob("*")]
    return folders + [f for f in inside if (f / "__init__.py").exists() and _is_own(f)]


def _is_own(folder: Path) -> bool:
    """Not a link to a folder that stands elsewhere, nor within one."""
    return not any(part.is_symlink() for part in (folder, *folder.parents))


def test_boxes_stand_together_and_apart() -> None:
    """Also one without an arrow, which has nothing to stand under."""
    rows = [["top"], ["left", "alone", "right"], ["bottom"]]
    arrows = {
        "top": {"left", "right", "bottom"},
        "left": set(),
        "alone": set(),
        "right": set(),
        "bottom": set(),
    }
    grid = placed(rows, arrows)
    middle = sorted(place.x for place in grid[1] if place.name)
    assert all(right - left >= BOX_WIDTH for left, right in pairwise(middle))
    everything = [place.x for row in grid for place in row]
    assert max(everything) - min(everything) < 5 * BOX_WIDTH
