"""What a model passes on to its server: parameters, headers, and whose word that needs."""

from pathlib import Path

import pytest

import lmc
from lmc.check import check_program
from lmc.check.passed_on import misplaced
from lmc.diagnostics import LmcError
from lmc.models.base import Request, Sampling
from lmc.models.dialect import forget_dialects
from lmc.models.litellm_provider import _wished
from lmc.models.openai_compatible import OpenAICompatible
from lmc.models.passed_on import body_text, header_pairs, merged
from lmc.program.artifact import Artifact, Manifest
from lmc.program.program import check_file, lower_checked
from lmc.source import Source
from tests.loopback import Fault, Loopback

PASSED = 'extra: {top_k: 3, "a-b": {c: [1, none]}} headers: {"X-Team": "search"}'


@pytest.fixture(autouse=True)
def nothing_learnt(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    forget_dialects()


def written(server, settings):
    text = f'model m {{ name: "openai/x" base_url: "{server.url}" {settings} retry: {{max: 0}} }}\n'
    text += 'generate main(q: str) -> str { """A.""" model: m }\n'
    Path("p.lmp").write_text(text)
    return text


def artifact(text):
    graph = lower_checked(check_file("p.lmp"))
    manifest = Manifest(lmc=lmc.__version__, entry="p.lmp", target="main")
    Artifact(manifest, graph, sources={"p.lmp": text}).write(Path("p.lmpc"))


def test_extra_and_headers_arrive():
    with Loopback("ok") as server:
        written(server, f'{PASSED} reasoning: 0 dialect: "vllm"')
        with lmc.load("p.lmp", cache=False) as program:
            assert program.main(q="?") == "ok"
    (payload,) = server.payloads
    assert payload["top_k"] == 3 and payload["a-b"] == {"c": [1, None]}
    assert payload["chat_template_kwargs"]["enable_thinking"] is False
    assert server.headers[0]["X-Team"] == "search"


def test_an_artifact_passes_nothing_on_without_consent():
    with Loopback("ok") as server:
        artifact(written(server, PASSED))
        host = f"127.0.0.1:{server.port}"
        # The user named the server, but not the settings.
        options = {"cache": False, "base_url": server.url}
        with lmc.load("p.lmpc", **options) as program, pytest.raises(LmcError) as failure:
            program.main(q="?")
        assert failure.value.code == "settings-not-allowed"
        assert f"--allow-host {host}" in str(failure.value.diagnostics[0].help)
        assert server.payloads == []
        with lmc.load("p.lmpc", cache=False, hosts=[host]) as program:
            assert program.main(q="?") == "ok"
    assert server.payloads[0]["top_k"] == 3


@pytest.mark.parametrize(
    ("given", "slug"),
    [
        ('headers: {Authorization: "Bearer x"}', "own-parameter"),
        ('headers: {"x-api-key": "x"}', "own-parameter"),
        ('headers: {HOST: "x"}', "own-parameter"),
        ('headers: {"Content-Length": "3"}', "own-parameter"),
        ('headers: {"X-Goog-Api-Key": "x"}', "own-parameter"),
        ('headers: {"a b": "x"}', "own-parameter"),
        ('headers: {"X-A": "x\\r\\nHost: y"}', "own-parameter"),
        ('headers: {"X-A": 3}', "type-mismatch"),
        ("extra: {model: 1}", "own-parameter"),
        ("extra: {n_predict: 100000}", "own-parameter"),
        ("extra: {max_completion_tokens: 100000}", "own-parameter"),
        ("extra: 3", "type-mismatch"),
    ],
)
def test_what_lmc_controls_cannot_be_passed_on(given, slug):
    source = f'model m {{ name: "openai/x" {given} }}\n'
    source += 'generate main(q: str) -> str { """A.""" model: m }\n'
    _, found = check_program(Source("p.lmp", source))
    assert [d.code for d in found] == [slug]


@pytest.mark.parametrize("settings", [{"extra": {"n": 9}}, {"headers": {"Cookie": "a"}}])
def test_settings_that_never_met_the_checker_are_held_against_the_same_rule(settings):
    with pytest.raises(LmcError) as failure:
        (body_text(settings), header_pairs(settings))
    assert failure.value.code == "own-parameter"


def test_headers_that_say_who_asks_may_be_passed_on():
    assert misplaced("headers", {"OpenAI-Organization": "org-1", "anthropic-beta": "x"}) is None


def test_objects_are_joined_and_the_programs_word_wins():
    assert merged({"a": {"x": 1, "y": 1}, "b": 1}, '{"a": {"y": 2}, "b": [2], "c": 3}') == {
        "a": {"x": 1, "y": 2},
        "b": [2],
        "c": 3,
    }


async def test_a_parameter_that_is_refused_is_an_error_and_not_asked_for_ever():
    with Loopback(lambda p: Fault(400, f"unknown field {[*p][-1]}")) as server:
        backend = OpenAICompatible(server.url)
        for extra in ('{"zzz":1}', '{"reasoning_effort":"low"}'):
            request = Request("m", ({"role": "user", "content": "q"},), Sampling(extra=extra))
            with pytest.raises(lmc.models.base.ModelFailure):
                await backend.generate(request)
        await backend.close()
    assert len(server.payloads) <= 4


@pytest.mark.parametrize(
    ("sampling", "by_tokens", "sent"),
    [
        (Sampling(reasoning="low"), True, {"reasoning_effort": "low"}),
        (Sampling(reasoning="off"), True, {"reasoning_effort": "none"}),
        (Sampling(reasoning=2000), True, {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
        (Sampling(reasoning=2000), False, {"reasoning_effort": "medium"}),
        (Sampling(extra='{"a":1}'), True, {"extra_body": {"a": 1}}),
        (Sampling(headers=(("X", "1"),)), True, {"extra_headers": {"X": "1"}}),
    ],
)
def test_litellm_is_told_in_its_own_words(sampling, by_tokens, sent):
    assert _wished(sampling, by_tokens=by_tokens) == sent
