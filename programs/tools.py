"""Tools of the standard library: a calculator, Python in a sandbox, ranking by likeness."""

from __future__ import annotations

import ast
import contextlib
import math
import operator
import os
import secrets
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import resources

from lmc.ir.fences import code_of
from lmc.programs.sandboxed import CONFINED
from lmc.prompts.nearest import Nearest
from lmc.prompts.spec import Demo

MOST_CHARS = 500  # of an expression
MOST_POWER = 64
MOST_BITS = 4096  # of a whole number
MOST_PROGRAM = 100_000  # characters
MOST_BYTES = 65_536  # that a program may write on one output
MOST_TESTS = 20
MOST_OUTPUT = 4000  # characters of what a program prints that are handed on
WALL_SECONDS = 10  # a program ends itself after eight; this is for one that cannot start

_UNCONFINED = "run_python cannot confine a program here, so it does not run one"
_REMEDY = (
    "It takes Linux 5.13 or newer with Landlock (`lsm=…,landlock`) and libseccomp2; a container "
    "must let it call landlock_create_ruleset and seccomp (Docker's own profile does)."
)
_ENDED = {
    "SIGXCPU": "it took more than two seconds of processor time",
    "SIGKILL": "it took more than two seconds of processor time",
    "SIGALRM": "it took more than eight seconds",
}

