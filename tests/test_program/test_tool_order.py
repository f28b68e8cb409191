"""Calls of tools that may do something in the world are made in the order of the source."""

from __future__ import annotations

import threading
from pathlib import Path

import lmc

WRITES = """
pipeline main(q: str) -> str {
  let a = write("1")
  let b = write("2")
  let c = join([write("3"), q])
  return join([c, noted(q)])
}
pipeline noted(q: str) -> str {
  let d = write("4")
  return write("5")
}
"""


def written(tmp_path: Path, settings: str) -> list[str]:
    """What was written, in which order. The first call gives the others the time to overtake it."""
    file = tmp_path / "p.lmp"
    file.write_text(f'tool write(x: str) -> str from "t:write" {settings}\n{WRITES}')
    log: list[str] = []
    another = threading.Event()

    def write(x: str) -> str:
        if x == "1":
            another.wait(0.2)
        another.set()
        log.append(x)
        return x

    lmc.load(file, cache=False, tools={"write": write}).main("q")
    return log


def test_the_calls_of_a_body_are_made_in_order(tmp_path: Path) -> None:
    assert written(tmp_path, "") == ["1", "2", "3", "4", "5"]


def test_unread_calls_of_a_pure_tool_are_not_made(tmp_path: Path) -> None:
    assert sorted(written(tmp_path, "{ pure: true }")) == ["3", "5"]
