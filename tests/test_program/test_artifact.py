"""Artifacts: round trip, the same bytes again, and nothing in a file is trusted."""

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.check import check_program
from lmc.diagnostics import LmcError
from lmc.files import write_atomically
from lmc.ir.graph import ProgramGraph
from lmc.ir.lower import lower
from lmc.ir.serialize import graph_from_json, graph_to_json
from lmc.measure.figures import Comparison, Difference, Figure
from lmc.models.base import Request
from lmc.models.scripted import Scripted
from lmc.program.artifact import Artifact, Manifest
from lmc.prompts.spec import Demo
from lmc.runtime.parameters import ModuleParameters, Parameters
from lmc.source import Source

TEXT = '''
generate draft(text: str) -> str { """Label the text.""" }
generate other(text: str) -> int { """Count the words.""" }
vote main(text: str) -> str { sample: draft(text), n: tune[3, 5] }
'''
DEMO = Demo({"text": "a"}, {"result": "x"}, "row 7, call /0/1")
TUNED = Parameters(
    {
        "draft": ModuleParameters(instruction="Label it.", demos=(DEMO,)),
        "other": ModuleParameters(demos=()),
    },
    {"main.n": 5},
)


def graph_of(text: str) -> ProgramGraph:
    program, found = check_program(Source("t.lmp", text))
    assert program is not None, found
    return lower(program)


def artifact() -> Artifact:
    figure = Figure(mean=0.5, low=0.4, high=0.6, rows=10)
    difference = Difference(mean=0.1, low=-0.1, high=0.3, rows=10)
    test = Comparison(before=figure, after=figure, difference=difference)
    manifest = Manifest(lmc="0.1.0", entry="t.lmp", test=test, choices={"main.n": 5})
    return Artifact(manifest, graph_of(TEXT), TUNED, {"t.lmp": TEXT})


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    artifact().write(tmp_path / "a.lmpc")
    read = Artifact.read(tmp_path / "a.lmpc")
    assert read.parameters == TUNED
    assert read.parameters.modules["draft"].demos[0].origin == DEMO.origin  # type: ignore[index]
    assert read.graph == artifact().graph
    assert read.sources == {"t.lmp": TEXT}
    assert read.manifest.test == artifact().manifest.test


def test_the_same_contents_are_the_same_bytes(tmp_path: Path) -> None:
    artifact().write(tmp_path / "a.lmpc")
    assert Artifact.read(tmp_path / "a.lmpc").to_bytes() == artifact().to_bytes()
    assert (tmp_path / "a.lmpc").read_bytes() == artifact().to_bytes()


ORDERED = """
let SIZES = {small: 1, large: 2, middle: 3}
generate ask(q: str) -> float { "Go on." }
pipeline main(q: str) -> list[str] { return keys({z: q, a: q}) + keys(SIZES) }
route cheapest(q: str) -> float {
  to: [OPTIONS]
  by: out
  threshold: 0.5
}
""".replace("OPTIONS", ", ".join(["ask(q)"] * 12))


def test_the_order_of_keys_is_kept(tmp_path: Path) -> None:
    demo = Demo({"q": {"z": 1, "a": 2}}, {"result": 0.5})
    tuned = Parameters({"ask": ModuleParameters(demos=(demo,))})
    made = Artifact(Manifest(lmc="0.1.0", entry="t.lmp"), graph_of(ORDERED), tuned, {})
    made.write(tmp_path / "a.lmpc")
    read = Artifact.read(tmp_path / "a.lmpc")
    (shown,) = read.parameters.modules["ask"].demos or ()
    assert list(shown.inputs["q"]) == ["z", "a"]
    options = next(n for n in read.graph.graphs["cheapest"].nodes if n.op == "route").bodies
    assert list(options) == [*(f"to.{i}" for i in range(12)), "by"]
    consts = [n.attrs["value"] for n in read.graph.graphs["main"].nodes if n.op == "const"]
    assert ["small", "large", "middle"] in [list(v) for v in consts if isinstance(v, dict)]
    assert read.to_bytes() == made.to_bytes()


def parts_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(path: Path, change: Callable[[dict[str, bytes]], Any]) -> Path:
    """An artifact with some part changed."""
    parts = parts_of(artifact().to_bytes())
    change(parts)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return path


def edited(name: str, **changes: Any) -> Callable[[dict[str, bytes]], Any]:
    def change(parts: dict[str, bytes]) -> None:
        parts[name] = json.dumps(json.loads(parts[name]) | changes).encode()

    return change


