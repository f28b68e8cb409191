"""What leaves lmc: no keys, no control characters on a terminal, no files for others to read."""

import base64
import copy
import io
import json
import logging
import os
import pty
import re
import stat
import subprocess
import sys
import urllib.parse
import zipfile
from pathlib import Path

import pytest

import lmc
from lmc.cli import report, terminal
from lmc.cli.terminal import clean, console, paint, say
from lmc.diagnostics import LmcError, error
from lmc.models.base import ModelFailure
from lmc.models.scripted import Scripted
from lmc.redaction import logger, redact, remember
from lmc.requests.cache import Cache
from lmc.traces.store import TraceStore
from tests.loopback import Fault, Loopback

KEY = "sk-live/Zx9+81?abc=q~Ü"
COMMAND = "from lmc.cli.main import main; main()"
EVIL = "\x1b]0;PWN\x07\x1b[2J\x9b31m\u202egnp.exe\u2066\rover\x08\U000e0041\ud800"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_PROVIDER_API_KEY", KEY)


FORMS = {
    "plain": KEY,
    "header": f"Authorization: Bearer {KEY}",
    "percent": urllib.parse.quote(KEY),
    "percent all": urllib.parse.quote(KEY, safe=""),
    "percent lower": re.sub("%..", lambda m: m[0].lower(), urllib.parse.quote(KEY, safe="")),
    "form": urllib.parse.quote_plus(KEY),
    "url": f"https://me:{KEY.replace('/', '')}@host/v1",
    **{
        f"base64 {before!r} {after!r}": encode((before + KEY + after).encode()).decode()
        for before in ("", "a", "ab", "user:")
        for after in ("", "x", "xy")
        for encode in (base64.b64encode, base64.urlsafe_b64encode)
    },
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_key_is_taken_out_in_every_form(form: str) -> None:
    told = redact(f"before {form} after")
    assert "before " in told and told.endswith(" after")
    for part in (KEY, urllib.parse.quote(KEY, safe=""), base64.b64encode(KEY.encode()).decode()):
        assert not any(part[i : i + 9] in told for i in range(len(part) - 9))


@pytest.mark.parametrize(
    "text", ["basic arithmetic", "authorization required", "the bearer of news", "a key: value"]
)
def test_harmless_words_stay(text: str) -> None:
    assert redact(text) == text


def test_every_message_goes_through_the_border(caplog: pytest.LogCaptureFixture) -> None:
    remember("MINE", "a-secret-of-no-variable")
    words = f"the server said {KEY} and a-secret-of-no-variable"
    failure = LmcError(error("call-failed", words, help=words))
    logger("lmc.of.a.test").warning("%s", words)
    for told in (
        str(failure), repr(failure), str(ModelFailure("auth", words, retryable=False, hint=words)),
        ModelFailure("auth", words, retryable=False, hint=words).hint, caplog.text,
    ):  # fmt: skip
        assert "[SOME_PROVIDER_API_KEY] and [MINE]" in told
        assert KEY not in told and "a-secret" not in told
    assert logging.getLogger("lmc.of.a.test") is logger("lmc.of.a.test")


@pytest.mark.parametrize("pad", [0, 390])
def test_a_server_that_sends_the_key_back_is_not_quoted(tmp_path: Path, pad: int) -> None:
    """Nor is a part of the key, where the message is cut."""
    coded = base64.b64encode(f"x:{KEY}".encode()).decode()
    with Loopback(lambda _: Fault(401, "e" * pad + f"bad key {KEY} {coded}")) as server:
        text = f"""
model m {{
  name: "hosted_vllm/x"
  base_url: "{server.url}"
  api_key_env: "SOME_PROVIDER_API_KEY"
  retry: {{max: 0}}
}}
generate main(q: str) -> str {{ \"\"\"A.\"\"\" model: m }}
"""
        (tmp_path / "p.lmp").write_text(text)
        with pytest.raises(LmcError) as caught:
            lmc.load(tmp_path / "p.lmp", cache=False, hosts=["127.0.0.1"]).main(q="x")
    told = str(caught.value)
    assert "answered 401" in told
    for secret in (KEY, coded):
        assert not any(secret[i : i + 9] in told for i in range(len(secret) - 9))


# --- the terminal ---


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_control_characters_become_escapes() -> None:
    told = clean(f"a\tb\n{EVIL}")
    assert told.startswith(
        "a\tb\n\\u001b]0;PWN\\u0007\\u001b[2J\\u009b31m\\u202egnp.exe\\u2066\\u000dover"
    )
    assert not terminal._CONTROL.search(told)
    assert json.loads(clean(json.dumps({"a": EVIL}, ensure_ascii=False))) == {"a": EVIL}


def test_no_text_passes_for_a_style_of_lmc(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    say(paint("row", "red", "bold") + " \x1b[8m hidden \0red\0 " + EVIL.replace("\ud800", ""))
    told = screen.getvalue()
    assert told.startswith("\x1b[31m\x1b[1mrow\x1b[0m \\u001b[8m hidden \\u0000red\\u0000")
    assert told.count("\x1b") == 3


def test_consoles_print_clean_text(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    shown = console()
    table = Table()
    table.add_row("\x1b]0;PWN\x07", "[red]x[/]")
    shown.print(table, Text("\x9b2J"), f"{KEY} \x1b[2J")
    with Live(Text("\x1b]0;PWN\x07 live"), console=shown):
        pass
    told = screen.getvalue()
    assert "\\u001b" in told and "PWN" in told and "live" in told
    assert "\x1b]0" not in told and "\x07" not in told and "\x9b" not in told and KEY not in told


def on_terminal(*args: str, cwd: Path) -> bytes:
    """What a command writes to a terminal."""
    master, slave = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(Path(lmc.__file__).parents[1]), "TERM": "dumb"}
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *args],
        stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, cwd=cwd, env=environment,
    )  # fmt: skip
    os.close(slave)
    told = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # the terminal's other end is closed
            break
        if not piece:
            break
        told += piece
    process.wait()
    os.close(master)
    return told


