"""Adapters that were trained before, each good at a part of the inputs, are routed by gates."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.check import check_program
from lmc.diagnostics import LmcError
from lmc.models.adapters import adapter_store
from lmc.models.base import Request
from lmc.models.scripted import Scripted
from lmc.optimizers.route_adapters import fit_gate
from lmc.program.artifact import Artifact, Manifest
from lmc.program.program import lower_checked
from lmc.runtime.gates import AdapterGate, chosen_adapter, words_in
from lmc.runtime.parameters import ModuleParameters, Parameters
from lmc.source import Source
from tests.lora_files import adapter_files

PROGRAM = 'generate main(text: str) -> str { """Do it.""" }\n'
OTHER = PROGRAM.replace("main", "other")
ROWS = [
    {"text": f"{verb} {n} and {n * n}", "label": verb}
    for n in range(60)
    for verb in ("add", "spell")
]
STEP = 'route_adapters(artifacts="add.lmpc, spell.lmpc", merge=false)'


def held(path: str, text: str, modules: Mapping[str, ModuleParameters]) -> None:
    program, found = check_program(Source("it.lmp", text))
    assert program is not None, found
    known = Manifest(lmc=lmc.__version__, entry="it.lmp", target=next(iter(modules)))
    Artifact(known, lower_checked(program), Parameters(dict(modules))).write(Path(path))


@pytest.fixture
def ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The adapters of two artifacts, by what each is good at."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "cache"))
    Path("it.lmp").write_text(PROGRAM)
    found = {}
    for alpha, verb in enumerate(("add", "spell"), start=1):
        found[verb] = adapter_store().add_files(adapter_files(lora_alpha=alpha)).id
        held(f"{verb}.lmpc", PROGRAM, {"main": ModuleParameters(adapter=found[verb])})
    return found


def model_of(ids: Mapping[str, str]) -> Scripted:
    """Right where the adapter of the request is good at the verb."""

    def reply(request: Request) -> list[str]:
        (verb,) = re.findall(r"(add|spell) \d", request.messages[-1]["content"])
        return [verb if ids[verb] == request.adapter else "?"] * request.n

    return Scripted(reply, name="verbs")


def compiled(
    model: Scripted, step: str = STEP, program: str = "it.lmp", **options: Any
) -> lmc.CompileResult:
    return lmc.compile(
        program, data=ROWS, metric="accuracy", optimizer=step, backend=model, cache=False,
        out="it.lmpc", **options,
    )  # fmt: skip


def test_each_input_is_answered_by_the_adapter_that_is_good_at_it(ids: dict[str, str]) -> None:
    model = model_of(ids)
    result = compiled(model)
    assert result.test is not None
    assert (result.test.before.mean, result.test.after.mean) == (0.0, 1.0)
    assert any("the gates of main choose: the start 0, add.lmpc" in note for note in result.notes)
    for path in (*Path("cache", "adapters").iterdir(),):  # the artifact brings what it needs
        for file in path.iterdir() if path.is_dir() else ():
            file.unlink()
    program = lmc.load("it.lmpc", backend=model, cache=False)
    model.requests.clear()
    assert program.main.batch(["spell 7 and 900", "add 7 and 900"]) == ["spell", "add"]
    assert {request.adapter for request in model.requests} == set(ids.values())
    assert all((adapter_store().root / id).is_dir() for id in ids.values())


def test_gates_that_choose_one_adapter_always_are_not_kept(ids: dict[str, str]) -> None:
    model = model_of(dict.fromkeys(("add", "spell"), ids["add"]))
    parameters = compiled(model).artifact.parameters.modules["main"]
    assert (parameters.adapter, parameters.gates) == (ids["add"], ())


def test_a_new_adapter_replaces_the_gates() -> None:
    gates = (AdapterGate(None, 0.0, {}),)
    parameters = Parameters({"main": ModuleParameters(adapter="a", gates=gates)})
    assert Parameters.from_json(parameters.to_json()) == parameters
    assert parameters.with_slots("main", adapter="b").modules["main"].gates == ()
    assert parameters.with_slots("main", demos=()).modules["main"].gates == gates


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("route_adapters()", "names no artifact"),
        ('route_adapters(artifacts="none.lmpc")', "none.lmpc: No such file"),
        ('route_adapters(artifacts="other.lmpc")', "it has adapters of other"),
        ('route_adapters(artifacts="plain.lmpc")', "it has no adapters"),
    ],
)
def test_what_holds_no_fitting_adapter_is_refused_before_a_model_is_asked(
    step: str, words: str, ids: dict[str, str]
) -> None:
    held("other.lmpc", OTHER, {"other": ModuleParameters(adapter=ids["add"])})
    held("plain.lmpc", PROGRAM, {"main": ModuleParameters(instruction="Do it well.")})
    model = model_of(ids)
    with pytest.raises(LmcError) as failure:
        compiled(model, step)
    assert words in str(failure.value)
    assert model.requests == []


def test_artifacts_are_in_the_folder_of_the_program(ids: dict[str, str]) -> None:
    Path("in").mkdir()
    for name in ("it.lmp", "add.lmpc"):
        Path("in", name).write_bytes(Path(name).read_bytes())
    model = model_of(ids)

    def asked(artifacts: str, **options: Any) -> lmc.CompileResult:
        step = f'route_adapters(artifacts="{artifacts}", merge=false)'
        return compiled(model, step, program="in/it.lmp", **options)

    for outside in ("add.lmpc, ../spell.lmpc", f"{Path.cwd()}/spell.lmpc"):
        with pytest.raises(LmcError) as failure:
            asked(outside)
        assert failure.value.code == "outside-folder" and model.requests == []
    assert len(asked("add.lmpc, ../spell.lmpc", paths=".").artifact.parameters.modules) == 1


@pytest.mark.parametrize(
    "damage",
    [
        {"bias": float("nan")},
        {"words": {"add": float("inf")}},
        {"words": ["add"]},
        {"adapter": "0" * 32},
        {"more": 1},
    ],
    ids=str,
)
def test_gates_of_an_artifact_are_not_trusted(damage: Any, ids: dict[str, str]) -> None:
    gate = AdapterGate(ids["add"], 0.5, {"add": 1.0})
    held("whole.lmpc", PROGRAM, {"main": ModuleParameters(gates=(gate,))})
    lmc.load("whole.lmpc")
    forge("whole.lmpc", "forged.lmpc", damage)
    with pytest.raises(LmcError) as failure:
        lmc.load("forged.lmpc")
    assert failure.value.code == "artifact-damaged"


def forge(whole: str, path: str, damage: Mapping[str, Any]) -> None:
    """Change a gate, with the hash of its part, as somebody who writes artifacts can."""
    with zipfile.ZipFile(whole) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    (name,) = [n for n in parts if n.startswith("parameters")]
    data = json.loads(parts[name])
    data["modules"]["main"]["gates"][0].update(damage)
    parts[name] = json.dumps(data).encode()
    manifest = json.loads(parts["manifest.json"])
    manifest["parts"][name] = hashlib.sha256(parts[name]).hexdigest()
    parts["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for own, text in parts.items():
            archive.writestr(own, text)


def test_a_gate_learns_the_words_that_tell_and_stays_finite() -> None:
    seen = [(words_in({"text": row["text"]}), float(row["label"] == "add")) for row in ROWS]
    bias, words = fit_gate(seen)
    assert words["add"] > 1 > -1 > words["spell"]
    assert abs(words["and"]) < 0.5
    assert abs(bias) < 2
    always, _ = fit_gate([(["x"], 1.0)] * 50)
    assert 1 < always < 20
    assert fit_gate([]) == (0.0, {})


def test_the_first_of_equal_gates_is_chosen() -> None:
    gates = [AdapterGate(None, 0.0, {}), AdapterGate("a", 0.0, {"x": 1.0})]
    assert chosen_adapter(gates, {"text": "y"}) is None
    assert chosen_adapter(gates, {"text": "Y, x!"}) == "a"
    assert chosen_adapter([replace(gates[1], bias=-2.0), gates[0]], {"text": "x"}) is None
