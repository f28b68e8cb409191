"""What the checker hands to lowering."""

import pytest

from lmc.check import OptimizerSignature, Option, check_program, import_name
from lmc.check.program import MISSING, Builtin, ModuleDef, Variant
from lmc.diagnostics import render
from lmc.source import Source
from lmc.syntax import nodes
from lmc.types import BOOL, INT, STR, IntType, LiteralType, OptionalType


def checked(text: str, **others: str):
    """The typed program of a text that has no errors; the others are what it can import."""

    def read(name: str) -> Source:
        return Source(name, others[name.removesuffix(".lmp")])

    program, found = check_program(Source("main.lmp", text), read=read)
    assert program is not None, render(found)
    return program


def returned(program, name: str) -> nodes.Expr:
    """The value of the first statement of a pipeline."""
    return program.pipelines[name].body.stmts[0].value


def test_names_of_imported_files_are_qualified():
    program = checked(
        'from "./a.lmp" import f as g\npipeline main(q: str) -> str { return g(q) }',
        a='model m { name: "lmc/tiny" }\nrecord R { x: int }\n'
        "generate f(q: str) -> str { model: m, demos: tune[1, 2] }\ndefault { model: m }",
    )
    assert list(program.modules) == ["a.f"]
    assert list(program.pipelines) == program.exports == ["main"]
    assert program.modules["a.f"].settings["model"] == "a.m"
    assert program.modules["a.f"].settings["demos"].id == "a.f.demos"
    assert list(program.named_types) == ["a.R"]
    assert program.default == {}
    assert program.referents[id(returned(program, "main").target)] is program.modules["a.f"]


def test_two_files_of_one_name_stay_apart():
    program = checked(
        'from "./x/a.lmp" import f\nfrom "./y/a.lmp" import g\n'
        "pipeline main(q: str) -> str { return f(q) + g(q) }",
        **{"x/a": "generate f(q: str) -> str", "y/a": "generate g(q: str) -> str"},
    )
    assert sorted(program.modules) == ["a.f", "a_2.g"]


def test_a_file_imported_twice_is_one():
    program = checked(
        'from "./a.lmp" import f\nfrom "./b.lmp" import g\n'
        "pipeline main(q: str) -> str { return f(q) + g(q) }",
        a="generate f(q: str) -> str",
        b='from "./a.lmp" import f\npipeline g(q: str) -> str { return f(q) }',
    )
    assert sorted(program.modules) == ["a.f"]
    assert len(program.trees) == 3


@pytest.mark.parametrize(
    ("path", "importer", "name"),
    [
        ("./b.lmp", "a.lmp", "b.lmp"),
        ("../b.lmp", "x/y/a.lmp", "x/b.lmp"),
        ("b.lmp", "/tmp/a.lmp", "/tmp/b.lmp"),
        ("lmc/vote", "/tmp/a.lmp", "lmc/vote"),
    ],
)
def test_paths_are_seen_from_the_importing_file(path, importer, name):
    assert import_name(path, Source(importer, "")) == name


def test_bindings_follow_the_parameters():
    program = checked(
        'generate g(a: str, b: int = 2, c: str = "z") -> str\n'
        'pipeline main(q: str) -> str { return g(q, c="y") }'
    )
    call = returned(program, "main")
    first, second, third = program.bindings[id(call)]
    assert (first.name, second, third.value) == ("q", None, "y")
    assert [p.default for p in program.modules["g"].signature.params] == [MISSING, 2, "z"]


def test_bindings_of_built_ins_and_records():
    program = checked(
        "record R { n: int = 1, s: str }\n"
        "pipeline main(xs: list[R]) -> R { return R(s=str(sort_by(xs, descending=true))) }"
    )
    record = returned(program, "main")
    assert [e is None for e in program.bindings[id(record)]] == [True, False]
    inner = record.args[0].value.args[0].value
    assert program.referents[id(inner.target)] == Builtin("sort_by")
    assert [e is None for e in program.bindings[id(inner)]] == [False, True, False]


def test_choices_have_stable_ids():
    program = checked(
        'model small { name: "a/b" }\nmodel large { name: "c/d" }\n'
        "generate g(q: str, n: int) -> str { model: tune[small, large] }\n"
        "pipeline main(q: str) -> str {\n"
        "  let k = tune[7, 8]\n"
        "  return g(q, n=tune[1..3]) + g(q, n=tune[4, 5]) + str(k)\n}"
    )
    model = program.modules["g"].settings["model"]
    assert (model.id, model.options, model.baseline) == ("g.model", ("small", "large"), "small")
    found = {choice.id: choice.options for choice in program.choices.values()}
    assert found["main.k"] == (7, 8)
    assert found["main.n"] == (1, 2, 3)
    assert found["main.n_2"] == (4, 5)


