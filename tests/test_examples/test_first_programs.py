"""The twelve first programs against a server that checks what it is sent and answers in order."""

import base64
import json
import re
import runpy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.models.dialect import forget_dialects
from lmc.program.program import Program, load
from tests.loopback import Loopback, Reply, in_order, said

FIRST = Path(__file__).parents[2] / "examples" / "first"
RED = FIRST / "red.png"
TWELVE = {
    "triage", "invoice", "chat", "rag", "sql", "judge",
    "report", "coder", "debate", "labels", "helper", "photo",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path))
    forget_dialects()


@contextmanager
def served(
    name: str, *replies: Reply, script: Callable[[dict[str, Any]], Reply] | None = None
) -> Iterator[tuple[Program, Sequence[dict[str, Any]]]]:
    """A program whose model is a server with these answers, and the requests that it got."""
    with (
        Loopback(script or in_order(*replies)) as server,
        load(FIRST / f"{name}.lmp", model="openai/m", base_url=server.url, cache=False) as program,
    ):
        yield program, server.payloads


def text_of(payload: dict[str, Any]) -> str:
    """All that a request says."""
    return json.dumps(payload["messages"], ensure_ascii=False)


def test_there_are_twelve() -> None:
    assert {path.stem for path in FIRST.glob("*.lmp")} == TWELVE


@pytest.mark.parametrize("name", sorted(TWELVE))
def test_the_page_shows_each(name: str) -> None:
    page = (FIRST.parents[1] / "docs" / "howto" / "first-programs.md").read_text("utf-8")
    assert f"`{name}.lmp`" in page


def test_a_mail_becomes_a_case_of_a_union() -> None:
    case = {"kind": "return", "order": "123456", "bought": "Jan 2, 2026", "reason": "too small"}
    with served("triage", json.dumps(case)) as (program, sent):
        ticket = program.main(mail="I send 123456 back.", today=date(2026, 3, 1))
    assert (ticket.desk, ticket.due, ticket.note) == (
        "returns", date(2026, 3, 3), "123456 is too late"
    )  # fmt: skip
    assert "2026-03-01" in text_of(sent[0])


def test_an_order_that_the_mail_does_not_name_is_refused() -> None:
    case = {"kind": "return", "order": "202603", "bought": None, "reason": "too small"}
    with (
        served("triage", json.dumps(case)) as (program, sent),
        pytest.raises(lmc.LmcError, match=r"out\.order in mail"),
    ):
        program.main(mail="I send 123456 back.", today=date(2026, 3, 1))
    assert len(sent) == 2


def test_an_invoice_that_is_invented_is_asked_for_again() -> None:
    line = {"what": "lamp", "quantity": 2, "price": "12.50"}
    invoice = {
        "number": "R-8", "seller": "Ada", "issued": "2026-03-01", "due": None, "currency": "EUR",
        "lines": [line], "vat_rate": "20", "total": "30.00",
    }  # fmt: skip
    answers = (json.dumps(invoice), json.dumps({**invoice, "number": "R-7"}))
    with served("invoice", *answers) as (program, sent):
        read = program.main(text="Invoice R-7 by Ada: 2 lamps at 12.50, total 30.00 with 20 % VAT")
    assert (read.number, read.total) == ("R-7", Decimal("30"))
    assert len(sent) == 2


