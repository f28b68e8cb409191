"""Artifacts (`.lmpc`): a program with its learnt parameters, in one file that runs no code.

    manifest.json      versions, the measurements, and the hash of every other part
    sources/<name>     the source texts
    graph.json         the execution graph, so that loading needs no parser and no source files
    parameters.json    instructions, demonstrations with their origin, choices, records of stores
    adapters/<id>/…    LoRA weights as safetensors, named by their contents
    media/<sha256>     images, audio and PDFs of the program and its demonstrations

Parts are stored uncompressed, sorted by name and without a time. So equal contents give equal bytes
on every machine.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from lmc.check.program import Choice
from lmc.diagnostics import LmcError
from lmc.files import indented_json, write_atomically
from lmc.frozen import frozen
from lmc.ir.graph import MOST_NODES, Node, ProgramGraph, Slots, all_nodes
from lmc.ir.ops import ATTEMPTS
from lmc.ir.reach import lasting
from lmc.measure.figures import Comparison, JsonPart
from lmc.media.content import Media, MediaProblem, described, map_media
from lmc.media.store import media_store
from lmc.models import adapters
from lmc.models.adapter_files import NotPlain, require_plain
from lmc.models.adapters import adapter_store, is_adapter_id
from lmc.regular import open_regular
from lmc.runtime.parameters import Parameters
from lmc.source import MOST_SOURCE_BYTES
from lmc.tasks.garbage import fewer_collections

FORMAT_VERSION = 3  # 1 holds graphs of format 1
WITHOUT_STORES = 2  # the format of an artifact that brings no records for stores
MAX_PARTS = 10_000
MAX_TEXT_BYTES = 256 << 20  # of all parts but adapters
MAX_GRAPH_BYTES = 64 << 20
MAX_GRAPH_VALUES = 3_000_000  # lists, objects and their values
MAX_ADAPTER_BYTES = 2 << 30  # per part of an adapter
MAX_GATES = 64  # of a module
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MANIFEST, _GRAPH, _PARAMETERS = "manifest.json", "graph.json", "parameters.json"
_FOLDERS = ("sources", "adapters", "media")


class Manifest(JsonPart):
    """The description of an artifact. It contains no times and no paths of a machine."""

    format: int = WITHOUT_STORES
    lmc: str
    entry: str
    target: str | None = None
    status: Literal["complete", "stopped"] = "complete"
    models: tuple[str, ...] = ()
    choices: dict[str, Any] = Field(default_factory=dict)
    metric: str | None = None
    data: str | None = None  # SHA-256 over all rows
    rows: dict[str, int] = Field(default_factory=dict)
    steps: tuple[str, ...] = ()
    seed: int = 0
    improved: bool = False
    dev: Comparison | None = None  # the rows that confirmed the choice
    test: Comparison | None = None
    calls: int = 0
    tokens: int | None = None  # None if it depends on timing (see `provenance.has_votes`)
    cost_usd: float | None = None
    parts: dict[str, str] = Field(default_factory=dict)  # SHA-256 by name, filled in on writing


@frozen
class Artifact:
    """A program and its parameters, with the sources and a record of how they were made."""

    manifest: Manifest
    graph: ProgramGraph
    parameters: Parameters = field(default_factory=Parameters)
    sources: Mapping[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write the file completely or not at all."""
        write_atomically(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """The contents of the file. Equal artifacts give equal bytes.

        Raises: LmcError[artifact-too-large] for one that could not be read again.
        """
        parts = {
            _GRAPH: graph_part(self.graph),
            _PARAMETERS: _dump(self.parameters.to_json()),
            **{f"sources/{name}": text.encode() for name, text in self.sources.items()},
            **_adapter_parts(self.parameters),
        }
        parts |= _media_parts(parts)
        _require_readable(parts)
        hashes = {name: hashlib.sha256(parts[name]).hexdigest() for name in sorted(parts)}
        format = FORMAT_VERSION if self.parameters.stores else WITHOUT_STORES
        manifest = self.manifest.model_copy(update={"format": format, "parts": hashes})
        told = _dump(manifest.model_dump(mode="json"), sort_keys=True)
        return _zip({_MANIFEST: told, **parts})

    @classmethod
    def read(cls, path: Path) -> Artifact:
        """Read and check a file.

        Raises: LmcError[cannot-read, artifact-damaged, artifact-too-new].
        """
        try:
            with open_regular(path) as file, zipfile.ZipFile(file) as archive:
                return cls._from_parts(_read_parts(archive, os.fstat(file.fileno()).st_size))
        except OSError as problem:
            reason = problem.strerror or str(problem)
            raise LmcError.of("cannot-read", f"cannot read {path}: {reason}") from None
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, _Damage) as problem:
            raise LmcError.of(
                "artifact-damaged",
                f"{path} is not an artifact of lmc, or it is damaged: {problem}",
                help="write it again with `lmc compile`",
            ) from None

    @classmethod
    def _from_parts(cls, parts: Mapping[str, bytes]) -> Artifact:
        manifest = _read_manifest(parts)
        _check_hashes(manifest, parts)
        graph = _read_graph(parts)
        parameters = _decode(_PARAMETERS, parts, _read_parameters)
        _check_choices(graph, parameters)
        _check_shortcuts(graph, parameters)
        _take_in_adapters(parameters, parts)
        _take_in_media(parts)
        _check_records(graph, parameters)
        return cls(manifest, graph, parameters, _read_sources(parts))

    @property
    def modules(self) -> tuple[str, ...]:
        """The names of the modules that call a model."""
        return tuple(_modules(self.graph))

    def apply_to(self, graph: ProgramGraph) -> tuple[Parameters, list[str]]:
        """The parameters that still apply to a changed program, and the names of stale ones.

        A module keeps its slots if its signature and instruction are unchanged. A choice keeps its
        value if that is still an option.
        """
        old, new = _modules(self.graph), _modules(graph)
        options = {choice.id: choice.options for choice in graph_choices(graph)}
        kept = {
            name: module
            for name, module in self.parameters.modules.items()
            if name in new and old.get(name) == new[name]
        }
        choices = {
            id: value
            for id, value in self.parameters.choices.items()
            if value in options.get(id, ())
        }
        shortcuts = {
            name: module
            for name, module in self.parameters.shortcuts.items()
            if module in kept and name in graph.graphs
            if can_stand_in(graph, module, name)
        }
        stores = {
            name: records
            for name, records in self.parameters.stores.items()
            if self.graph.stores.get(name) == graph.stores.get(name)
        }
        stale = [name for name in self.parameters.modules if name not in kept]
        stale += [id for id in self.parameters.choices if id not in choices]
        stale += [name for name in self.parameters.shortcuts if name not in shortcuts]
        stale += [name for name in self.parameters.stores if name not in stores]
        return Parameters(kept, choices, shortcuts, stores), sorted(stale)


