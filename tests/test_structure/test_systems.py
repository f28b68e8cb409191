"""What only some systems have is used where it is known to be there; texts are UTF-8."""

import ast
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from lmc.cli.main import speak_utf8

ROOT = Path(__file__).parents[2]
TOPS = ("lmc", "optimizers", "programs")
FILES = [
    file
    for top in TOPS
    for file in sorted((ROOT / top).rglob("*.py"))
    if not any(part.is_symlink() for part in file.parents)
]

MODULES = {
    "crypt", "curses", "fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "spwd",
    "syslog", "termios", "tty", "uvloop",
}  # fmt: skip
# What modules that are everywhere have on some systems only.
MEMBERS = {
    "os": {
        "chown", "chroot", "fchmod", "fchown", "fork", "forkpty", "getegid", "geteuid", "getgid",
        "getgroups", "getloadavg", "getpgid", "getpgrp", "getpriority", "getresuid", "getsid",
        "getuid", "initgroups", "killpg", "lchown", "mkfifo", "mknod", "nice", "openpty", "pread",
        "pwrite", "register_at_fork", "sched_getaffinity", "sched_setaffinity", "setgid",
        "setpgid", "setpriority", "setsid", "setuid", "statvfs", "sync", "sysconf", "uname",
        "unshare", "wait3", "wait4", "waitid", "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW",
        "O_NONBLOCK",
    },
    "signal": {
        "SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP", "SIGUSR1",
        "SIGUSR2", "SIGXCPU", "SIGXFSZ", "alarm", "pthread_sigmask", "setitimer", "sigwait",
    },
    "time": {"tzset"},
    "socket": {"AF_UNIX"},
}  # fmt: skip
METHODS = {"add_signal_handler", "add_reader", "add_writer", "create_unix_server"}
ARGUMENTS = {"preexec_fn", "pass_fds"}  # Windows refuses them
PLACES = ("/tmp", "/dev/", "/proc/", "/etc/", "/usr/", "/var/", "/bin/")

GUARDS = ("hasattr(", "sys.platform", "os.name", "find_spec(")
FAILURES = ("AttributeError", "ImportError", "NotImplementedError", "ModuleNotFoundError")

# Guarded in another place, which is named.
ELSEWHERE = {
    # `wait_without_spinning` calls it where `sys.platform` is "linux".
    ("lmc/models/engine/openmp.py", "/proc/self/maps"),
    # In a `suppress(OSError)`.
    ("lmc/models/engine/linear.py", "/proc/cpuinfo"),
    # vLLM's command: `CommandBatches.prepare` refuses Windows, and nothing else goes on without it.
    ("lmc/models/batch_side.py", "*"),
    ("lmc/models/vllm_batches.py", "*"),
    # Read as a text and run in a process of its own by `tools`, on Linux only.
    ("programs/sandboxed.py", "*"),
}


class Use(NamedTuple):
    """A place that uses what only some systems have."""

    file: str
    line: int
    name: str


def guards(node: ast.AST) -> bool:
    """Whether a node asks first for what stands in it, or takes the failure."""
    match node:
        case ast.If(test=test) | ast.IfExp(test=test):
            return any(guard in ast.unparse(test) for guard in GUARDS)
        case ast.Try(handlers=handlers):
            caught = " ".join(ast.unparse(h.type) for h in handlers if h.type)
            return any(name in caught for name in FAILURES)
        case ast.With(items=items):
            said = " ".join(ast.unparse(item) for item in items)
            return "suppress(" in said and any(name in said for name in FAILURES)
        case ast.FunctionDef(body=body) | ast.AsyncFunctionDef(body=body):
            return any(_leaves(statement) for statement in body)
    return False


def _leaves(statement: ast.stmt) -> bool:
    """`if sys.platform != "linux": raise …` or `return` at the beginning of a function."""
    return (
        isinstance(statement, ast.If)
        and any(guard in ast.unparse(statement.test) for guard in GUARDS)
        and isinstance(statement.body[-1], ast.Raise | ast.Return)
    )


def named(node: ast.AST) -> Iterator[str]:
    """What a node uses that is not everywhere."""
    match node:
        case ast.Import(names=names):
            yield from (n.name for n in names if n.name.split(".")[0] in MODULES)
        case ast.ImportFrom(module=str(module), names=names):
            if module.split(".")[0] in MODULES:
                yield module
            yield from (f"{module}.{n.name}" for n in names if n.name in MEMBERS.get(module, ()))
        case ast.Attribute(value=ast.Name(id=module), attr=name):
            if name in MEMBERS.get(module, ()):
                yield f"{module}.{name}"
        case ast.Call(func=ast.Attribute(attr=name), keywords=keywords):
            if name in METHODS:
                yield name
            given = {k.arg for k in keywords}
            yield from (str(name) for name in given & ARGUMENTS)
            said = {k.arg for k in keywords if ast.unparse(k.value) == "True"}
            if said & {"text", "universal_newlines"} and "encoding" not in given:
                yield "text without encoding"
        case ast.Constant(value=str(text)) if text.startswith(PLACES):
            yield text


def uses(file: str, tree: ast.AST) -> Iterator[Use]:
    """The places in a file that are not guarded."""
    for what in named(tree):
        yield Use(file, getattr(tree, "lineno", 0), what)
    if not guards(tree):
        for child in ast.iter_child_nodes(tree):
            yield from uses(file, child)


def uses_of_all() -> Iterator[Use]:
    for file in FILES:
        yield from uses(file.relative_to(ROOT).as_posix(), ast.parse(file.read_text("utf-8")))


def test_what_only_some_systems_have_is_asked_for_first() -> None:
    allowed, seen = [], set()
    for use in uses_of_all():
        key = next((k for k in ((use.file, use.name), (use.file, "*")) if k in ELSEWHERE), None)
        if key is None:
            allowed.append(use)
        seen.add(key)
    assert allowed == []
    assert seen - {None} == ELSEWHERE, "an exception that nothing needs"


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("import resource", ["resource"]),
        ("try:\n  import uvloop\nexcept ImportError: pass", []),
        ("try:\n  import uvloop\nexcept OSError: pass", ["uvloop"]),
        ("import os\nos.fork()", ["os.fork"]),
        ("import os\nif hasattr(os, 'fork'): os.fork()", []),
        ("import signal\nX = {signal.SIGKILL: 1}", ["signal.SIGKILL"]),
        ("from signal import SIGKILL", ["signal.SIGKILL"]),
        ("def f():\n  if sys.platform != 'linux': return\n  os.getuid()", []),
        ("def f():\n  if deep: return\n  os.getuid()", ["os.getuid"]),
        ("open('/tmp/x', encoding='utf-8')", ["/tmp/x"]),
        ("subprocess.run(c, text=True)", ["text without encoding"]),
        ("subprocess.Popen(c, preexec_fn=f)", ["preexec_fn"]),
    ],
)
def test_the_scan_finds_it(code: str, what: list[str]) -> None:
    assert [use.name for use in uses("example.py", ast.parse(code))] == what


def test_output_is_utf8_on_windows() -> None:
    """There a pipe has the code page of the system, which lacks most characters."""
    pipe = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    speak_utf8([pipe], platform="win32")
    pipe.write("«Grüße» → 日本")
    pipe.flush()
    assert pipe.buffer.getvalue().decode() == "«Grüße» → 日本"  # type: ignore[attr-defined]


def test_output_elsewhere_stays_as_the_user_set_it() -> None:
    pipe = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    speak_utf8([pipe], platform="linux")
    assert pipe.encoding == "latin-1"
