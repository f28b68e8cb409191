"""The workflows hold no secret and give no right that is not needed; the versions agree."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from lmc.version import __version__

ROOT = Path(__file__).parents[2]
FLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
RELEASE = ROOT / ".github" / "workflows" / "release.yml"
PUBLISHING = {"id-token", "contents", "pages", "attestations"}
# A tag could be moved, a commit cannot.
OWN = re.compile(r"\./\.github/workflows/\w+\.yml")
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40}")


def loaded(file: Path) -> dict[Any, Any]:
    flow: dict[Any, Any] = yaml.safe_load(file.read_text("utf-8"))
    return flow


def steps(flow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in flow["jobs"].values() for step in job.get("steps", ())]


def test_the_versions_agree() -> None:
    extension = ROOT / "editors" / "vscode"
    assert json.loads((extension / "package.json").read_text("utf-8"))["version"] == __version__
    lock = json.loads((extension / "package-lock.json").read_text("utf-8"))
    assert lock["version"] == lock["packages"][""]["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dynamic"] == [
        "version"
    ]


@pytest.mark.parametrize("file", FLOWS, ids=lambda file: file.name)
def test_a_workflow_takes_only_what_it_can_trust(file: Path) -> None:
    flow = loaded(file)
    assert flow["permissions"] in ({}, {"contents": "read"})
    used = [step["uses"] for step in steps(flow) if "uses" in step]
    used += [job["uses"] for job in flow["jobs"].values() if "uses" in job]
    assert [use for use in used if not OWN.fullmatch(use) and not PINNED.fullmatch(use)] == []
    for step in steps(flow):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
        assert "${{" not in step.get("run", ""), "text of others would become a command"
    assert "secrets." not in file.read_text("utf-8")


def test_only_a_tag_publishes_and_only_what_was_tried() -> None:
    flow = loaded(RELEASE)
    assert flow[True]["push"] == {"tags": ["v[0-9]*"]}  # `on`, which YAML takes for true
    for name, job in flow["jobs"].items():
        writes = {right for right, how in job["permissions"].items() if how == "write"}
        assert writes <= PUBLISHING
        if name == "package":
            assert not writes
        else:
            assert writes and job["if"] == "github.event_name == 'push'"
            needs = job["needs"]
            assert "package" in ([needs] if isinstance(needs, str) else needs)


def test_the_image_is_made_of_what_the_wheel_is_made_of() -> None:
    """A folder that is not copied would be absent from the image, or its build would fail."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    copies = re.findall(r"^COPY ([^-].*) \S+$", (ROOT / "Dockerfile").read_text("utf-8"), re.M)
    copied = {name for line in copies for name in line.split()} - {"${PROGRAM}"}
    files = {project["project"]["readme"], *project["project"]["license-files"]}
    folders = set(project["tool"]["setuptools"]["package-dir"].values())
    assert copied == files | folders | {"constraints.txt", "pyproject.toml"}


@pytest.mark.parametrize("target", ["dist", "extension", "docs", "container"])
def test_ci_tries_what_a_release_publishes(target: str) -> None:
    text = "".join(file.read_text("utf-8") for file in FLOWS if file != RELEASE)
    assert re.search(rf"run: make {target}\b", text)
    assert "uses: ./.github/workflows/package.yml" in text
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