def graph_choices(graph: ProgramGraph) -> Iterator[Choice]:
    """Every `tune[…]` of a program, at any place."""
    for node in _all_nodes(graph):
        yield from (value for value in node.attrs.values() if isinstance(value, Choice))
        slots = node.attrs.get("slots")
        if isinstance(slots, Slots):
            yield from (v for v in slots.settings.values() if isinstance(v, Choice))


# --- writing ---


def graph_part(graph: ProgramGraph) -> bytes:
    """A graph as an artifact holds it. Raises: LmcError[artifact-too-large]."""
    from lmc.ir.serialize import graph_to_json

    part = _dump(graph_to_json(graph))
    if reason := _too_large(part):
        raise _unwritable(f"its graph has {reason}")
    return part


def _require_readable(parts: Mapping[str, bytes]) -> None:
    """Refuse what `read` would refuse. Raises: LmcError[artifact-too-large]."""
    text = sum(len(data) for name, data in parts.items() if not name.startswith("adapters/"))
    if len(parts) >= MAX_PARTS:  # the manifest is one more
        raise _unwritable(f"it has {len(parts) + 1:,} parts, more than {MAX_PARTS:,}")
    if text > MAX_TEXT_BYTES:
        raise _unwritable(f"its texts have more than {MAX_TEXT_BYTES:,} bytes")
    if large := [name for name, data in parts.items() if len(data) > MAX_ADAPTER_BYTES]:
        raise _unwritable(f"`{large[0]}` has more than {MAX_ADAPTER_BYTES:,} bytes")


