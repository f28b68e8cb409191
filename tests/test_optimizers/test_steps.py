"""Steps as text, read by the language's own parser and checker."""

import inspect
import sys
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmc.check.optimizer_options import OptimizerSignature, call_text
from lmc.check.optimizers import SIGNATURES
from lmc.check.program import Step
from lmc.diagnostics import LmcError
from lmc.optimizers.base import Optimizer
from lmc.optimizers.compilation.catalog import BY_NAME, OPTIMIZERS
from lmc.optimizers.compilation.steps import check_steps, parse_steps, steps_text
from lmc.types import BOOL, FloatType, IntType, LiteralType, OptionalType, Type


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("bootstrap", ("bootstrap()",)),
        ("bootstrap(demos=4) >> labeled", ("bootstrap(demos=4)", "labeled()")),
        ("distill(threshold=none)", ("distill(threshold=none)",)),
        ("ablate(drop=true)", ("ablate(drop=true)",)),
        ("bootstrap(\n  demos=2,\n  rounds=1)", ("bootstrap(demos=2, rounds=1)",)),
        ('lora(teacher="a \\"b\\" é")', ('lora(teacher="a \\"b\\" é")',)),
        ("bootstrap( threshold = 0.5 )", ("bootstrap(threshold=0.5)",)),
        ('bootstrap(teacher="openai/a>>b")', ('bootstrap(teacher="openai/a>>b")',)),
    ],
)
def test_steps_are_read(text: str, steps: tuple[str, ...]) -> None:
    assert steps_text(parse_steps(text)) == steps


def values_of(type: Type) -> st.SearchStrategy[Any]:
    """All that an option of a type may be."""
    match type:
        case OptionalType():
            return st.none() | values_of(type.item)
        case IntType():
            return st.integers(type.low, type.high)
        case FloatType():
            return st.floats(type.low, type.high)
        case LiteralType():
            return st.sampled_from(type.values)
        case _:
            return st.booleans() if type == BOOL else st.text() | st.just('a\\" >> "b')


@given(st.data())
def test_what_is_written_is_read_again(data: st.DataObject) -> None:
    def options(signature: OptimizerSignature) -> st.SearchStrategy[tuple[str, Any]]:
        some = {name: values_of(option.type) for name, option in signature.options.items()}
        named = st.sampled_from(signature.names)
        return st.tuples(named, st.fixed_dictionaries({}, optional=some))

    signatures = st.sampled_from(list(SIGNATURES.values()))
    steps = data.draw(st.lists(signatures.flatmap(options), min_size=1, max_size=3))
    read = parse_steps(" >> ".join(call_text(name, given) for name, given in steps))
    assert [(step.name, step.kwargs) for step in read] == steps


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("bootstrp", "unknown-optimizer"),
        ("bootstrap(demos=999)", "type-mismatch"),
        ("bootstrap(demo=4)", "unknown-argument"),
        ("bootstrap(", "unclosed-bracket"),
        ("__import__('os')", None),
    ],
)
def test_mistakes_are_diagnostics(text: str, code: str | None) -> None:
    with pytest.raises(LmcError) as caught:
        parse_steps(text)
    assert code is None or caught.value.code == code


def test_what_is_not_there_yet_is_said_to_be() -> None:
    unknown = Step("evolve", {"rounds": 1}, None)  # type: ignore[arg-type]
    with pytest.raises(LmcError, match=r"evolve.*not supported yet"):
        check_steps([unknown])


@pytest.mark.parametrize(("option", "near"), [("ranks", "rank"), ("thresold", "threshold")])
def test_a_misspelt_option_names_the_near_one(option: str, near: str) -> None:
    with pytest.raises(LmcError, match=f"no parameter `{option}`.*did you mean `{near}`"):
        parse_steps(f"lora({option}=1)")
    step = Step("lora", {option: 1}, None)  # type: ignore[arg-type]
    with pytest.raises(LmcError, match=f"no option `{option}`.*did you mean `{near}`"):
        check_steps([step])


def test_an_alias_is_the_same_optimizer() -> None:
    assert BY_NAME["finetune"] is BY_NAME["lora"]
    assert steps_text(parse_steps("finetune(rank=4)")) == ("finetune(rank=4)",)


def test_all_of_the_table_is_listed_in_its_order() -> None:
    names = [signature.name for signature in SIGNATURES.values()]
    assert [o.name for o in OPTIMIZERS] == list(dict.fromkeys(names))
    assert BY_NAME.keys() == SIGNATURES.keys()


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: o.name)
def test_functions_take_what_the_table_says_and_repeat_no_default(optimizer: Optimizer) -> None:
    _, _, *taken = inspect.signature(optimizer.function).parameters.values()
    options = optimizer.signature.options
    module = sys.modules[optimizer.function.__module__]
    if taken[0].kind is taken[0].VAR_KEYWORD:  # a way to learn reads what it needs from a mapping
        assert set(options) <= set(SIGNATURES["train"].options)
        return
    assert [p.name for p in taken] == list(options)
    for parameter, option in zip(taken, options.values(), strict=True):
        kind, optional = option.type, isinstance(option.type, OptionalType)
        kind = kind.item if isinstance(kind, OptionalType) else kind
        if isinstance(kind, LiteralType):
            annotation = parameter.annotation.removesuffix(" | None")
            assert optional == (annotation != parameter.annotation)
            choices = get_args(eval(annotation, vars(module)))
            assert set(kind.values) <= set(choices)
        else:
            assert parameter.annotation == python_type(option.type)
    for parameter in taken:
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert parameter.default is parameter.empty


def python_type(type: Type) -> str:
    """`float | None` for `float(0..1)?`."""
    if isinstance(type, OptionalType):
        return f"{python_type(type.item)} | None"
    return str(type).partition("(")[0]


async def test_options_that_are_not_given_have_the_defaults_of_the_table() -> None:
    taken: dict[str, Any] = {}

    async def remember(start: Any, context: Any, **options: Any) -> Any:
        taken.update(options)
        return start

    distill = replace(BY_NAME["distill"], function=remember)
    await distill.run("start", None, threshold=None, margin=0.2)  # type: ignore[arg-type]
    assert taken == {
        "threshold": None, "margin": 0.2, "teacher": None, "rank": 16, "epochs": None, "rate": None,
        "kind": "lora", "quantize": None, "loss": "sft", "jsd": 0.0,
    }  # fmt: skip


def test_every_optimizer_says_what_it_does_and_where_it_is_from() -> None:
    for optimizer in OPTIMIZERS:
        assert optimizer.summary.endswith(".")
        assert "arXiv" in optimizer.paper
        for option in optimizer.signature.options.values():
            assert option.about
            assert "\n" not in option.about
            assert not option.about.endswith(".")
