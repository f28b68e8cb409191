"""Answers that go on with a given beginning."""

from pathlib import Path

import pytest

import lmc
from lmc.models.base import Answer, Capabilities, Request, continued
from lmc.models.engine.chat_tokens import chat_text, joined_messages
from lmc.models.scripted import Scripted
from tests.loopback import Loopback

TEXT = """
model served { name: "%s" base_url: "%s" }
generate query(question: str) -> str { \"\"\"Write SQL.\"\"\" begin: "SELECT" model: served }
"""
QUERY = 'generate main(q: str) -> str { """Write SQL.""" begin: "SELECT" %s }'


def load(folder: Path, text: str, backend: Scripted) -> lmc.Program:
    (folder / "it.lmp").write_text(text)
    return lmc.load(folder / "it.lmp", backend=backend, cache=False)


def test_the_answer_has_its_beginning(tmp_path: Path) -> None:
    backend = Scripted(lambda request: " 1 FROM t")
    result, trace = load(tmp_path, QUERY % "", backend).main.run_traced({"q": "x"})
    assert result == "SELECT 1 FROM t"
    assert continued(backend.requests[0].messages) == "SELECT"
    (call,) = trace.calls
    assert call.raw == ["SELECT 1 FROM t"]  # what a model is to learn is the whole answer
    assert call.messages[-1]["role"] == "user"


@pytest.mark.parametrize("begin", ['f"SEL{HEAD}"', "WHOLE"])
def test_a_text_of_constants_is_a_beginning(begin: str, tmp_path: Path) -> None:
    text = 'let HEAD = "ECT"\nlet WHOLE = f"SEL{HEAD}"\n' + QUERY.replace('"SELECT"', begin) % ""
    assert load(tmp_path, text, Scripted(lambda request: " 1")).main("x") == "SELECT 1"


SO_FAR = (
    'generate main(q: str, so_far: str?) -> str { """Go on.""" begin: %s }\n'
    "pipeline thrice(q: str) -> list[str] { return [main(q, so_far=q) for 3] }\n"
    'pipeline twice(q: str) -> str { return main(q, main(q, "Once")) }'
)


@pytest.mark.parametrize(
    ("begin", "so_far", "sent", "result"),
    [
        ("so_far", "Once upon", "Once upon", "Once upon a time"),
        ("so_far", "Once  \n", "Once", "Once a time"),
        ("so_far", None, "", " a time"),
        ("so_far", "", "", " a time"),
        ('f"{upper(q)}:"', "-", "X:", "X: a time"),
        ('so_far ?? "-"', None, "-", "- a time"),
        ("so_far", "<|im_start|>[[result]]", None, "<|im_start|>[[result]] a time"),
    ],
)
def test_the_inputs_make_a_beginning(
    begin: str, so_far: str | None, sent: str | None, result: str, tmp_path: Path
) -> None:
    backend = Scripted(lambda request: " a time")
    program = load(tmp_path, SO_FAR % begin, backend)
    assert program.main("x", so_far=so_far) == result.strip()
    begun = continued(backend.requests[0].messages)
    assert begun == sent if sent is not None else "<|im_start|>" not in begun


def test_each_call_has_its_own_beginning(tmp_path: Path) -> None:
    backend = Scripted(lambda request: " more")
    program = load(tmp_path, SO_FAR % "so_far", backend)
    assert program.twice("x") == "Once more more"
    assert program.thrice("x") == ["x more"] * 3
    assert backend.requests[-1].n == 3


def test_a_repair_begins_alike(tmp_path: Path) -> None:
    replies = iter([" nothing", " 1 FROM t"])
    backend = Scripted(lambda request: next(replies))
    program = load(tmp_path, QUERY % 'require: "FROM" in out', backend)
    assert program.main("x") == "SELECT 1 FROM t"
    assert [m["role"] for m in backend.requests[1].messages][-3:] == [
        "assistant", "user", "assistant"
    ]  # fmt: skip
    assert backend.requests[1].messages[-3]["content"] == "SELECT nothing"


def test_samples_share_a_request(tmp_path: Path) -> None:
    text = QUERY.replace("main", "g") % "" + (
        "pipeline main(q: str) -> list[str] { return [g(q) for 2] }"
    )
    backend = Scripted(lambda request: " 1")
    assert load(tmp_path, text, backend).main("x") == ["SELECT 1", "SELECT 1"]
    assert [request.n for request in backend.requests] == [2]


async def test_a_stream_begins_with_it(tmp_path: Path) -> None:
    class Streaming(Scripted):
        async def generate(self, request: Request) -> list[Answer]:
            for piece in (" 1", " FROM t"):
                if request.on_text:
                    request.on_text(piece)
            return [Answer(" 1 FROM t")]

    program = load(tmp_path, QUERY % "", Streaming(lambda request: ""))
    heard = [piece async for piece in program.main.stream("x")]
    assert "".join(heard) == "SELECT 1 FROM t"
    assert heard[0].startswith("SELECT")


def test_a_model_that_cannot_go_on_is_not_asked(tmp_path: Path) -> None:
    backend = Scripted(lambda request: "SELECT 1")
    backend.capabilities = Capabilities()
    program = load(tmp_path, QUERY % "", backend)
    for run in (lambda: program.main("x"), lambda: program.executor.preflight("main")):
        with pytest.raises(lmc.LmcError, match="cannot go on with the `begin` of `main`"):
            run()
    assert not backend.requests


def test_a_server_of_vllm_is_told(tmp_path: Path) -> None:
    with Loopback(lambda payload: [" 1 FROM t"]) as server:
        (tmp_path / "it.lmp").write_text(TEXT % ("hosted_vllm/m", server.url))
        program = lmc.load(tmp_path / "it.lmp", cache=False)
        assert program.query("x") == "SELECT 1 FROM t"
    (payload,) = server.payloads
    assert payload["messages"][-1] == {"role": "assistant", "content": "SELECT"}
    assert payload["continue_final_message"] is True
    assert payload["add_generation_prompt"] is False


def test_other_servers_are_not_asked(tmp_path: Path) -> None:
    with Loopback() as server:
        (tmp_path / "it.lmp").write_text(TEXT % ("openai/m", server.url))
        with pytest.raises(lmc.LmcError, match="cannot go on"):
            lmc.load(tmp_path / "it.lmp", cache=False).query("x")
    assert not server.payloads


class Template:
    """A tokenizer's chat template that opens thoughts."""

    def apply_chat_template(
        self, turns: list[dict[str, str]], *, add_generation_prompt: bool, tokenize: bool
    ) -> str:
        said = "".join(f"<{t['role']}>{t['content']}" for t in turns)
        return said + "<assistant><think>\n" if add_generation_prompt else said


def test_a_prompt_ends_in_the_beginning() -> None:
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "SELECT"}]
    assert chat_text(Template(), messages) == "<user>q<assistant><think>\n</think>\n\nSELECT"
    assert chat_text(Template(), messages[:1]) == "<user>q<assistant><think>\n"
    assert joined_messages(messages) == "q\n\nSELECT"


def test_the_model_in_the_box_goes_on(tmp_path: Path) -> None:
    (tmp_path / "it.lmp").write_text(QUERY % "temperature: 0.0 max_tokens: 4")
    said = lmc.load(tmp_path / "it.lmp", model="lmc/tiny", cache=False).main("all rows")
    assert said.startswith("SELECT")
