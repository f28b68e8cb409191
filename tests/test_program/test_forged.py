"""Artifacts whose graph was forged, its hash with it: each is refused, or harmless."""

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmc.diagnostics import LmcError
from lmc.ir.cost import MOST_CALLS, cost
from lmc.ir.graph import ProgramGraph
from lmc.passes.pipeline import run_passes
from lmc.program import artifact as module
from lmc.program.artifact import Artifact, Manifest
from lmc.program.program import lower_file
from lmc.runtime.parameters import Parameters
from lmc.runtime.plan import plan_graph, resolver
from tests.programs import lowered

FOLDER = Path(__file__).parents[2] / "programs"
TEXT = """
record Pair { left: str, right: int }
dataset rows: Pair { source: "rows.jsonl" }
tool fetch(x: str) -> str from "tools:fetch"
generate small(x: str, hint: str = "none") -> str {
  temperature: tune[0.0, 1.0]  demos: 2
  require: len(out) > 0
}
critique judge(x: str, draft: str) -> Verdict { subject: draft temperature: 0.0 }
refine better(x: str) -> str { draft: small(x) check: judge(x, draft) rounds: tune[1, 2] }
vote often(x: str) -> str { sample: better(x) n: 3 }
metric equal(gold: Pair, pred: str) -> bool { return gold.left == pred }
pipeline part(x: str) -> Pair { return Pair(left=x, right=len(x)) }
pipeline main(xs: list[str](..4), x: str) -> list[str] {
  let pair = part(x)
  let long = loop s = x for 3 until len(s) > 9 { yield small(join([s, fetch(s)])) }
  let all = [often(y) for y in xs if len(y) > 1]
  return if pair.right > 3 then all else [long]
}
test "a stub" {
  stub small -> "it"
  assert len(main(["a"], "b")) == 1
}
"""
UNIONS = """
record A { kind: "a", x: int }
record B { kind: "b", y: int }
record Tree(depth: 3) { label: str, of: list[Tree] }
generate pick(q: str) -> A | B
generate grow(q: str) -> Tree
generate tags(q: str) -> list[str](unique)
pipeline main(q: str) -> int {
  let x = pick(q)
  return match x { A => x.x, B => x.y } + len(grow(q).of) + len(tags(q))
}
"""
Json = Any
Change = Callable[[Json], Any]


@cache
def graph_of(name: str) -> ProgramGraph:
    """The program above, or one of the library, after the passes."""
    texts = {"text": TEXT, "unions": UNIONS}
    return run_passes(lowered(texts[name])) if name in texts else lower_file(FOLDER / f"{name}.lmp")


@cache
def parts_of(name: str) -> dict[str, bytes]:
    from tests.test_program.test_artifact import parts_of as unzipped

    graph = graph_of(name)
    return unzipped(Artifact(Manifest(lmc="0.1.0", entry="t.lmp"), graph).to_bytes())


