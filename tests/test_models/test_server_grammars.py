"""Grammars that a vLLM server gets: the types of answers in layouts without a schema."""

import pytest

import lmc
from lmc.models.base import ModelFailure, Request
from lmc.models.dialect import forget_dialects
from lmc.models.openai_compatible import OpenAICompatible
from lmc.models.server_kinds import KINDS
from tests.loopback import Fault, Loopback

pytest.importorskip("llguidance")
from tests.test_prompts.test_grammars import accepted as holds

PROGRAM = """
model m {{ name: "{name}" base_url: "{url}" {dialect} temperature: 0 }}

record Bill {{ vendor: str  due: date  total: float  kind: "goods" | "work" }}

generate read(text: str) -> Bill {{
  "Read the bill."
  model: m
  layout: "{layout}"
}}

generate desk(text: str) -> "sales" | "support" {{
  "Whose is it?"
  model: m
  layout: "{layout}"
}}

generate think(text: str) -> int(0..9) {{
  "How many?"
  reason: true
  model: m
  layout: "{layout}"
}}

pipeline main(text: str) -> Bill {{ return read(text) }}
"""
ANSWERS = {
    "chat": "[[vendor]] Acme\n[[due]] 2026-11-28\n[[total]] 12.5\n[[kind]] goods",
    "xml": "<vendor>Acme</vendor>\n<due>2026-11-28</due>\n<total>12.5</total>\n<kind>work</kind>",
}


@pytest.fixture(autouse=True)
def nothing_learnt():
    forget_dialects()
    yield
    forget_dialects()


def loaded(tmp_path, server, layout, name="vllm/m", dialect=""):
    text = PROGRAM.format(name=name, url=server.url, layout=layout, dialect=dialect)
    (tmp_path / "p.lmp").write_text(text)
    return lmc.load(tmp_path / "p.lmp", cache=False, hosts=["127.0.0.1"])


@pytest.mark.parametrize("layout", ["chat", "xml"])
@pytest.mark.parametrize("who", [("vllm/m", ""), ("openai/m", 'dialect: "vllm"')])
def test_records_are_bound_in_every_layout(tmp_path, layout, who):
    with Loopback(lambda p: ANSWERS[layout]) as server:
        bill = loaded(tmp_path, server, layout, *who).main(text="12.50 to Acme by Saturday")
    assert bill.vendor == "Acme" and bill.total == 12.5
    (sent,) = server.payloads
    assert "response_format" not in sent
    grammar = sent["structured_outputs"]["grammar"]
    assert holds(grammar, ANSWERS[layout])
    assert not holds(grammar, ANSWERS[layout].replace("2026-11-28", "2026-02-30"))
    assert not holds(grammar, ANSWERS[layout].replace("12.5", "twelve"))
    assert not holds(grammar, ANSWERS[layout].replace("goods", "other").replace("work", "other"))
    assert not holds(grammar, "It is a bill of Acme.")


def test_json_is_bound_by_its_schema(tmp_path):
    reply = '{"vendor": "Acme", "due": "2026-11-28", "total": 12.5, "kind": "goods"}'
    with Loopback(lambda p: reply) as server:
        loaded(tmp_path, server, "json").main(text="x")
    (sent,) = server.payloads
    assert "response_format" in sent and "structured_outputs" not in sent


def test_labels_alone(tmp_path):
    with Loopback(lambda p: "sales") as server:
        assert loaded(tmp_path, server, "chat").desk(text="x") == "sales"
    grammar = server.payloads[0]["structured_outputs"]["grammar"]
    assert holds(grammar, "sales") and holds(grammar, " support")
    assert not holds(grammar, "Sales team") and not holds(grammar, "I am glad to hear that.")


@pytest.mark.parametrize(
    ("layout", "reply"),
    [
        ("chat", "[[reasoning]] I count them.\n[[result]] 7"),
        ("xml", "<reasoning>I count them.</reasoning>\n<result>7</result>"),
    ],
)
def test_thoughts_are_free_and_the_result_is_not(tmp_path, layout, reply):
    with Loopback(lambda p: reply) as server:
        assert loaded(tmp_path, server, layout).think(text="x") == 7
    grammar = server.payloads[0]["structured_outputs"]["grammar"]
    assert holds(grammar, reply) and holds(grammar, reply.replace("I count them.", "Or so, [x]"))
    assert not holds(grammar, reply.replace("7", "17")) and not holds(grammar, "7, I think")


def test_a_refused_grammar_is_left_out_and_the_answer_validated(tmp_path):
    def script(payload):
        if "structured_outputs" in payload:
            return Fault(400, "Failed to convert the grammar from Lark to EBNF.")
        return "sales"

    with Loopback(script) as server:
        program = loaded(tmp_path, server, "chat")
        assert program.desk(text="x") == "sales" and program.desk(text="y") == "sales"
    assert [("structured_outputs" in p) for p in server.payloads] == [True, False, False]


async def test_after_some_refused_grammars_none_is_sent():
    def script(payload):
        return Fault(400, "grammar error") if "structured_outputs" in payload else "yes"

    with Loopback(script) as server:
        backend = OpenAICompatible(server.url, kind=KINDS["vllm"])
        for i in range(10):
            asked = ({"role": "user", "content": "?"},)
            await backend.generate(Request("m", asked, grammar=f'start: "yes" | "{i}"\n'))
        await backend.close()
    assert sum("structured_outputs" in p for p in server.payloads) == 8


async def test_other_refusals_stay_errors():
    with Loopback(lambda p: Fault(400, "no such thing")) as server:
        backend = OpenAICompatible(server.url, kind=KINDS["vllm"])
        with pytest.raises(ModelFailure):
            await backend.generate(Request("m", (), grammar='start: "yes"\n'))
        await backend.close()
    assert len(server.payloads) == 1


async def test_no_grammar_for_calls_of_tools_and_for_begun_answers():
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    begun = ({"role": "user", "content": "?"}, {"role": "assistant", "content": "It is"})
    with Loopback(lambda p: "yes") as server:
        backend = OpenAICompatible(server.url, kind=KINDS["vllm"])
        await backend.generate(Request("m", begun[:1], grammar='start: "yes"\n', tools=(tool,)))
        await backend.generate(Request("m", begun, grammar='start: "yes"\n'))
        await backend.close()
    assert not any("structured_outputs" in payload for payload in server.payloads)
