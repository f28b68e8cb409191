"""What a stranger's Python program tries in `run_python`, and what it gets."""

import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from lmc.programs import tools
from lmc.programs.tools import calculate, run_python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="run_python takes Linux")
RAW = (
    "import ctypes, os\nc = ctypes.CDLL(None, use_errno=True)\n"  # past all of Python's own checks
)


def refused(code: str, words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        run_python(code)


def test_a_program_computes_with_the_standard_library() -> None:
    code = """
import math, itertools, collections, decimal, fractions, random, hashlib, json, re, datetime
import statistics, heapq, calendar, dataclasses, string, functools
def squares(n):
    for i in range(n):
        yield i * i
print(sum(squares(5)), fractions.Fraction(1, 3), statistics.mean([1, 2]))
"""
    assert run_python(code) == "30 1/3 1.5"


@pytest.mark.parametrize(
    "code",
    [
        "import os\nwhile True: os.fork()",
        "import os\nos.posix_spawn('/bin/true', ['true'], {})",
        "import os\nos.execv('/bin/true', ['true'])",
        "import subprocess\nsubprocess.run(['true'])",
        "import os\nos.system('true') == 0 or exit(1)",
        "import threading\nthreading.Thread(target=print).start()",
        "import os\nif os.fork() == 0:\n    os.setsid()\n    while True: pass",
        RAW + "exit(c.syscall(57) < 0)",
        RAW + "exit(c.syscall(435, 0, 0) < 0)",
    ],
)
def test_it_starts_no_process_and_no_thread(code: str) -> None:
    refused(code, "the program failed")


@pytest.mark.parametrize(
    "code",
    [
        "print(open({path!r}).read())",
        "import os\nprint(os.open({path!r}, os.O_RDONLY))",
        "import os\nos.symlink({path!r}, {path!r} + '.link')",
        "import os\nos.link({path!r}, {path!r} + '.link')",
        "import os\nprint(os.readlink({path!r}))",
        "import os\nprint(os.listdir(os.path.dirname({path!r})))",
        "import os\nos.remove({path!r})",
        "import os\nos.rename({path!r}, {path!r} + '.moved')",
        "import os\nos.chmod({path!r}, 0o777)",
        "import os\nos.truncate({path!r}, 0)",
        "open({path!r}, 'w').write('x')",
        "open({path!r} + '.new', 'w')",
        "import os\nos.mkdir({path!r} + '.new')",
        "import os\nos.chroot(os.path.dirname({path!r}))",
        RAW + "c.open.restype = ctypes.c_int\nf = c.open({path!r}.encode(), 0)\nexit(f < 0)",
        RAW + "exit(c.memfd_create(b'x', 0) < 0)",
    ],
)
def test_it_touches_no_file(code: str, tmp_path: Path) -> None:
    secret = tmp_path / ".ssh-key"
    secret.write_text("secret words")
    refused(code.format(path=str(secret)), "the program failed")
    assert [f.name for f in tmp_path.iterdir()] == [secret.name]
    assert secret.read_text() == "secret words"


@pytest.mark.parametrize("name", ["self/environ", "self/mem", "self/maps", "1/cmdline", "self/fd"])
def test_it_reads_nothing_of_the_kernel(name: str) -> None:
    refused(f"import os\nprint(os.open('/proc/{name}', os.O_RDONLY))", "Permission denied")


def test_it_has_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert "sk-secret" not in run_python("import os; print(dict(os.environ))")
    parent = f"/proc/{os.getpid()}/environ"
    refused(f"print(open({parent!r}).read())", "Permission denied")


def test_it_reaches_no_server() -> None:
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)

    server = HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    try:
        for code in (
            f"import urllib.request\nurllib.request.urlopen('http://127.0.0.1:{port}/')",
            f"import socket\nsocket.create_connection(('127.0.0.1', {port}))",
            "import socket\nsocket.socketpair()",
            RAW + "exit(c.socket(2, 1, 0) < 0)",
        ):
            refused(code, "the program failed")
    finally:
        server.shutdown()
        server.server_close()
    assert not asked


@pytest.mark.parametrize(
    "code",
    [
        "import os, signal\nos.kill({parent}, signal.SIGKILL)",
        "import os\nos.kill(-1, 9)",
        RAW + "exit(c.ptrace(16, {parent}, 0, 0) < 0)",
        RAW + "exit(c.process_vm_readv({parent}, 0, 0, 0, 0, 0) < 0)",
        RAW + "exit(c.syscall(434, {parent}, 0) < 0)",
        RAW + "exit(c.prctl(38, 0, 0, 0, 0) < 0)",
        RAW + "exit(c.unshare(0x10000000) < 0)",
    ],
)
def test_its_parent_lives_on(code: str) -> None:
    refused(code.format(parent=os.getpid()), "the program failed")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("while True: print('x' * 1000)", "printed more than"),
        ("import sys\nwhile True: sys.stderr.write('x' * 1000)", "printed more than"),
        ("x = 'a' * 10 ** 10", "MemoryError"),
        ("x = []\nwhile True: x.append('a' * 10 ** 6)", "MemoryError"),
        ("def f(): f()\nf()", "RecursionError"),
        ("while True: pass", "it took more than"),
        ("import os\nos.close(1)\nos.close(2)\nwhile True: pass", "it took more than"),
        ("raise SystemExit(3)", "exit 3"),
        ("import os\nos.abort()", "the program failed"),
        ("print('x'", "SyntaxError"),
    ],
)
def test_what_it_uses_is_bounded(code: str, words: str) -> None:
    refused(code, words)


def test_it_cannot_put_off_its_alarm() -> None:
    code = "import signal, time\nsignal.alarm(0)\ntime.sleep(600)"
    started = time.monotonic()
    refused(code, "eight seconds")
    assert time.monotonic() - started < 60  # not the ten minutes that it asked for


def test_a_program_of_any_length_is_not_started() -> None:
    refused("#" * 200_000, "more than 100,000 characters")


@pytest.mark.parametrize(
    ("there", "missing", "words"),
    [
        ("libseccomp.so.2", "libseccomp-that-is-not-there.so.2", "install libseccomp2"),
        ("444, 445, 446", "9444, 9445, 9446", "Landlock is not there"),
        ("if library.seccomp_load(rules):", "if True:", "cannot be filtered"),
    ],
)
def test_where_it_cannot_be_confined_it_is_not_run(
    there: str, missing: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tools._runner()
    assert there in text
    monkeypatch.setattr(tools, "_runner", lambda: text.replace(there, missing))
    mark = tmp_path / "ran"
    with pytest.raises(RuntimeError, match=f"cannot confine a program here.*{words}.*Linux 5.13"):
        run_python(f"open({str(mark)!r}, 'w')")
    assert not mark.exists()


def test_other_systems_are_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(subprocess, "Popen", None)
    with pytest.raises(RuntimeError, match="it takes Linux, and this is darwin"):
        run_python("print(1)")


@pytest.mark.parametrize(
    "expression",
    [
        "9 ** 9 ** 9", "round(5, -1000000000)", "9" * 400 + "*" + "9" * 90, "1e999", "1e308 * 10",
        "(-8) ** 0.5", "max()", "(" * 240 + "1" + ")" * 240, "-" * 499 + "x", "1" * 501, "\x00",
    ],
)  # fmt: skip
def test_the_calculator_bounds_its_numbers(expression: str) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        calculate(expression)