def _unwritable(reason: str) -> LmcError:
    message = f"the artifact is too large to be read again: {reason}"
    help = "split the program into several, or use fewer and shorter pipelines"
    return LmcError.of("artifact-too-large", message, help=help)


def _too_large(graph: bytes) -> str | None:
    """What a graph has too much of, written as JSON; None if it can be read. Counts are cheap."""
    values, nodes = sum(map(graph.count, _SEPARATORS)), graph.count(b'"Node"')
    found = (
        (nodes, MOST_NODES, "nodes"),
        (values, MAX_GRAPH_VALUES, "values"),
        (len(graph), MAX_GRAPH_BYTES, "bytes"),
    )
    told = (f"{n:,} {what}, more than {most:,}" for n, most, what in found if n > most)
    return next(told, None)


_SEPARATORS = (b"{", b"[", b",")


def _dump(value: Any, *, sort_keys: bool = False) -> bytes:
    """JSON with its keys in their order: prompts show a dict so, and `keys(…)` gives it."""
    return indented_json(value, sort_keys=sort_keys).encode() + b"\n"


def _zip(parts: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(parts):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, parts[name])
    return buffer.getvalue()


# --- reading: nothing in the file is trusted ---


class _Damage(Exception):
    """The file is damaged. The message says how."""


class _DemoPart(JsonPart):
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    origin: str = ""


class _GatePart(JsonPart):
    adapter: str | None
    bias: float = Field(allow_inf_nan=False)
    words: dict[str, Annotated[float, Field(allow_inf_nan=False)]]


class _ModulePart(JsonPart):
    instruction: str | None = None
    demos: list[_DemoPart] | None = None
    nearest: int | None = Field(default=None, ge=1)
    embedder: str | None = None
    steps: list[tuple[str, str]] | None = None
    adapter: str | None = None
    model: str | None = None
    gates: list[_GatePart] = Field(default_factory=list, max_length=MAX_GATES)


class _ParametersPart(JsonPart):
    modules: dict[str, _ModulePart]
    choices: dict[str, Any]
    shortcuts: dict[str, str] = Field(default_factory=dict)
    stores: dict[str, list[Any]] = Field(default_factory=dict)


def _read_parts(archive: zipfile.ZipFile, file_bytes: int) -> dict[str, bytes]:
    """Read the parts. They must not overlap and must fit into memory."""
    entries = archive.infolist()
    if len(entries) > MAX_PARTS:
        raise _Damage(f"it has {len(entries)} parts")
    if sum(entry.compress_size for entry in entries) > file_bytes:
        raise _Damage("its parts overlap")
    parts: dict[str, bytes] = {}
    text_bytes = 0
    for entry in entries:
        _check_name(entry.filename, parts)
        weights = entry.filename.startswith("adapters/")
        if weights and entry.compress_type != zipfile.ZIP_STORED:
            raise _Damage(f"`{entry.filename}` is compressed, so its size cannot be trusted")
        text_bytes += 0 if weights else entry.file_size
        if entry.file_size > MAX_ADAPTER_BYTES or text_bytes > MAX_TEXT_BYTES:
            raise _Damage(f"`{entry.filename}` is too large")
        with archive.open(entry) as file:
            parts[entry.filename] = file.read(entry.file_size + 1)
    return parts


def _check_name(name: str, known: Mapping[str, bytes]) -> None:
    path = PurePosixPath(name)
    plain = name == str(path) and not path.is_absolute() and ".." not in path.parts
    known_part = name in (_MANIFEST, _GRAPH, _PARAMETERS)
    expected = known_part or path.parts[0] in _FOLDERS
    if not plain or not expected or "\\" in name or name in known:
        raise _Damage(f"unexpected part {name!r}")


