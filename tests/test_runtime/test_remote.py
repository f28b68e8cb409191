"""Tools of MCP servers: typed ones, whole servers for agents, and servers that misbehave."""

import asyncio
import gzip
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner

from lmc.cli.check import command
from lmc.consent import OWN, Consent
from lmc.diagnostics import LmcError
from lmc.models.base import Request
from lmc.models.scripted import Scripted
from lmc.passes.pipeline import run_passes
from lmc.requests.pool import ModelPool
from lmc.runtime import remote
from lmc.runtime.executor import Executor
from lmc.runtime.remote import _ending_with_us
from lmc.runtime.traces import Trace
from tests.mcp_server import reply
from tests.programs import lowered

pytest.importorskip("mcp")


@pytest.fixture(autouse=True, scope="module")
def _closed() -> Iterator[None]:
    yield
    asyncio.run(remote.close_all())


SERVER = Path(__file__).parent.parent / "mcp_server.py"


def program(text: str, way: str = "", timeout: str = "20") -> str:
    command = json.dumps(f"mcp:{sys.executable} {SERVER} {way}")
    return text.replace("SERVER", command).replace("SECONDS", timeout)


def children(way: str) -> list[str]:
    """The processes of servers that behave in some way."""
    told = ["pgrep", "-f", f"{SERVER} {way}$"]
    return subprocess.run(told, capture_output=True, text=True, check=False).stdout.split()


def executor(text: str, script: Any = (), consent: Consent = OWN) -> Executor:
    graph = run_passes(lowered(text))
    pool = ModelPool(graph.models, graph.default, backends={"*": Scripted(script)})
    return Executor(graph, pool, consent=consent)


ADD = """
tool add(a: int, b: int) -> int from SERVER { timeout: SECONDS }
pipeline main(a: int, b: int) -> int { return add(a, b) + 1 }
"""
READ = """
record File { path: str, lines: int? = none }
tool read(path: str, lines: int? = none) -> File from SERVER { name: "read-file" timeout: SECONDS }
pipeline main(path: str) -> File { return read(path) }
"""
COUNT = """
tool files from SERVER { timeout: SECONDS }
pipeline main(name: str) -> json { return files(name, {}) }
"""
AGENT = """
tool price(thing: str) -> float from "my:price"
tool files from SERVER { timeout: SECONDS }
agent main(question: str) -> str { \"\"\"Answer.\"\"\" tools: [price, files] steps: 3 }
"""


async def failure(text: str, inputs: dict[str, Any], script: Any = ()) -> str:
    with pytest.raises(LmcError) as caught:
        await executor(text, script).run("main", inputs)
    return str(caught.value)


async def test_a_typed_tool_of_a_server_is_a_tool() -> None:
    assert await executor(program(ADD)).run("main", {"a": 2, "b": 3}) == 6


async def test_it_may_have_another_name_and_leave_out_what_is_none() -> None:
    found = await executor(program(READ)).run("main", {"path": "a.txt"})
    assert found == {"path": "a.txt", "lines": None}


async def test_a_none_that_the_server_wants_is_sent() -> None:
    text = """
    tool ask(x: str?) -> str from SERVER { name: "null" timeout: SECONDS }
    pipeline main(x: str?) -> str { return ask(x) }
    """
    found = await executor(program(text, "odd-list")).run("main", {"x": None})
    assert found == 'null {"x": null}'


async def test_an_error_of_the_tool_is_told() -> None:
    assert "no such file" in await failure(program(READ), {"path": "missing"})


async def test_one_connection_serves_several_runs() -> None:
    text = "tool count() -> int from SERVER\npipeline main() -> int { return count() }"
    ex = executor(program(text, "counts"))
    first = await ex.run("main", {})
    assert await executor(program(text, "counts")).run("main", {}) == first + 1


@pytest.mark.parametrize(
    ("way", "told"),
    [
        ("broken", "no configuration"),
        ("lies", "sum"),
        ("huge", "more than 4,000,000"),
        ("odd", "does not fit `int`"),
        ("dies", "ended"),
    ],
)
async def test_a_bad_server_fails_its_run_only(way: str, told: str) -> None:
    message = await failure(program(ADD, way), {"a": 1, "b": 2})
    assert message.startswith("error[tool-failed]") or "tool-failed" in message
    assert told in message