def forged(path: Path, graph: bytes, name: str = "text", **parameters: Any) -> Path:
    """An artifact with another graph, and the hashes to it."""
    parts = {**parts_of(name), "graph.json": graph}
    if parameters:
        parts["parameters.json"] = json.dumps(
            json.loads(parts["parameters.json"]) | parameters
        ).encode()
    manifest = json.loads(parts.pop("manifest.json"))
    manifest["parts"] = {key: hashlib.sha256(data).hexdigest() for key, data in parts.items()}
    parts["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for key, data in parts.items():
            archive.writestr(key, data)
    return path


def changed(name: str, change: Change) -> bytes:
    data = json.loads(parts_of(name)["graph.json"])
    change(data)
    return json.dumps(data).encode()


def refusal(path: Path) -> str:
    with pytest.raises(LmcError) as caught:
        Artifact.read(path)
    assert caught.value.code == "artifact-damaged"
    return caught.value.diagnostics[0].message


# --- finding one's way in the JSON ---


def inside(value: Json) -> Iterator[Json]:
    """All objects in a JSON value, the outermost first."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, dict | list):
            yield from inside(item)


def first(data: Json, cls: str, **fields: Any) -> Json:
    return next(
        found
        for found in inside(data)
        if found.get("$") == cls and all(found.get(key) == value for key, value in fields.items())
    )


def node(data: Json, op: str) -> Json:
    return first(data, "Node", op=op)


def attrs(op: str, **values: Any) -> Change:
    return lambda data: node(data, op)["attrs"]["of"].update(values)


def without(op: str, key: str) -> Change:
    return lambda data: node(data, op)["attrs"]["of"].pop(key)


def setting(**values: Any) -> Change:
    return lambda data: first(data, "Slots")["settings"]["of"].update(values)


def graph(data: Json, name: str) -> Json:
    return data["graphs"]["of"][name]


def choice(id: str, *options: Any) -> Json:
    span = {"$": "Span", "at": [0, 0, 1]}
    return {"$": "Choice", "id": id, "options": {"$": "tuple", "of": [*options]}, "span": span}


def nested(depth: int) -> Json:
    value: Json = []
    for _ in range(depth):
        value = [value]
    return value


def body_in_body(data: Json) -> None:
    inner = node(data, "cond")["bodies"]["of"]
    for _ in range(150):
        inner["then"] = {**inner["then"], "nodes": {"$": "tuple", "of": [_cond(dict(inner))]}}


def _cond(bodies: Json) -> Json:
    none = {"$": "NoneType"}
    free = {"$": "map", "of": {"free": {"$": "tuple", "of": []}}}
    return {
        "$": "Node", "id": "c", "op": "cond", "type": none, "attrs": free,
        "bodies": {"$": "map", "of": bodies},
    }  # fmt: skip


def deep_types(data: Json) -> None:
    """Record types that each hold the one before twice: 2 ** 50 parts, written in a few lines."""
    start = len(data["types"])
    data["types"].append(_record("R", {"$": "StrType"}))
    for level in range(50):
        before = {"$": "type", "index": start + level}
        data["types"].append(_record("R", before))
    node(data, "input")["type"] = {"$": "type", "index": start + 50}


def _record(name: str, field: Json) -> Json:
    fields = [{"$": "Field", "name": key, "type": field} for key in "ab"]
    return {"$": "RecordType", "name": name, "fields": {"$": "tuple", "of": fields}}


def chain(data: Json, length: int = 1000, last: str = "part") -> None:
    """Pipelines that each call the next."""
    part = graph(data, "part")
    for i in range(length):
        call = {
            "$": "Node", "id": "%1", "op": "call", "type": part["result"],
            "inputs": {"$": "tuple", "of": ["%0"]},
            "attrs": {"$": "map", "of": {"target": f"p{i + 1}" if i < length - 1 else last}},
        }  # fmt: skip
        end = {**part["nodes"]["of"][-1], "id": "%2", "inputs": {"$": "tuple", "of": ["%1"]}}
        nodes = {"$": "tuple", "of": [part["nodes"]["of"][0], call, end]}
        data["graphs"]["of"][f"p{i}"] = {**part, "name": f"p{i}", "nodes": nodes}


def pattern(data: Json) -> None:
    """A pattern that takes for ever to be tried on a text that stands where it is asked for."""
    const = node(data, "const")
    const["type"] = {"$": "StrType", "pattern": "(a+)+$"}
    const["attrs"]["of"]["value"] = "a" * 60 + "b" * 60
    port = first(data, "Port", name="hint")
    port["type"], port["default"] = const["type"], "a" * 64 + "b"


BAD: dict[str, Change] = {
    "a bound of 10^12": attrs("loop", bound=10**12),
    "a bound that is a float": attrs("loop", bound=3.0),
    "a bound that is true": attrs("loop", bound=True),
    "a bound that is a text": attrs("loop", bound="3"),
    "a bound that is a list": attrs("loop", bound=[3]),
    "a choice with such a bound": attrs("loop", bound=choice("new", 1, 10**12)),
    "a choice of nothing": attrs("loop", bound=choice("new")),
    "a choice of one id, twice": lambda d: (
        attrs("loop", bound=choice("c", 1))(d), attrs("vote", n=choice("c", 2))(d)
    ),
    "a choice that shares the id of another": attrs("loop", bound=choice("better.rounds", 1, 99)),
    "a choice without a place": attrs("loop", bound={**choice("c", 1), "span": 3}),
    "a thousand million samples": attrs("vote", n=10**9),
    "no samples": attrs("vote", n=0),
    "samples that are none": attrs("vote", n=None),
    "a way to vote that there is none": attrs("vote", by="chance"),
    "fields that the samples lack": attrs("vote", by={"$": "tuple", "of": ["colour"]}),
    "a vote by a body that it lacks": attrs("vote", by="expr"),
    "a vote that stops by a body that it lacks": attrs("vote", stop_early="dsc"),
    "rounds that are a text": attrs("refine", rounds="2"),
    "rounds without end": attrs("refine", rounds=10**6),
    "an unknown attribute": attrs("refine", surprise=1),
    "in flight that is a text": attrs("map", in_flight="many"),
    "in flight below one": attrs("map", in_flight=0),
    "a count that is a text": attrs("map", count="1"),
    "a count of lists that are not there": attrs("map", count=99),
    "a free name that is not bound": attrs("map", free={"$": "tuple", "of": ["nobody"]}),
    "free names that bodies do not know": attrs(
        "cond", free={"$": "tuple", "of": ["all", "nobody"]}
    ),
    "free names that are no names": attrs("map", free={"$": "tuple", "of": [[]]}),
    "an input of no port": attrs("input", name="nobody"),
    "an input whose name is a number": attrs("input", name=7),
    "an unknown function": attrs("op", fn="launch"),
    "a function that is a list": attrs("op", fn=["len"]),
    "a function with other operands": attrs("op", fn="index"),
    "a call of nobody": attrs("call", target="nobody"),
    "a call of a list": attrs("call", target=["small"]),
    "a tool that is not there": attrs("tool", target="nobody"),
    "no attribute at all": without("call", "target"),
    "graphs that call one another": lambda d: chain(d, 3, "p0"),
    "one that calls itself": lambda d: chain(d, 1, "p0"),
    "a const that is not of its type": lambda d: node(d, "const").update(type={"$": "BoolType"}),
    "a const of no type": lambda d: node(d, "const").update(type="str"),
    "a const that nests": attrs("const", value=nested(400)),
    "a const that is a type": attrs("const", value={"$": "StrType"}),
    "an endless number": attrs("const", value=float("inf")),
    "half a character": attrs("const", value="\ud800"),
    "an unknown operation": lambda d: node(d, "call").update(op="exec"),
    "an operation that is a list": lambda d: node(d, "call").update(op=["call"]),
    "an id twice": lambda d: node(d, "call").update(id="%0"),
    "an id that is a list": lambda d: node(d, "call").update(id=["%0"]),
    "inputs that are no ids": lambda d: node(d, "call").update(inputs={"$": "tuple", "of": [[]]}),
    "inputs that are a text": lambda d: node(d, "call").update(inputs="%0"),
    "attributes that are a list": lambda d: node(d, "call").update(attrs=[]),
    "a body that is a text": lambda d: node(d, "cond")["bodies"]["of"].update(then="x"),
    "a body of a call": lambda d: node(d, "call").update(bodies=node(d, "cond")["bodies"]),
    "a body too many": lambda d: node(d, "map")["bodies"]["of"].update(
        more=node(d, "map")["bodies"]["of"]["item"]
    ),
    "a body that is missing": lambda d: node(d, "loop")["bodies"]["of"].pop("body"),
    "a result that does not fit": lambda d: node(d, "call").update(type={"$": "IntType"}),
    "an argument that does not fit": lambda d: first(d, "Port", name="x").update(
        type={"$": "IntType"}
    ),
    "an input that a tool does not take": lambda d: first(d, "Tool")["inputs"].update(of=[]),
    "a tool's input of another type": lambda d: first(d, "Tool")["inputs"]["of"][0].update(
        type={"$": "BoolType"}
    ),
    "a tool without a target": lambda d: first(d, "Tool").update(target=None),
    "a default that is not of its type": lambda d: first(d, "Port", name="hint").update(default=3),
    "two inputs of one name": lambda d: graph(d, "small")["inputs"].update(
        of=[*graph(d, "small")["inputs"]["of"], graph(d, "small")["inputs"]["of"][0]]
    ),
    "an empty graph": lambda d: graph(d, "part").update(nodes={"$": "tuple", "of": []}),
    "no graphs": lambda d: d.update(graphs={"$": "map", "of": {}}),
    "graphs that are a list": lambda d: d.update(graphs=[]),
    "a graph that is a text": lambda d: d["graphs"]["of"].update(part="x"),
    "a graph under another name": lambda d: graph(d, "part").update(name="main"),
    "a graph of another kind": lambda d: graph(d, "part").update(kind="body"),
    "a graph without a return": lambda d: graph(d, "part")["nodes"]["of"].pop(),
    "a main that is not there": lambda d: d.update(main="nobody"),
    "a main that is a list": lambda d: d.update(main=[]),
    "an export that is not there": lambda d: d["exports"]["of"].append("nobody"),
    "a temperature that is a text": setting(temperature="hot"),
    "a temperature out of range": setting(temperature=9.5),
    "a choice of such temperatures": setting(temperature=choice("hot", 0.0, 9.5)),
    "a model that is not declared": setting(model="nobody"),
    "a model that is a list": setting(model=["x"]),
    "fallbacks that are a text": setting(fallback="x"),
    "retries without end": setting(retry={"$": "map", "of": {"max": 10**9}}),
    "repairs without end": setting(repair=10**9),
    "an unknown setting": setting(surprise=1),
    "demonstrations that are texts": lambda d: first(d, "Slots").update(demos="x"),
    "an instruction that is a number": lambda d: first(d, "Slots").update(instruction=3),
    "slots that are a map": attrs("model", slots={"$": "map", "of": {}}),
    "a role that there is none": attrs("model", role="boss"),
    "a model whose settings are wrong": lambda d: d.update(
        models={"$": "map", "of": {"m": {"$": "map", "of": {"concurrency": "many"}}}}
    ),
    "a default that is wrong": lambda d: d["default"]["of"].update(temperature="hot"),
    "a test whose title is a list": lambda d: first(d, "Test").update(title=[]),
    "a test whose graph is damaged": lambda d: first(d, "Test")["graph"]["nodes"]["of"].pop(),
    "a test without a graph": lambda d: first(d, "Test").update(graph=None),
    "a stub of nobody": lambda d: first(d, "Test")["stubs"]["of"].update(
        nobody=first(d, "Test")["stubs"]["of"]["small"]
    ),
    "a stub that is a text": lambda d: first(d, "Test")["stubs"]["of"].update(small="it"),
    "a metric whose graph is damaged": lambda d: first(d, "DeclaredMetric")["graph"]["nodes"][
        "of"
    ].pop(),
    "a metric without a graph": lambda d: first(d, "DeclaredMetric").update(graph=None),
    "bodies in bodies": body_in_body,
    "a call that is not counted": lambda d: first(graph(d, "small"), "Graph", name="small.require")[
        "nodes"
    ]["of"].insert(1, {**node(graph(d, "main"), "tool"), "id": "t"}),
    "types in types": lambda d: node(d, "input").update(
        type=json.loads('{"$":"OptionalType","item":' * 90 + '{"$":"StrType"}' + "}" * 90)
    ),
    "types of endless size": deep_types,
    "calls that nest": chain,
    "a pattern that is none": lambda d: first(d, "Port", name="hint").update(
        type={"$": "StrType", "pattern": "("}
    ),
    "a span that is none": lambda d: node(d, "call").update(span=3),
    "a span without end": lambda d: node(d, "call").update(
        span={"$": "Span", "at": [0, 0, float("inf")]}
    ),
    "an object of no class": lambda d: node(d, "call").update(attrs={"$": "Executor"}),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_forged_graph_is_refused(name: str, tmp_path: Path) -> None:
    assert "graph.json" in refusal(forged(tmp_path / "bad.lmpc", changed("text", BAD[name])))


OF_LIBRARY: dict[str, tuple[str, Change]] = {
    "steps without end": ("react", attrs("agent", steps=10**6)),
    "an action that names no tool": ("react", lambda d: node(d, "agent")["bodies"]["of"].pop(
        "calculate"
    )),
    "a search that is too wide": ("reasoning_mcts", attrs("search", width=10**6)),
    "one that keeps a text": ("reasoning_mcts", attrs("search", keep="2")),
    "one that goes on": ("reasoning_mcts", attrs("search", rounds=10**9)),
    "an unknown method": ("reasoning_mcts", attrs("search", method="guess")),
    "a case without an option": ("route", lambda d: node(d, "route")["bodies"]["of"].pop(
        "to.fact"
    )),
    "no options": ("cascade", lambda d: node(d, "route")["bodies"].update(of={})),
    "a threshold that is a text": ("cascade", attrs("route", threshold="high")),
    "no threshold": ("cascade", without("route", "threshold")),
}  # fmt: skip


def named(data: Json, name: str, height: int = 0) -> Json:
    """A record among the types."""
    found = (t for t in data["types"] if t.get("name") == name and t.get("height", 0) == height)
    return next(found)


def field_of(record: Json, name: str) -> Json:
    return next(f for f in record["fields"]["of"] if f["name"] == name)


def narrowed(data: Json) -> Json:
    return next(
        n for n in inside(data) if n.get("op") == "op" and n["attrs"]["of"]["fn"] == "narrow"
    )


OF_UNIONS: dict[str, Change] = {
    "members that are alike": lambda d: (
        field_of(named(d, "B"), "kind").update(
            type={"$": "LiteralType", "values": {"$": "tuple", "of": ["a"]}}
        ),
        field_of(named(d, "B"), "y").update(name="x"),
    ),
    "members that are no types": lambda d: first(d, "UnionType").update(
        options={"$": "tuple", "of": [1, 2]}
    ),
    "one member": lambda d: first(d, "UnionType")["options"]["of"].pop(),
    "a union in a union": lambda d: first(d, "UnionType").update(
        options={"$": "tuple", "of": [{"$": "StrType"}, dict(first(d, "UnionType"))]}
    ),
    "json as a member": lambda d: first(d, "UnionType").update(
        options={"$": "tuple", "of": [{"$": "StrType"}, {"$": "JsonType"}]}
    ),
    "narrowed to what is no option": lambda d: narrowed(d).update(type={"$": "StrType"}),
    "narrowed to another record of that shape": lambda d: (
        d["types"].append(
            {
                **named(d, "A"),
                "fields": {
                    "$": "tuple",
                    "of": [
                        field_of(named(d, "A"), "kind"),
                        {"$": "Field", "name": "x", "type": {"$": "StrType"}},
                    ],
                },
            }
        ),
        narrowed(d).update(
            type={"$": "OptionalType", "item": {"$": "type", "index": len(d["types"]) - 1}}
        ),
    ),
    "a level that is as high as the one above": lambda d: named(d, "Tree", 2).update(height=3),
    "a level with another field": lambda d: field_of(named(d, "Tree", 1), "label").update(name="x"),
    "a level of another type": lambda d: field_of(named(d, "Tree", 1), "label").update(
        type={"$": "IntType"}
    ),
    "a height that is a text": lambda d: named(d, "Tree", 2).update(height="2"),
    "a height above the bound": lambda d: named(d, "Tree", 3).update(height=9),
    "a height without a family": lambda d: named(d, "A").update(height=2),
    "a family that is a list": lambda d: named(d, "Tree", 2).update(family=["Tree"]),
    "unique that is a text": lambda d: first(d, "ListType", unique=True).update(unique="yes"),
}


@pytest.mark.parametrize("name", OF_UNIONS)
def test_a_forged_graph_with_unions_is_refused(name: str, tmp_path: Path) -> None:
    assert refusal(forged(tmp_path / "t.lmpc", changed("unions", OF_UNIONS[name]), "unions"))


def test_a_graph_with_unions_is_read(tmp_path: Path) -> None:
    Artifact.read(forged(tmp_path / "t.lmpc", changed("unions", lambda data: None), "unions"))


@pytest.mark.parametrize("name", OF_LIBRARY)
def test_a_forged_graph_of_the_library_is_refused(name: str, tmp_path: Path) -> None:
    program, change = OF_LIBRARY[name]
    assert "graph.json" in refusal(forged(tmp_path / "bad.lmpc", changed(program, change), program))


def test_what_is_wrong_is_told_with_node_and_line(tmp_path: Path) -> None:
    told = refusal(forged(tmp_path / "bad.lmpc", changed("text", attrs("loop", bound=10**12))))
    line = 1 + TEXT[: TEXT.index("loop s")].count("\n")
    assert f"loop (test.lmp:{line}:" in told
    assert "`bound`" in told


def test_a_pattern_is_not_tried(tmp_path: Path) -> None:
    """Trying this one takes longer than the sun will shine."""
    Artifact.read(forged(tmp_path / "slow.lmpc", changed("text", pattern)))


def test_a_choice_cannot_be_smuggled_past_a_bound(tmp_path: Path) -> None:
    """The options of another choice with the same id must not allow what the bound does not."""

    def change(data: Json) -> None:
        attrs("loop", bound=choice("twice", 3))(data)
        end = graph(data, "part")["nodes"]["of"]
        wide = {
            "$": "Node", "id": "wide", "op": "choice", "type": {"$": "IntType"},
            "attrs": {"$": "map", "of": {"choice": choice("twice", 3, 10**12)}},
        }  # fmt: skip
        end.insert(0, wide)

    path = forged(tmp_path / "bad.lmpc", changed("text", change), choices={"twice": 10**12})
    assert "`bound`" in refusal(path) or "choice" in refusal(path)


def test_a_million_nodes_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constant = b'{"$":"Node","id":"%d","op":"const","type":{"$":"NoneType"},"attrs":' + (
        b'{"$":"map","of":{"value":null}}}'
    )
    many = b",".join(constant % i for i in range(1_000_000))
    whole = parts_of("text")["graph.json"].replace(
        b'"nodes": {\n', b'"nodes": {"x": [%b],' % many, 1
    )

    def read(data: bytes) -> Any:
        assert len(data) < 1 << 20, "it was read"
        return json.loads(data)

    monkeypatch.setattr(module, "_read_json", read)
    assert "too large" in refusal(forged(tmp_path / "bad.lmpc", whole))


def test_more_nodes_than_any_program_has_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmc.ir.verify.MOST_NODES", 20)
    assert "at most 20 nodes" in refusal(
        forged(tmp_path / "a.lmpc", parts_of("text")["graph.json"])
    )
    monkeypatch.setattr("lmc.ir.serialize.MOST_NODES", 20)
    hidden = parts_of("text")["graph.json"].replace(b'"Node"', b'"\\u004eode"')
    assert "more than 20 nodes" in refusal(forged(tmp_path / "b.lmpc", hidden))


# --- whatever else someone may write ---

PROGRAMS = ("text", "react", "route", "cascade", "reasoning_mcts", "self_refine", "debate")
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.just(10**12), st.floats(), st.text(max_size=4),
    st.sampled_from(["%0", "main", "str", "tuple", "map", "Node", "Graph", "StrType", "cond"]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["$", "of", "id", "op", "type"]), inner, max_size=3),
    ),
    max_leaves=6,
)


def places(value: Json) -> list[tuple[Json, Any]]:
    """Every place in a JSON value, as what holds it and its key or index."""
    found = []
    todo = [value]
    while todo:
        holder = todo.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            found.append((holder, key))
            if isinstance(holder[key], dict | list):
                todo.append(holder[key])
    return found


@st.composite
def mutations(draw: st.DrawFn) -> tuple[str, bytes]:
    """A program of the library whose graph was changed in some places."""
    name = draw(st.sampled_from(PROGRAMS))
    data = json.loads(parts_of(name)["graph.json"])
    for _ in range(draw(st.integers(1, 4))):
        known = places(data)
        holder, key = known[draw(st.integers(0, len(known) - 1))]
        other, from_key = known[draw(st.integers(0, len(known) - 1))]
        alike = [(h, k) for h, k in known if k == key and h is not holder]
        match draw(st.sampled_from(["value", "copy", "alike", "alike", "alike", "delete", "swap"])):
            case "alike" if alike:
                other, from_key = alike[draw(st.integers(0, len(alike) - 1))]
                holder[key] = json.loads(json.dumps(other[from_key]))
            case "value":
                holder[key] = draw(VALUES)
            case "copy":
                holder[key] = json.loads(json.dumps(other[from_key]))
            case "swap" if isinstance(holder, list) and len(holder) > 1:
                holder[key], holder[0] = holder[0], holder[key]
            case _:
                del holder[key]
    return name, json.dumps(data).encode()


@given(mutations())
def test_any_graph_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, found: tuple[str, bytes]
) -> None:
    name, data = found
    path = forged(tmp_path_factory.mktemp("forged") / "x.lmpc", data, name)
    codes: list[str] = []
    try:
        program = Artifact.read(path).graph
    except LmcError as refused:
        codes.append(refused.code)
    else:
        use(program)
    assert set(codes) <= {"artifact-damaged"}


def use(program: ProgramGraph) -> None:
    """What was read can be planned, costs what can be told, and can be written again."""
    for each, graph in program.graphs.items():
        plan_graph(graph, resolver(Parameters().choices))
        found_cost = cost(program, each)
        assert found_cost.baseline <= found_cost.calls
        assert found_cost.calls <= MOST_CALLS or "len(" in found_cost.formula
    Artifact(Manifest(lmc="0", entry="t.lmp"), program).to_bytes()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.lmp")), ids=lambda p: p.stem)
def test_each_program_of_the_library_is_read(path: Path, tmp_path: Path) -> None:
    written = Artifact(Manifest(lmc="0", entry=path.name), lower_file(path))
    written.write(tmp_path / "a.lmpc")
    assert Artifact.read(tmp_path / "a.lmpc").graph == written.graph
