"""Tools of the standard library: a calculator, sandboxed Python, ranking by similarity."""

from __future__ import annotations

import ast
import math
import operator
import subprocess
import sys
from collections.abc import Callable
from importlib import resources

from lmc.prompts.nearest import Nearest
from lmc.prompts.spec import Demo

MOST_CHARS = 500  # of an expression
MOST_POWER = 64
MOST_OUTPUT = 4000  # characters of what a program prints
WALL_SECONDS = 8

_BINARY: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip
_UNARY: dict[type, Callable[[float], float]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
_FUNCTIONS: dict[str, Callable[..., float]] = {
    "abs": abs, "max": max, "min": min, "round": round, "sqrt": math.sqrt, "floor": math.floor,
    "ceil": math.ceil,
}  # fmt: skip


def calculate(expression: str) -> str:
    """The value of an arithmetic expression: numbers, operators, parentheses, a few functions.

    Raises: ValueError if it is anything else, ArithmeticError if it has no value.
    """
    text = expression.strip().strip("`").rstrip("=? ")
    for written, meant in (("^", "**"), ("×", "*"), ("÷", "/")):
        text = text.replace(written, meant)
    if len(text) > MOST_CHARS:
        raise ValueError(f"an expression of more than {MOST_CHARS} characters")
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError:
        raise ValueError(f"`{text[:60]}` is no arithmetic expression") from None
    value = _value(tree.body)
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
    return str(int(value) if whole else value)


def _value(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return number
        case ast.BinOp(op=ast.Pow()):
            base, power = _value(node.left), _value(node.right)
            if abs(power) > MOST_POWER:
                raise ValueError(f"a power above {MOST_POWER}")
            return float(base**power)
        case ast.BinOp() if type(node.op) in _BINARY:
            return _BINARY[type(node.op)](_value(node.left), _value(node.right))
        case ast.UnaryOp() if type(node.op) in _UNARY:
            return _UNARY[type(node.op)](_value(node.operand))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](*map(_value, args))
    raise ValueError("an expression has numbers, + - * / // % **, parentheses and functions only")


def run_python(code: str) -> str:
    """Run a Python program in a process of its own and return what it prints.

    The process has no network, opens only Python's own modules, and cannot start other processes.
    It has two seconds. On Linux it has 512 MiB; macOS does not bound the memory of a process.
    Raises: RuntimeError with the last line of the error.
    """
    runner = resources.files("lmc.programs").joinpath("sandboxed.py").read_text("utf-8")
    lines = code.strip().removeprefix("```python").removeprefix("```").removesuffix("```")
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-I", "-S", "-c", runner],
            input=lines,
            capture_output=True,
            text=True,
            timeout=WALL_SECONDS,
            env={},
            cwd="/",
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"the program took more than {WALL_SECONDS} seconds") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        raise RuntimeError(f"the program failed: {last[:200]}")
    return done.stdout.strip()[:MOST_OUTPUT]


def nearest(query: str, passages: list[str], k: int) -> list[str]:
    """The k passages most similar to a query by BM25 (Robertson & Zaragoza 2009), best first."""
    demos = [Demo({"text": passage}, {}) for passage in passages]
    picked = Nearest(demos, k).pick({"text": query})
    if len(demos) <= k:
        return list(passages)
    return [str(demo.inputs["text"]) for demo in reversed(picked)]