async def test_a_server_that_ended_is_started_again() -> None:
    text = program(ADD, "dies again")
    await failure(text, {"a": 1, "b": 2})
    assert "ended" in await failure(text, {"a": 1, "b": 2})  # a new one, which ends at its call


async def test_noise_between_the_messages_is_overheard() -> None:
    assert await executor(program(ADD, "garbage")).run("main", {"a": 2, "b": 3}) == 6


async def test_a_slow_server_is_not_waited_for() -> None:
    assert "took more than 1 s" in await failure(program(ADD, "slow", "1.0"), {"a": 1, "b": 2})


async def test_a_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "CONNECT_S", 1.0)
    assert "did not answer" in await failure(program(ADD, "mute"), {"a": 1, "b": 2})


async def test_a_server_that_hangs_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PING_S", 0.3)
    assert "took more than 2 s" in await failure(program(ADD, "hangs", "2.0"), {"a": 0, "b": 2})
    assert await executor(program(ADD, "hangs", "60")).run("main", {"a": 1, "b": 2}) == 4


async def test_a_slow_call_does_not_end_a_server_that_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server says how many calls it had, and a new one would begin at one."""
    monkeypatch.setattr(remote, "PING_S", 60)
    patient = program(COUNT, "lively", "60")
    assert await executor(patient).run("main", {"name": "count"}) == 1
    assert "took more than 1 s" in await failure(program(COUNT, "lively", "1"), {"name": "slow"})
    assert await executor(patient).run("main", {"name": "count"}) == 3


async def test_a_server_that_hangs_at_its_start_ends_with_lmc() -> None:
    assert "took more than 1 s" in await failure(program(ADD, "deaf", "1.0"), {"a": 1, "b": 2})
    while not children("deaf"):  # noqa: ASYNC110  # another process tells no event
        await asyncio.sleep(0.1)
    await remote.close_all()
    assert not children("deaf")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends it")
def test_a_server_that_never_reads_ends_with_a_killed_lmc(tmp_path: Path) -> None:
    text = program(ADD, "deaf  ", "50")  # told from those of other tests
    (tmp_path / "p.lmp").write_text(text.replace("deaf  ", "deaf 9"))
    asked = [sys.executable, "-m", "lmc", "run", "p.lmp", "--a", "1", "--b", "2"]
    process = subprocess.Popen(asked, cwd=tmp_path, stderr=subprocess.DEVNULL)
    end_s = time.monotonic() + 60
    while not children("deaf 9") and time.monotonic() < end_s:
        time.sleep(0.05)
    assert children("deaf 9")
    time.sleep(0.2)  # until it has taken the place of its starter
    process.kill()
    process.wait()
    end_s = time.monotonic() + 20
    while children("deaf 9") and time.monotonic() < end_s:
        time.sleep(0.05)
    assert not children("deaf 9")


async def test_an_odd_tool_does_not_make_its_server_useless() -> None:
    script = steps(step("bare"), step("php"), step("null", x=None), DONE)
    trace = Trace()
    await executor(program(AGENT, "odd-list"), script).run("main", {"question": "?"}, trace=trace)
    seen = [t["observation"] for r in trace.regions for t in r.detail.get("transcript", ())]
    assert [line.splitlines()[0] for line in seen] == ["bare {}", "php {}", 'null {"x": null}']


async def test_a_result_that_is_no_object_fails_only_its_call() -> None:
    text = program(COUNT, "list")
    assert await executor(text).run("main", {"name": "count"}) == ""


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ("tool add(a: int) -> int", "needs `b`"),
        ("tool add(a: int, b: int, c: int) -> int", "no parameter `c`"),
        ("tool add(a: str, b: int) -> int", "takes `a` as `int`, not as `str`"),
        ("tool subtract(a: int) -> int", "no tool `subtract`; it has add, read-file, count"),
    ],
)
async def test_a_declaration_that_the_server_contradicts(declared: str, told: str) -> None:
    name = declared.split("(")[0].removeprefix("tool ")
    given = "a" if "str" not in declared else '"x"'
    args = ", ".join(["a" if given == "a" else '"x"', *(["1"] * declared.count(", "))])
    text = f"{declared} from SERVER\npipeline main(a: int) -> int {{ return {name}({args}) }}"
    message = await failure(program(text), {"a": 1})
    assert "tool-mismatch" in message
    assert told in message


async def test_a_stranger_needs_consent_for_a_command() -> None:
    text = program(
        'tool add(a: int, b: int) -> int from SERVER { env: ["HOME_TOKEN"] }'
        "\npipeline main(a: int) -> int { return add(a, a) }"
    )
    with pytest.raises(LmcError, match="tool-not-allowed") as caught:
        await executor(text, consent=Consent(stranger=True)).run("main", {"a": 1})
    assert "HOME_TOKEN" in str(caught.value)
    allowed = Consent(stranger=True, tools=frozenset(["add"]))
    assert await executor(text, consent=allowed).run("main", {"a": 1}) == 2


async def test_a_function_may_stand_in_for_a_tool_of_a_server() -> None:
    stands = Consent(functions={"add": lambda a, b: a * b})
    assert await executor(program(ADD, "broken"), consent=stands).run("main", {"a": 2, "b": 3}) == 7


def steps(*said: str) -> Any:
    left = list(said)
    return lambda request: left.pop(0)


def step(tool: str, /, **arguments: Any) -> str:
    return f"[[tool]] {tool}\n[[arguments]] {json.dumps(arguments)}"


DONE = "[[tool]] finish\n[[answer]] done"


@pytest.mark.parametrize("way", ["", "pages"])
async def test_an_agent_sees_all_tools_of_a_server(way: str) -> None:
    asked: list[Request] = []
    script = steps(step("add", a=1, b="2"), step("read_file", path="a"), DONE)

    def said(request: Request) -> str:
        asked.append(request)
        return str(script(request))

    trace = Trace()
    await executor(program(AGENT, way), said).run("main", {"question": "?"}, trace=trace)
    told = asked[0].messages[0]["content"]
    assert "add(a: int (the first), b: int) -> json: Add two numbers" in told
    assert "read_file(path: str, lines: int? = null)" in told
    assert "price(thing: str) -> float" in told
    seen = [t["observation"] for r in trace.regions for t in r.detail.get("transcript", ())]
    assert seen == ["3", '{"path": "a"}']
    tools = [r for r in trace.regions if r.kind == "tool"]
    assert [r.inputs["tool"] for r in tools] == ["add", "read-file"]


async def test_wrong_arguments_and_names_are_told_to_the_model() -> None:
    trace = Trace()
    script = steps(step("add", a="x", b=1), step("ad", a=1, b=1), step("add", a=1), DONE)
    ex = executor(program(AGENT), script)
    assert await ex.run("main", {"question": "?"}, trace=trace) == "done"
    seen = [t["observation"] for r in trace.regions for t in r.detail.get("transcript", ())]
    assert seen[0].startswith("error: the argument `a`: ")
    assert "did you mean `add`?" in seen[1]
    assert "needs an input `b: int`" in seen[2]
    assert not [r for r in trace.regions if r.kind == "tool"]


async def test_a_server_cannot_take_the_name_of_another_tool_or_flood_the_prompt() -> None:
    asked: list[Request] = []

    def said(request: Request) -> str:
        asked.append(request)
        return DONE

    await executor(program(AGENT, "names"), said).run("main", {"question": "?"})
    told = asked[0].messages[0]["content"]
    assert "files_finish()" in told
    assert "files_price(a: int" in told
    assert "price(thing: str) -> float" in told
    assert len(told) < 10_000


async def test_a_list_that_goes_in_a_circle() -> None:
    message = await failure(program(AGENT, "circle"), {"question": "?"}, [DONE])
    assert "goes in a circle" in message


async def test_a_server_with_a_stub_is_not_reached() -> None:
    ex = executor(program(AGENT, "broken"), steps(step("files", tool="x", arguments={}), DONE))
    assert await ex.run("main", {"question": "?"}, stubs={"files": "found"}) == "done"


# --- over HTTP ---


class Web:
    """A server over HTTP: answers JSON-RPC as `tests/mcp_server.py` does, and notes the headers."""

    def __init__(self, body: bytes | None = None, **headers: str) -> None:
        self.body, self.headers = body, headers
        self.keys: list[str | None] = []
        self.session = ""  # that it knows, if it has sessions

    async def answer(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers.get("Authorization"))
        message = await request.json()
        begins = message["method"] in ("initialize", "server/discover")
        if not begins and request.headers.get("Mcp-Session-Id", "") != self.session:
            return web.Response(status=404)
        if "id" not in message:
            return web.Response(status=202)
        if message["method"] == "tools/call" and self.body is not None:
            kind = {"Content-Type": "application/json"}
            return web.Response(body=self.body, headers=kind | self.headers)
        result = reply("", message["method"], message.get("params") or {}, 1)
        told = {"jsonrpc": "2.0", "id": message["id"]}
        wrong = {"code": -32601, "message": "no such method"}
        more = {"error": wrong} if result is None else {"result": result}
        held = {"Mcp-Session-Id": self.session} if message["method"] == "initialize" else {}
        return web.json_response(told | more, headers=held)

    async def __aenter__(self) -> str:
        app = web.Application()
        app.router.add_post("/mcp", self.answer)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        return f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/mcp"

    async def __aexit__(self, *exc: object) -> None:
        await remote.close_all()
        await self.runner.cleanup()


def at_url(url: str) -> str:
    return program(ADD.replace("SERVER {", f'"mcp:{url}" {{ api_key_env: "REMOTE_KEY"'))


async def test_a_server_at_a_url_gets_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMOTE_KEY", "sk-remote")
    server = Web()
    async with server as url:
        assert await executor(at_url(url)).run("main", {"a": 2, "b": 3}) == 6
    assert set(server.keys) == {"Bearer sk-remote"}


async def test_a_server_at_a_url_that_forgot_its_sessions_is_used_again() -> None:
    server = Web()
    server.session = "one"
    async with server as url:
        text = at_url(url)
        assert await executor(text).run("main", {"a": 2, "b": 3}) == 6
        server.session = "two"
        assert "Session terminated" in await failure(text, {"a": 2, "b": 3})
        assert await executor(text).run("main", {"a": 2, "b": 3}) == 6


@pytest.mark.parametrize(
    ("server", "told"),
    [
        (Web(b'{"x": "' + b"y" * (33 << 20) + b'"}'), "MiB"),
        (Web(gzip.compress(b"{}"), **{"Content-Encoding": "gzip"}), "packed"),
        (Web(b"no JSON"), ""),
    ],
    ids=["huge", "packed", "no JSON"],
)
async def test_a_bad_response_fails_the_call(server: Web, told: str) -> None:
    async with server as url:
        message = await failure(at_url(url), {"a": 1, "b": 2})
    assert "tool-failed" in message
    assert told in message


@pytest.mark.skipif(sys.platform != "linux", reason="only there, another program starts it")
def test_a_command_that_cannot_run_is_started_as_it_is(tmp_path: Path) -> None:
    """So that what is wrong with it is told."""
    (tmp_path / "server").write_text("no program")
    for wrong in (["server"], ["./server"], ["./missing"]):
        assert _ending_with_us(wrong, str(tmp_path)) == wrong
    (tmp_path / "server").chmod(0o700)
    assert _ending_with_us(["server"], str(tmp_path)) == ["server"]  # PATH does not have it
    assert _ending_with_us(["./server"], str(tmp_path))[-1] == "./server"
    assert len(_ending_with_us(["./server"], str(tmp_path))) > 1


async def test_a_url_that_nobody_listens_at() -> None:
    message = await failure(at_url("http://127.0.0.1:9/mcp"), {"a": 1, "b": 2})
    assert "cannot reach the server" in message


def test_check_reaches_the_servers_where_it_is_asked_to(tmp_path: Path) -> None:
    text = program(
        "tool add(a: int, b: int) -> int from SERVER\n"
        'tool read(file: str) -> str from SERVER { name: "read-file" }\n'
        "tool all from SERVER\n"
    )
    path = tmp_path / "a.lmp"
    path.write_text(text)
    plain = CliRunner().invoke(command, [str(path)], standalone_mode=False)
    assert plain.return_value == 0
    assert "as declared" not in plain.output
    found = CliRunner().invoke(command, ["--servers", str(path)], standalone_mode=False)
    assert found.return_value == 1
    assert "add: as declared" in found.output
    assert "all: 3 tools" in found.output
    assert "needs `path`, which the program does not declare" in found.output
    assert ":2:1" in found.output


async def test_an_artifact_may_name_what_its_caller_gives() -> None:
    text = AGENT.replace("SERVER { timeout: SECONDS }", '"python:"')
    text = text.replace('tool price(thing: str) -> float from "my:price"\n', "")
    text = text.replace("[price, files]", "[think, files]")
    text = "generate think(x: str) -> str\n" + text
    ex = executor(text, [DONE], Consent(stranger=True))
    assert await ex.run("main", {"question": "?"}) == "done"