def test_a_conversation_is_sent_as_turns() -> None:
    with served("chat", "At nine.", "Closed.") as (program, sent):
        day = date(2026, 3, 1)
        first = program.main(question="When do you open?", today=day)
        second = program.main(question="And on Sunday?", today=day, history=first)
    assert [turn.content for turn in second][1::2] == ["At nine.", "Closed."]
    roles = [turn["role"] for turn in sent[1]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert sent[1]["messages"][2]["content"] == "At nine."


def test_claims_without_a_source_are_refused() -> None:
    claim = {"text": "50 cents a day", "source": "nowhere"}
    wrong, right = ({"claims": [{**claim, "source": s}]} for s in ("nowhere", "fees"))
    answers = (json.dumps(["late book"]), json.dumps(wrong), json.dumps(right))
    with served("rag", *answers) as (program, sent):
        assert program.main(question="What does a late book cost?") == "50 cents a day [fees]"
    assert "never more than ten euros" in text_of(sent[1])


def test_sql_is_mended_by_what_the_database_says() -> None:
    answers = (
        "SELECT total FROM orders",
        "```sql\nSELECT SUM(euros) FROM orders WHERE thing = 'lamp'\n```",
        "Lamps brought 48 euros.",
    )
    with served("sql", *answers) as (program, sent):
        assert program.main(question="What did lamps bring?") == "Lamps brought 48 euros."
    assert "no such column: total" in text_of(sent[1])
    assert "48.0" in text_of(sent[2])


def test_the_database_cannot_be_changed_or_held_up() -> None:
    run_query = runpy.run_path(str(FIRST / "database.py"))["run_query"]
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
    for query in ("DROP TABLE orders", "DELETE FROM orders", numbers + "SELECT MAX(i) FROM n"):
        assert not run_query(query)["ok"]
    assert len(run_query(numbers + "SELECT i FROM n LIMIT 1000")["rows"]) == 100


def test_a_judge_is_asked_five_times() -> None:
    def grades(payload: dict[str, Any]) -> Sequence[str]:
        asked = [json.dumps({"reasons": "", "score": score}) for score in (5, 5, 4, 3, 3)]
        return asked[: payload.get("n", 1)]

    with served("judge", script=grades) as (program, sent):
        assert program.main(question="q", answer="a") == 4.0
    assert sent[0]["n"] == 5


def test_a_long_document_is_read_in_parts_and_merged() -> None:
    def read(payload: dict[str, Any]) -> str:
        said = payload["messages"][-1]["content"]
        facts = sorted(set(re.findall(r"F\d\d", said)))
        return " ".join(facts) or "none"

    facts = [f"F{number:02}" for number in range(17)]
    document = "".join(fact.ljust(4000, ".") for fact in facts)
    with served("report", script=read) as (program, sent):
        assert program.main(document=document, question="What?") == " ".join(facts)
    assert len(sent) == 17 + 5 + 2 + 1


def test_code_is_mended_until_its_tests_pass() -> None:
    answers = (
        json.dumps(["assert double(2) == 4", "assert double(3) == 6"]),
        "def double(x): return x * x",
        "```python\ndef double(x): return 2 * x\n```",
    )
    with served("coder", *answers) as (program, sent):
        solution = program.main(task="Write double(x).")
    assert (solution.code, solution.failing) == ("def double(x): return 2 * x", [])
    assert "assert double(3) == 6: AssertionError" in text_of(sent[2])


def test_each_role_speaks_and_hears_the_others() -> None:
    def speak(payload: dict[str, Any]) -> str:
        system = payload["messages"][0]["content"]
        names = [name for name in ("engineer", "lawyer", "customer") if name in system]
        return f"The {names[0]} agrees." if names else json.dumps({"adopted": True, "why": "all"})

    with served("debate", script=speak) as (program, sent):
        assert program.main(motion="Open on Sunday.").adopted
    assert len(sent) == 7
    last = [text_of(p) for p in sent if "You are the lawyer" in text_of(p)][-1]
    assert "The customer agrees." in last


def test_one_of_150_labels() -> None:
    with served("labels", "flip coin") as (program, sent):
        assert program.main(message="Heads or tails?") == "flip coin"
    assert "ingredient substitution" in json.dumps(sent[0])


def call(name: str, **arguments: Any) -> dict[str, Any]:
    made = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": f"id-{name}", "type": "function", "function": made}


def test_the_agent_calls_tools_in_the_protocol() -> None:
    asked = call("weather", city="Lisbon", day="2026-03-01")
    booked = call("book", city="Lisbon", day="2026-03-01", seats=2)
    done = call("finish", answer="Two seats are booked.")
    steps = [said(None, "tool_calls", tool_calls=[made]) for made in (asked, booked, done)]
    with served("helper", *steps) as (program, sent):
        told = program.main(request="Two seats in Lisbon if it is dry.", today=date(2026, 3, 1))
    assert told == "Two seats are booked."
    (weather,) = [t["function"] for t in sent[0]["tools"] if t["function"]["name"] == "weather"]
    assert weather["description"].startswith("The forecast for one day")
    assert weather["parameters"]["required"] == ["city", "day"]
    assert "dry, 15 °C" in text_of(sent[1])
    assert "booking 1: 2 seats in Lisbon" in text_of(sent[2])


def image_part() -> dict[str, Any]:
    url = "data:image/png;base64," + base64.b64encode(RED.read_bytes()).decode()
    return {"type": "image_url", "image_url": {"url": url}}


def test_photos_are_sent_as_images() -> None:
    with served("photo", "A red square.") as (program, sent):
        assert program.main(photos=[RED], question="What is it?") == ["A red square."]
    content = sent[0]["messages"][-1]["content"]
    assert image_part() in content
    assert "What is it?" in json.dumps(content)


def test_receipts_are_read_and_summed() -> None:
    receipt = {
        "shop": "Ada & Co", "day": "2026-03-01", "total": "3.30",
        "items": [{"name": "tea", "price": "1.10"}, {"name": "jam", "price": "2.20"}],
    }  # fmt: skip
    with served("photo", json.dumps(receipt)) as (program, sent):
        assert program.expenses(receipts=[RED, RED.read_bytes()]) == Decimal("3.3") * 2
    assert all(image_part() in payload["messages"][-1]["content"] for payload in sent)


def test_a_model_without_eyes_is_refused_before_any_call() -> None:
    program = load(FIRST / "photo.lmp", model="lmc/tiny", cache=False)
    with program, pytest.raises(lmc.LmcError, match="image"):
        program.main(photos=[RED], question="What is it?")
