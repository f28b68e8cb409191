"""Guards of self-training: what they see in runs that were made up."""

import pytest

from lmc.diagnostics import LmcError
from lmc.optimizers.lessons.bounds import NAMES, Bounds, read_bounds
from lmc.optimizers.lessons.health import balance, health, kept_of, tripped, unfit
from lmc.runtime.traces import CallTrace, Trace
from lmc.traces.store import Run


def run(row: str, text: str, score: float, sample: int = 0) -> Run:
    trace = Trace([CallTrace((0,), None, "m", "generate", {}, outputs={}, raw=[text])])
    return Run("j", "p", "m", "s", row, "d", {}, trace, score, text, sample=sample)


def test_signs_of_a_healthy_round() -> None:
    runs = [
        *(run("1", t, s, i) for i, (t, s) in enumerate([("a b", 1.0), ("a c", 1.0), ("d e", 0.0)])),
        *(run("2", t, s, i) for i, (t, s) in enumerate([("x y", 1.0), ("u v", 0.0), ("w z", 0.0)])),
    ]
    seen = health(runs, 1.0)
    assert (seen.runs, seen.accepted, seen.distinct, seen.words) == (6, 0.5, 1.0, 2.0)
    assert seen.hard == pytest.approx(1 / 3)  # row 2 was solved once in three runs
    assert seen.agreement == pytest.approx(1 / 3)
    assert seen.separation == pytest.approx(0.4714, abs=1e-3)
    assert seen.gap == pytest.approx((1 - 2 / 3 + 1 - 1 / 3) / 2)
    assert "50% accepted" in str(seen)
    assert health([], 1.0).runs == 0


ROWS = range(12)


def words_of(row: int, sample: int, more: str = "") -> str:
    return f"answer {row} of sample {sample} is as good as can be{more}"


GOOD = [run(f"{r}", words_of(r, i), float(i % 2), i) for r in ROWS for i in range(4)]


@pytest.mark.parametrize(
    ("after", "sign"),
    [
        # all rows get one answer, as after training on everything that was sampled
        ([run(f"{r}", "answer number one", 0.0, i) for r in ROWS for i in range(4)], "same answer"),
        # scores rise while answers swell
        (
            [
                run(f"{r}", words_of(r, i, " so let us see" * 9), 1.0, i)
                for r in ROWS
                for i in range(4)
            ],
            "words",
        ),
        ([run(f"{r}", "yes", 1.0, i) for r in ROWS for i in range(4)], "to 1 words"),
        (
            [
                run(f"{r}", words_of(r, i, " and so on and" * 9), 1.0, i)
                for r in ROWS
                for i in range(4)
            ],
            "repetition",
        ),
        # samples of a row agree, on what is wrong as often as before
        (
            [run(f"{r}", words_of(r, 0), float(r % 2), i) for r in ROWS for i in range(4)],
            "agree more",
        ),
        (
            [run(f"{r}", words_of(r, i), float(r % 2), i) for r in ROWS for i in range(4)],
            "tell answers apart less",
        ),
    ],
)
def test_collapse_is_seen(after: list[Run], sign: str) -> None:
    assert any(sign in problem for problem in tripped(GOOD, after, 1.0)), tripped(GOOD, after, 1.0)
    off = Bounds(*[None] * len(NAMES))
    assert tripped(GOOD, after, 1.0, off) == []


def test_what_is_well_or_chance_is_no_collapse() -> None:
    assert tripped(GOOD, GOOD, 1.0) == []
    sure = [run(f"{r}", words_of(r, 0), 1.0, i) for r in ROWS for i in range(4)]
    assert tripped(GOOD, sure, 1.0) == []  # samples agree because they are right
    odd = [r for r in GOOD if r.row != "0"]
    long = [run("0", "word " * 900, 1.0, i) for i in range(4)]
    assert tripped(GOOD, odd + long, 1.0) == []  # one row proves nothing
    few = [r for r in GOOD if int(r.row) < 3]
    assert tripped(few, [run(r.row, "x", 0.0, r.sample) for r in few], 1.0) == []


def test_a_tail_that_narrows_is_seen() -> None:
    """Right answers to hard rows are lost, while easy rows make up for them in the mean."""
    before = [
        run(f"{r}", words_of(r, i), float(i == 0 or r > 5), i) for r in ROWS for i in range(4)
    ]
    easy = [run(f"{r}", words_of(r, i), float(r > 5), i) for r in ROWS for i in range(4)]
    sign = "hard rows are right less often: 25% before, 0% after"
    assert sign in tripped(before, easy, 1.0)
    assert sign not in tripped(before, easy, 1.0, Bounds(hard=None))
    first = kept_of(before, [r for r in before if r.score], 1.0)
    now = kept_of(before, [r for r in before if r.score and int(r.row) > 5], 1.0)
    assert (first.hard_rows, first.hard) == (0.5, 0.2)
    assert unfit(first, first, Bounds()) == []
    assert any("easy rows" in words for words in unfit(now, first, Bounds()))
    assert unfit(now, first, Bounds(kept=None)) == []


def test_what_is_chosen_must_not_be_worse_than_what_was_sampled() -> None:
    """As when a majority is wrong, or a judge likes what is bad."""
    bad = kept_of(GOOD, [r for r in GOOD if not r.score], 1.0)
    assert bad.gap == -0.5
    assert any("0.50 less" in words for words in unfit(bad, bad, Bounds()))
    good = kept_of(GOOD, [r for r in GOOD if r.score], 1.0)
    assert (good.gap, unfit(good, good, Bounds())) == (0.5, [])


def test_bounds_are_read() -> None:
    changed = read_bounds("length: 3, kl: none")
    assert (changed.length, changed.kl, changed.hard) == (3.0, None, Bounds().hard)
    assert read_bounds(None) == Bounds()
    with pytest.raises(LmcError, match="no measure `lenght`"):
        read_bounds("lenght: 3")
    with pytest.raises(LmcError, match="is not a bound"):
        read_bounds("length: much")


def test_balance_wants_answers_that_are_right_and_different() -> None:
    alike = [[run("1", "a", 1.0, i) for i in range(4)]]
    varied = [[run("1", f"a{i}", 1.0, i) for i in range(4)]]
    wrong = [[run("1", f"a{i}", 0.0, i) for i in range(4)]]
    assert balance(varied, 1.0, 2) == 1.0
    assert balance(alike, 1.0, 2) == pytest.approx(0.5 * 0.25)
    assert balance(wrong, 1.0, 2) == 0.0
