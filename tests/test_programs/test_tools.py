"""The library's tools: arithmetic only, Python under limits, ranking by likeness."""

import sys

import pytest

from lmc.programs.tools import calculate, failing_tests, nearest, run_python, try_python


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("(3 + 4) * 2", "14"), ("2^10", "1024"), ("7 / 2", "3.5"), ("6 × 7 =", "42"),
        ("max(3, sqrt(16)) - -1", "5"), ("10 // 4 % 2", "0"),
    ],
)  # fmt: skip
def test_arithmetic_is_computed(expression: str, value: str) -> None:
    assert calculate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os')", "().__class__", "open('x')", "9 ** 9 ** 9", "x + 1", "'a' * 9", "True",
        "1 +", "[1][0]", "lambda: 1", "1" + "0" * 600,
    ],
)  # fmt: skip
def test_nothing_but_arithmetic_is(expression: str) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        calculate(expression)


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="run_python takes Linux")


@on_linux
def test_programs_run_and_use_modules() -> None:
    code = "import math, collections, itertools\nprint(math.comb(5, 2), sum(range(4)))"
    assert run_python(f"```python\n{code}\n```") == "10 6"


@on_linux
@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.create_connection(('127.0.0.1', 80))",
        "import socket; socket.socket()",
        "open('/etc/passwd').read()",
        "open('/tmp/lmc-was-here', 'w').write('x')",
        "import os; os.listdir('/')",
        "import os; exit(os.system('true'))",
        "import os; os.fork()",
        "import subprocess; subprocess.run(['true'])",
        "import ctypes; exit(ctypes.CDLL(None).fork() < 0)",
        "x = 'a' * 10 ** 10",
        "raise SystemExit(3)",
    ],
)
def test_what_a_program_may_not_do(code: str) -> None:
    with pytest.raises(RuntimeError):
        run_python(code)


@on_linux
def test_programs_without_end_are_stopped() -> None:
    with pytest.raises(RuntimeError):
        run_python("while True: pass")


@on_linux
def test_secrets_of_the_environment_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    assert "secret" not in run_python("import os; print(dict(os.environ))")


@on_linux
def test_tests_of_code_say_what_fails() -> None:
    code = "```python\ndef double(x):\n    return x + x\n```"
    tests = ["assert double(2) == 4", "assert double(3) == 5, 'not five'", "assert half(2)"]
    assert failing_tests(code, tests) == [
        "assert double(3) == 5, 'not five': AssertionError: not five",
        "assert half(2): NameError: name 'half' is not defined",
    ]
    assert failing_tests("def double(x): return", ["pass"]) == []
    assert "SyntaxError" in failing_tests("def double(", ["pass"])[0]


@on_linux
@pytest.mark.parametrize("code", ["raise SystemExit(0)", "import os; os._exit(0)"])
def test_code_that_ends_before_its_tests_passes_none(code: str) -> None:
    assert failing_tests(code, ["assert False"]) != []


@on_linux
def test_each_test_runs_alone() -> None:
    assert failing_tests("seen = []", ["seen.append(1)", "assert seen == []"]) == []
    told = failing_tests("", ["while True: pass", "print('x' * 10**6)"])
    assert len(told) == 2


def test_tests_of_code_are_few() -> None:
    with pytest.raises(ValueError, match="more than 20"):
        failing_tests("", ["pass"] * 21)


def test_the_nearest_passages_come_first() -> None:
    passages = ["Cows eat grass.", "The tower stands in Paris.", "Paris is in France."]
    assert nearest("Where is the tower?", passages, 1) == ["The tower stands in Paris."]
    assert set(nearest("Paris", passages, 2)) == set(passages[1:])
    assert nearest("x", passages, 5) == passages


@on_linux
def test_what_went_wrong_in_a_program_is_a_value() -> None:
    assert try_python("print(2 + 2)") == {"ok": True, "printed": "4", "feedback": ""}
    failed = try_python("assert 2 + 2 == 5, 'run_python cannot confine a program'")
    assert not failed["ok"]
    assert "AssertionError" in str(failed["feedback"])
    assert "100,000 characters" in str(try_python("#" * 100_001)["feedback"])