_BINARY: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip
_UNARY: dict[type, Callable[[float], float]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
_FUNCTIONS: dict[str, Callable[..., float]] = {
    "abs": abs, "max": max, "min": min, "round": lambda x, digits=0: _round(x, digits),
    "sqrt": math.sqrt, "floor": math.floor, "ceil": math.ceil,
}  # fmt: skip


def _round(number: float, digits: float) -> float:
    if digits != int(digits) or abs(digits) > MOST_POWER:
        raise ValueError(f"rounding takes whole digits, {MOST_POWER} at most")
    return round(number, int(digits)) if digits else round(number)


def calculate(expression: str) -> str:
    """The value of an arithmetic expression: numbers, operators, parentheses, a few functions.

    Raises: ValueError where it is anything else, ArithmeticError where it has no value.
    """
    text = expression.strip().strip("`").rstrip("=? ")
    for written, meant in (("^", "**"), ("×", "*"), ("÷", "/")):
        text = text.replace(written, meant)
    if len(text) > MOST_CHARS:
        raise ValueError(f"an expression of more than {MOST_CHARS} characters")
    try:
        value = _value(ast.parse(text, mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError(f"`{text[:60]}` is not an arithmetic expression") from None
    except TypeError as problem:  # a function with too many or too few arguments
        raise ValueError(f"`{text[:60]}`: {problem}") from None
    if not math.isfinite(value):
        raise OverflowError(f"`{text[:60]}` has no finite value")
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
    return str(int(value) if whole else value)


def _value(node: ast.expr) -> float:
    number = _unbounded(node)
    if isinstance(number, int) and number.bit_length() > MOST_BITS:
        raise OverflowError(f"a number of more than {MOST_BITS} bits")
    return number


def _unbounded(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return number
        case ast.BinOp(op=ast.Pow()):
            base, power = _value(node.left), _value(node.right)
            if abs(power) > MOST_POWER:
                raise ValueError(f"a power above {MOST_POWER}")
            if base < 0 and power != int(power):
                raise ValueError("a root of a negative number")
            return float(float(base) ** power)
        case ast.BinOp() if type(node.op) in _BINARY:
            return _BINARY[type(node.op)](_value(node.left), _value(node.right))
        case ast.UnaryOp() if type(node.op) in _UNARY:
            return _UNARY[type(node.op)](_value(node.operand))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](*map(_value, args))
    raise ValueError("an expression has numbers, + - * / // % **, parentheses and functions only")


def run_python(code: str) -> str:
    """What a Python program prints, run in a process that can compute and print, no more.

    The kernel confines the process before the program starts (see `lmc.programs.sandboxed`): there
    are no files but Python's own modules, which can be read, no network, no other processes and no
    threads. It has two seconds of processor time, eight on the clock and 512 MiB.

    Raises: RuntimeError with the last line of what went wrong, or with what is missing where this
    system cannot confine the program; the program is not run then.
    """
    return _printed(code).strip()[:MOST_OUTPUT]


def try_python(code: str) -> dict[str, bool | str]:
    """Run a program as `run_python` does: what it prints, or as `feedback` what went wrong.

    Raises: RuntimeError where this system cannot confine a program.
    """
    try:
        return {"ok": True, "printed": run_python(code), "feedback": ""}
    except _ProgramFailed as problem:
        return {"ok": False, "printed": "", "feedback": str(problem)}


def failing_tests(code: str, tests: list[str]) -> list[str]:
    """The tests that fail after some Python code, each with the last line of what went wrong.

    Each test is a statement, such as `assert double(2) == 4`. It runs after the code in a process
    of its own, confined as in `run_python`, and passes if it comes to its end. Code that is written
    to deceive its tests can do so. Raises: RuntimeError where this system cannot confine a program.
    """
    if len(tests) > MOST_TESTS:
        raise ValueError(f"there are more than {MOST_TESTS} tests")
    told = ((test, _failure(code, test)) for test in tests)
    return [f"{test}: {problem}" for test, problem in told if problem]


def _failure(code: str, test: str) -> str:
    """What goes wrong with a test, or nothing."""
    end = secrets.token_hex(8)
    try:
        printed = _printed(f"{code_of(code)}\n{test}\nprint('', {end!r}, sep='\\n')")
    except _ProgramFailed as problem:
        return str(problem).removeprefix("the program failed: ")
    return "" if printed.rstrip().endswith(end) else "the program ended before the test"


class _ProgramFailed(RuntimeError):
    """A program did not come to its end, or is too long to be run."""


def _printed(code: str) -> str:
    """What a program prints, run in a confined process. Raises: RuntimeError."""
    if sys.platform != "linux":
        raise RuntimeError(f"{_UNCONFINED}: it takes Linux, and this is {sys.platform}. {_REMEDY}")
    lines = code.strip().removeprefix("```python").removeprefix("```").removesuffix("```")
    if len(lines) > MOST_PROGRAM:
        raise _ProgramFailed(f"the program has more than {MOST_PROGRAM:,} characters")
    printed, failure, ended = _run_confined(lines.encode("utf-8", "replace"))
    told = (failure.decode("utf-8", "replace").strip().splitlines() or [""])[-1][:200]
    if not printed.startswith(CONFINED):
        raise RuntimeError(f"{_UNCONFINED}: {told or f'it ended with {ended}'}. {_REMEDY}")
    if ended:
        problem = told or _ENDED.get(_signal_of(ended)) or f"exit {ended}"
        raise _ProgramFailed(f"the program failed: {problem}")
    return printed.removeprefix(CONFINED).decode("utf-8", "replace")


def _signal_of(ended: int) -> str:
    """The name of the signal that ended a process, which not every system has."""
    return next((s.name for s in signal.Signals if s == -ended), "")


def _run_confined(program: bytes) -> tuple[bytes, bytes, int]:
    """What a program writes on its two outputs, each of bounded size, and how it ended."""
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-S", "-c", _runner()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={},
        cwd="/",
    )
    until = time.monotonic() + WALL_SECONDS
    with process:
        try:
            assert process.stdin
            with contextlib.suppress(BrokenPipeError), process.stdin as given:
                given.write(program)
            printed, failure = _outputs(process, until)
            process.wait(max(0.0, until - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired):
            raise _ProgramFailed(f"the program took more than {WALL_SECONDS} seconds") from None
        finally:
            process.kill()
    return printed, failure, process.returncode


def _runner() -> str:
    """The text of the file that confines its process and then runs a program."""
    return resources.files("lmc.programs").joinpath("sandboxed.py").read_text("utf-8")


def _outputs(process: subprocess.Popen[bytes], until: float) -> list[bytes]:
    """What a process writes. Raises: TimeoutError, RuntimeError for more than MOST_BYTES."""
    streams = (process.stdout, process.stderr)
    got = [b"", b""]
    with selectors.DefaultSelector() as open_streams:
        for number, stream in enumerate(streams):
            assert stream
            open_streams.register(stream, selectors.EVENT_READ, number)
        while open_streams.get_map():
            ready = open_streams.select(max(0.0, until - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                piece = os.read(key.fd, MOST_BYTES)
                got[key.data] += piece
                if not piece:
                    open_streams.unregister(key.fileobj)
                if len(got[key.data]) > MOST_BYTES:
                    raise _ProgramFailed(f"the program printed more than {MOST_BYTES:,} bytes")
    return got


def nearest(query: str, passages: list[str], k: int) -> list[str]:
    """The k passages most like a query by BM25 (Robertson & Zaragoza 2009), the most like first."""
    demos = [Demo({"text": passage}, {}) for passage in passages]
    picked = Nearest(demos, k).pick({"text": query})
    if len(demos) <= k:
        return list(passages)
    return [str(demo.inputs["text"]) for demo in reversed(picked)]