TAMPERED = {
    "a part is gone": lambda p: p.pop("graph.json"),
    "no manifest": lambda p: p.pop("manifest.json"),
    "other demonstrations": edited("parameters.json", modules={}),
    "another source": lambda p: p.update({"sources/t.lmp": b"generate x(a: str) -> str"}),
    "no JSON": lambda p: p.update({"manifest.json": b"{"}),
    "endless nesting": lambda p: p.update({"manifest.json": b"[" * 100_000}),
    "an unknown key": edited("manifest.json", surprise=1),
    "a path upwards": lambda p: p.update({"sources/../../x": b""}),
    "an absolute path": lambda p: p.update({"/etc/x": b""}),
    "a foreign part": lambda p: p.update({"code.py": b"print('run me')"}),
    "a pickle": lambda p: p.update({"parameters.pkl": b"\x80\x04."}),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_what_was_tampered_with_is_refused(name: str, tmp_path: Path) -> None:
    path = rewritten(tmp_path / "bad.lmpc", TAMPERED[name])
    with pytest.raises(LmcError) as caught:
        Artifact.read(path)
    assert caught.value.code == "artifact-damaged"


def test_a_value_that_is_no_option_is_refused(tmp_path: Path) -> None:
    bad = Artifact(artifact().manifest, artifact().graph, Parameters({}, {"main.n": 10**9}))
    bad.write(tmp_path / "bad.lmpc")
    with pytest.raises(LmcError, match="not an option"):
        Artifact.read(tmp_path / "bad.lmpc")


def test_a_newer_format_says_to_update(tmp_path: Path) -> None:
    path = rewritten(tmp_path / "new.lmpc", edited("manifest.json", format=99, lmc="7.0.0"))
    with pytest.raises(LmcError) as caught:
        Artifact.read(path)
    assert caught.value.code == "artifact-too-new"
    assert "7.0.0" in (caught.value.diagnostics[0].help or "")


def test_what_an_older_lmc_wrote_is_read(tmp_path: Path) -> None:
    old = Path(__file__).parent / "artifacts" / "format_1.lmpc"
    read = Artifact.read(old)
    assert (read.manifest.format, read.graph.version) == (1, 1)
    assert read.graph.graphs.keys() == graph_of(read.sources["desk.lmp"]).graphs.keys()
    assert read.parameters.choices == {"desk_of.n": 5}
    read.write(tmp_path / "again.lmpc")
    again = Artifact.read(tmp_path / "again.lmpc")
    assert (again.manifest.format, again.graph) == (2, read.graph)


def test_what_an_older_lmc_wrote_runs() -> None:
    def answer(request: Request) -> str:
        said = request.messages[0]["content"]
        if "Is it right?" in said:
            return '{"ok": true, "score": 1, "feedback": ""}'
        ticket = '{"title": "t", "tags": ["x", "x"], "desk": "support"}'
        return ticket if "Fill in the ticket." in said else "billing"

    old = Path(__file__).parent / "artifacts" / "format_1.lmpc"
    program = lmc.load(old, backend=Scripted(answer))
    assert program.main(mails=["a"]) == ["x"]
    assert program.desk_of(mail="q") == "billing"


@pytest.mark.parametrize("version", [0, 3, True, "2", None, 1.0])
def test_graphs_of_other_formats_are_refused(version: Any) -> None:
    with pytest.raises(LmcError) as caught:
        graph_from_json({**graph_to_json(graph_of(TEXT)), "version": version})
    assert caught.value.code == "unreadable-graph"


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 no zip", b"generate x(a: str) -> str"])
def test_other_files_are_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.lmpc").write_bytes(data)
    with pytest.raises(LmcError) as caught:
        Artifact.read(tmp_path / "x.lmpc")
    assert caught.value.code == "artifact-damaged"


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.99])
def test_a_cut_file_is_refused(keep: float, tmp_path: Path) -> None:
    data = artifact().to_bytes()
    (tmp_path / "x.lmpc").write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(LmcError) as caught:
        Artifact.read(tmp_path / "x.lmpc")
    assert caught.value.code == "artifact-damaged"


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmc.program.artifact.MAX_TEXT_BYTES", 1 << 20)
    path = rewritten(tmp_path / "bomb.lmpc", lambda p: p.update({"sources/b": b"\0" * (2 << 20)}))
    with pytest.raises(LmcError, match="too large"):
        Artifact.read(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(LmcError) as caught:
        Artifact.read(tmp_path / "none.lmpc")
    assert caught.value.code == "cannot-read"


def test_unchanged_modules_keep_their_tuning() -> None:
    changed = TEXT.replace("Count the words.", "Count the letters.")
    parameters, stale = artifact().apply_to(graph_of(changed))
    assert parameters.modules == {"draft": TUNED.modules["draft"]}
    assert parameters.choices == {"main.n": 5}
    assert stale == ["other"]


@pytest.mark.parametrize(
    ("old", "new", "stale"),
    [
        ("draft(text: str) -> str", "draft(text: str) -> str(..9)", ["draft"]),
        ("tune[3, 5]", "tune[3, 7]", ["main.n"]),
        ('generate other(text: str) -> int { """Count the words.""" }', "", ["other"]),
    ],
)
def test_what_changed_is_stale(old: str, new: str, stale: list[str]) -> None:
    assert artifact().apply_to(graph_of(TEXT.replace(old, new)))[1] == stale


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.lmpc"
    write_atomically(path, b"old")

    def refuse(*names: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(LmcError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.lmpc"]


@pytest.mark.parametrize(
    ("bound", "words"),
    [
        ("MOST_NODES", "its graph has [0-9]+ nodes, more than 5"),
        ("MAX_GRAPH_VALUES", "its graph has [0-9,]+ values, more than 5"),
        ("MAX_GRAPH_BYTES", "its graph has [0-9,]+ bytes, more than 5"),
        ("MAX_TEXT_BYTES", "its texts have more than 5 bytes"),
        ("MAX_PARTS", "it has 4 parts, more than 3"),
    ],
)
def test_what_could_not_be_read_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, words: str
) -> None:
    artifact().write(tmp_path / "a.lmpc")
    monkeypatch.setattr(f"lmc.program.artifact.{bound}", 3 if bound == "MAX_PARTS" else 5)
    with pytest.raises(LmcError, match=f"artifact-too-large.*{words}"):
        artifact().write(tmp_path / "b.lmpc")
    assert not (tmp_path / "b.lmpc").exists()
    with pytest.raises(LmcError, match="artifact-damaged"):
        Artifact.read(tmp_path / "a.lmpc")