def test_what_a_model_says_reaches_a_pipe_as_it_is_and_a_terminal_harmless(tmp_path: Path) -> None:
    said = "fine \x1b]0;PWN\x07\x1b[2J \u202e end"
    (tmp_path / "a.json").write_text(json.dumps([said]))
    (tmp_path / "p.lmp").write_text('generate main(q: str) -> str { """A.""" }\n')
    args = ("run", "p.lmp", "--q", "x", "-m", "scripted/a.json", "--no-cache")
    for extra in ((), ("--stream",), ("--json",), ("--trace",)):
        told = on_terminal(*args, *extra, cwd=tmp_path)
        assert b"fine" in told and b"\x1b]0" not in told and b"\x07" not in told, told
        assert "\u202e".encode() not in told
    piped = subprocess.run(
        [sys.executable, "-c", COMMAND, *args], capture_output=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(lmc.__file__).parents[1])},
    )  # fmt: skip
    assert piped.stdout.decode() == f"{said}\n"


def test_a_program_s_own_words_do_not_reach_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "p.lmp").write_text("generate main(q: str) -> nothing\x1b]0;PWN\x07\x1b[2J\n")
    told = on_terminal("check", "p.lmp", cwd=tmp_path)
    assert b"error" in told and b"\x1b]0" not in told and b"\x07" not in told


def test_commands_print_by_say_alone() -> None:
    folder = Path(lmc.__file__).parent / "cli"
    for file in folder.glob("*.py"):
        if file.name != "terminal.py":
            text = file.read_text("utf-8")
            ways = ("click.echo", "click.secho", " Console(", "\nprint(")
            assert not any(way in text for way in ways), file


# --- files ---


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_lmc_keeps_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    old = os.umask(0o022)
    try:
        Cache(tmp_path / "kept" / "cache" / "answers.db").clear()
        TraceStore(f"sqlite:///{tmp_path / 'kept' / 'traces' / 'runs.db'}").close()
        (tmp_path / "p.lmp").write_text('generate main(q: str) -> str { """A.""" }\n')
        rows = [{"q": f"q{i}", "answer": "a"} for i in range(120)]
        lmc.compile(
            "p.lmp", data=rows, metric="accuracy", optimizer="labeled()", accept="better",
            backend=Scripted(lambda request: "a"), run_dir=tmp_path / "kept" / "run",
            cache=False, out="p.lmpc",
        )  # fmt: skip
        assert report.command.callback is not None
        report.command.callback(tmp_path / "kept" / "run", None)
    finally:
        os.umask(old)
    kept = [tmp_path / "kept", *(tmp_path / "kept").rglob("*")]
    assert len(kept) > 6
    for path in kept:
        assert mode(path) == (0o700 if path.is_dir() else 0o600), path
    assert mode(tmp_path / "p.lmpc") == 0o644  # the user asked for it


# --- sizes ---


@pytest.mark.parametrize("name", ["p.lmp", "p.lmpc", "rows.jsonl", "rows.json", "rows.csv"])
def test_a_fifo_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    (tmp_path / "q.lmp").write_text('generate main(q: str) -> str { """A.""" }\n')
    program = tmp_path / (name if name.startswith("p") else "q.lmp")
    with pytest.raises(LmcError, match=r"cannot-read.*not a regular file"):
        lmc.evaluate(program, tmp_path / name, "accuracy")


def test_a_device_behind_a_link_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "p.lmp").symlink_to("/dev/zero")
    with pytest.raises(LmcError, match=r"cannot-read.*not a regular file"):
        lmc.load(tmp_path / "p.lmp")


def test_a_source_of_any_length_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "p.lmp").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(LmcError, match=r"cannot-read.*more than 4,194,304 bytes"):
        lmc.load(tmp_path / "p.lmp")


def test_a_line_without_end_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "rows.jsonl").open("wb") as file:
        file.write(b'{"q": "a", "answer": "b"}\n')
        file.truncate(1 << 40)
    (tmp_path / "p.lmp").write_text('generate main(q: str) -> str { """A.""" }\n')
    with pytest.raises(LmcError, match=r"bad-row.*more than 16,777,216 bytes"):
        lmc.evaluate(tmp_path / "p.lmp", tmp_path / "rows.jsonl", "accuracy")


def bomb(path: Path, name: str, compression: int, copies: int) -> Path:
    """A zip file with a part, and further entries that name the same bytes."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(name, bytes(1 << 20))
        for number in range(copies):
            entry = copy.copy(archive.filelist[0])
            entry.filename = entry.orig_filename = f"{name}{number}"
            archive.filelist.append(entry)
    return path


@pytest.mark.parametrize(
    ("name", "compression", "copies", "words"),
    [
        ("sources/a", zipfile.ZIP_STORED, 3, "its parts overlap"),
        ("adapters/a", zipfile.ZIP_DEFLATED, 0, "is compressed, so its size"),
        ("../a", zipfile.ZIP_STORED, 0, "unexpected part"),
    ],
)
def test_an_artifact_that_is_a_bomb_is_not_unpacked(
    tmp_path: Path, name: str, compression: int, copies: int, words: str
) -> None:
    path = bomb(tmp_path / "p.lmpc", name, compression, copies)
    with pytest.raises(LmcError, match=f"artifact-damaged.*{words}"):
        lmc.load(path)