def _read_manifest(parts: Mapping[str, bytes]) -> Manifest:
    data = _decode(_MANIFEST, parts, lambda value: value)
    version = data.get("format") if isinstance(data, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        made_by = data.get("lmc", "a newer lmc")
        raise LmcError.of(
            "artifact-too-new",
            f"the artifact has format {version}; this lmc reads formats up to {FORMAT_VERSION}",
            help=f"it was made by lmc {made_by}: update lmc",
        )
    manifest: Manifest = _decode(_MANIFEST, parts, Manifest.model_validate)
    return manifest


def _check_hashes(manifest: Manifest, parts: Mapping[str, bytes]) -> None:
    if missing := manifest.parts.keys() - parts.keys():
        raise _Damage(f"`{min(missing)}` is missing")
    for name, data in parts.items():
        if name == _MANIFEST:
            continue
        if manifest.parts.get(name) != hashlib.sha256(data).hexdigest():
            raise _Damage(f"`{name}` was changed after it was written")


def _adapter_parts(parameters: Parameters) -> dict[str, bytes]:
    """The files of the adapters that the parameters name. Adapters of a server are left out."""
    named = {id for module in parameters.modules.values() for id in module.adapters}
    return {
        f"adapters/{id}/{name}": data
        for id in sorted(named)
        if is_adapter_id(id)
        for name, data in adapter_store().find(id).files().items()
    }


def _take_in_adapters(parameters: Parameters, parts: Mapping[str, bytes]) -> None:
    """Add the adapters to the store, from which engines load them."""
    for id in (id for module in parameters.modules.values() for id in module.adapters):
        if not is_adapter_id(id):
            continue
        names = {name: f"adapters/{id}/{name}" for name in adapters.FILES}
        if missing := [path for path in names.values() if path not in parts]:
            raise _Damage(f"`{missing[0]}` is missing")
        files = {name: parts[path] for name, path in names.items()}
        if adapters.adapter_id(files) != id:
            raise _Damage(f"the contents of `adapters/{id}` do not match its name")
        try:
            require_plain(files)
        except NotPlain as problem:
            raise _Damage(f"`adapters/{id}`: {problem}") from None
        adapter_store().add_files(files)


def _media_parts(parts: Mapping[str, bytes]) -> dict[str, bytes]:
    """The contents of the media that the graph and the parameters hold, each once.

    Raises: LmcError[media-missing].
    """
    found: dict[str, bytes] = {}

    def take(value: dict[str, Any]) -> None:
        media = Media.from_json(value)
        found[f"media/{media.sha256}"] = media.data

    for name in (_GRAPH, _PARAMETERS):
        if b'"sha256"' in parts[name]:
            map_media(_read_json(parts[name]), take)
    return found


def _take_in_media(parts: Mapping[str, bytes]) -> None:
    """Keep the media, from where requests take them. They are named by their contents."""
    for name in parts:
        if not name.startswith("media/"):
            continue
        try:
            media = described(parts[name])
        except MediaProblem as problem:
            raise _Damage(f"`{name}` {problem}") from None
        if name != f"media/{media.sha256}":
            raise _Damage(f"the contents of `{name}` do not match its name")
        media_store().put(media.sha256, parts[name])


def _read_sources(parts: Mapping[str, bytes]) -> dict[str, str]:
    found = {name: data for name, data in parts.items() if name.startswith("sources/")}
    if large := [name for name, data in found.items() if len(data) > MOST_SOURCE_BYTES]:
        raise _Damage(f"`{large[0]}` is too large")
    texts = {name: data.decode("utf-8", "replace") for name, data in found.items()}
    return {name.removeprefix("sources/"): text for name, text in texts.items()}


def _decode(name: str, parts: Mapping[str, bytes], read: Any) -> Any:
    if name not in parts:
        raise _Damage(f"`{name}` is missing")
    try:
        return read(_read_json(parts[name]))
    except ValidationError as problem:
        first = problem.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise _Damage(f"`{name}`: {place}: {first['msg']}") from None
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        LookupError,
        RecursionError,
    ) as problem:
        raise _Damage(f"`{name}` cannot be read ({type(problem).__name__})") from None