def test_examples_are_plain_values():
    program = checked(
        "enum E { a, b }\nrecord R { n: int, e: E = E.b, xs: list[int] = [] }\n"
        "generate g(q: str, k: int = 3) -> R?\n"
        'example g("x") -> R(-4, xs=[1])\nexample g(q="y", k=1) -> none'
    )
    first, second = program.modules["g"].examples
    assert (first.inputs, first.result) == ({"q": "x", "k": 3}, {"n": -4, "e": "b", "xs": [1]})
    assert (second.inputs, second.result) == ({"q": "y", "k": 1}, None)


def vote(by: str, doc: str = "") -> ModuleDef:
    program = checked(
        "record R { a: str, score: float }\ngenerate g(q: str) -> R\n"
        f"vote v(q: str) -> R {{ {doc} sample: g(q) {by} }}"
    )
    return program.modules["v"]


@pytest.mark.parametrize(
    ("by", "doc", "meant"),
    [
        ("", "", ()),
        ("", '"""Which is best?"""', "model"),
        ("by: .a", '"""A note."""', ("a",)),
        ("by: [.a, .score]", "", ("a", "score")),
        ('by: "value"', "", ()),
        ('by: "score"', "", "score"),
        ('by: "certainty"', "", "certainty"),
        ("by: out.score * 2", "", "expr"),
    ],
)
def test_how_a_vote_decides(by, doc, meant):
    assert vote(by, doc).by == meant


@pytest.mark.parametrize(
    ("signature", "subject"),
    [
        ("draft: str, other: Verdict", "draft"),
        ("text: str", "text"),
        ("question: str, answer: Verdict?", "answer"),
    ],
)
def test_the_subject_of_a_critique_is_found(signature, subject):
    program = checked(f"critique c({signature}) -> Verdict")
    assert program.modules["c"].subject == subject


def test_agreement_makes_a_vote_optional_at_its_calls():
    program = checked(
        "generate g(q: str) -> int\nvote v(q: str) -> int { sample: g(q), min_agree: 0.5 }\n"
        "pipeline main(q: str) -> int? { return v(q) }"
    )
    assert program.modules["v"].signature.result == INT
    assert program.types[id(returned(program, "main"))] == OptionalType(INT)


def test_variants_and_types_are_noted():
    program = checked("enum E { a, b }\npipeline main() -> bool { return E.a != E.b }")
    compared = returned(program, "main")
    assert program.types[id(compared)] == BOOL
    referent = program.referents[id(compared.left)]
    assert isinstance(referent, Variant)
    assert (referent.enum.name, referent.name) == ("E", "a")


def test_constants_have_the_tightest_type_and_arithmetic_forgets_it():
    program = checked('pipeline main() -> json { return [5, "yes", 5 + 1, "a" + "b"] }')
    five, yes, six, ab = (program.types[id(e)] for e in returned(program, "main").items)
    assert (five, yes, six, ab) == (IntType(5, 5), LiteralType(("yes",)), INT, STR)


def test_optimize_blocks():
    program = checked(
        "record Row { q: str, target: str }\ngenerate g(q: str) -> str\n"
        'dataset d: Row { source: "rows.jsonl" }\n'
        "optimize g { data: d metric: accuracy steps: [bootstrap(2), lora(rank=4)] "
        "budget: {calls: 9} keep: [g] seed: 1 }"
    )
    (block,) = program.optimizes
    assert (block.target, block.data, block.metric) == ("g", "d", "accuracy")
    assert [(s.name, s.kwargs) for s in block.steps] == [
        ("bootstrap", {"demos": 2}),
        ("lora", {"rank": 4}),
    ]
    assert (block.budget, block.settings) == ({"calls": 9}, {"keep": ["g"], "seed": 1})


def test_optimizers_can_be_given():
    signature = OptimizerSignature("mine", {"size": Option(INT, 3, "how many")})
    text = "generate g(q: str) -> str\noptimize g { steps: [mine(size=4)] }"
    program, found = check_program(Source("a", text), optimizers={"mine": signature})
    assert program is not None, render(found)
    assert check_program(Source("a", text))[0] is None


@pytest.mark.parametrize(
    ("text", "main"),
    [
        ("generate a(q: str) -> str\ngenerate b(q: str) -> str", "b"),
        ("pipeline main(q: str) -> str { return b(q) }\ngenerate b(q: str) -> str", "main"),
        ("record R { a: str }", None),
    ],
)
def test_what_runs_when_nothing_is_named(text, main):
    assert checked(text).main == main


def test_a_program_may_have_names_of_built_in_types():
    text = """
record media { id: str }
type messages = list[str]
enum image { small, large }
generate user(messages: messages, image: image, media: media) -> str
pipeline main(tokens: int, system: messages) -> str {
  return user(system, image.small, media(id=str(tokens)))
}
"""
    _, found = check_program(Source("soft.lmp", text))
    assert not found, render(found)