def _read_graph(parts: Mapping[str, bytes]) -> ProgramGraph:
    """Read the graph and check it against its specification. Its size is bounded first."""
    from lmc.ir.serialize import graph_from_json
    from lmc.ir.verify import GraphFault, verify

    if reason := _too_large(parts.get(_GRAPH, b"")):
        raise _Damage(f"`{_GRAPH}` is too large: {reason}")
    try:
        with fewer_collections():
            graph: ProgramGraph = _decode(_GRAPH, parts, graph_from_json)
            verify(graph)
    except LmcError as problem:
        raise _Damage(f"`{_GRAPH}`: {problem.diagnostics[0].message}") from None
    except GraphFault as fault:
        first, *others = str(fault).splitlines()
        more = f" (and {len(others)} more)" if others else ""
        raise _Damage(f"`{_GRAPH}`: {first}{more}") from None
    return graph


def _read_json(data: bytes) -> Any:
    """Read a JSON value that can be written again. Raises: ValueError."""
    value = json.loads(data, parse_constant=_refuse)
    if _SURROGATE.search(data):
        json.dumps(value, ensure_ascii=False).encode()  # fails for half a surrogate pair
    return value


_SURROGATE = re.compile(rb"\\u[dD]")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _read_parameters(data: Any) -> Parameters:
    _ParametersPart.model_validate(data)
    return Parameters.from_json(data)


def _check_choices(graph: ProgramGraph, parameters: Parameters) -> None:
    """Refuse a value that is not an option: it could make a bounded loop endless."""
    options = {choice.id: choice.options for choice in graph_choices(graph)}
    for id, value in parameters.choices.items():
        if value not in options.get(id, ()):
            raise _Damage(f"`{_PARAMETERS}`: {value!r} is not an option of `{id}`")


def _check_shortcuts(graph: ProgramGraph, parameters: Parameters) -> None:
    """Refuse a graph that replaces itself or another kind of call: it could do anything."""
    for name, module in parameters.shortcuts.items():
        if not {name, module} <= graph.graphs.keys() or not can_stand_in(graph, module, name):
            raise _Damage(f"`{_PARAMETERS}`: `{module}` cannot replace `{name}`")


def _check_records(graph: ProgramGraph, parameters: Parameters) -> None:
    """Refuse records that the stores of the program could not have kept."""
    from lmc.stores.brought import BadRecords, require_own

    try:
        require_own(graph.stores, parameters.stores)
    except BadRecords as problem:
        raise _Damage(f"`{_PARAMETERS}`: {problem}") from None


# --- the parts of a program that an artifact depends on ---


def can_stand_in(program: ProgramGraph, name: str, replaced: str) -> bool:
    """Whether a module can replace a vote or refine: its inputs and result are the same.

    One with an effect stays, as does one that keeps something: nobody would do it then.
    """
    module, whole = program.graphs[name], program.graphs[replaced]
    if replaced in lasting(program):
        return False
    given = {port.name: port.type for port in whole.inputs}
    needed = (port for port in module.inputs if not port.train and not port.has_default)
    return (
        whole.kind in ATTEMPTS
        and module.kind == "generate"
        and module.result == whole.result
        and all(given.get(port.name) == port.type for port in needed)
    )


def _all_nodes(graph: ProgramGraph) -> Iterator[Node]:
    for one in graph.graphs.values():
        yield from all_nodes(one)


def _modules(graph: ProgramGraph) -> dict[str, tuple[Any, ...]]:
    """The parts of each module that must be unchanged for its tuning to apply."""
    found = {}
    for node in _all_nodes(graph):
        if node.op == "model":
            slots: Slots = node.attrs["slots"]
            found[slots.module] = (
                node.attrs["role"],
                tuple(node.attrs["names"]),
                node.type,
                slots.instruction,
                slots.frozen,
                slots.settings.get("reason"),
            )
    return found
