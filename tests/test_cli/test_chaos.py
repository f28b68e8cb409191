"""Whole runs of the command on a server that goes wrong, and runs that are killed."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from bench.chaos import CONCURRENCY, Evaluated, Killing, evaluate, learning
from bench.faults import TRANSPORT, FaultyServer

ROWS, FEW = 300, 30


@pytest.fixture(scope="module")
def faulty() -> Evaluated:
    return evaluate(TRANSPORT, ROWS)


def test_seven_kinds_of_faults_change_no_row(faulty: Evaluated) -> None:
    calm = evaluate((), ROWS)
    assert (calm.code, calm.requests, len(calm.rows)) == (0, ROWS, ROWS)
    assert faulty.code == 0
    assert faulty.lost == 0
    assert faulty.rows == calm.rows


def test_each_request_is_counted(faulty: Evaluated) -> None:
    assert faulty.requests > 2 * ROWS
    assert faulty.figures["calls"] == ROWS
    assert faulty.figures["calls"] + faulty.figures["retries"] == faulty.requests


def test_a_budget_is_met_to_the_call() -> None:
    needed = evaluate(TRANSPORT, FEW).charged
    enough = evaluate(TRANSPORT, FEW, "--budget", f"calls={needed}")
    assert (enough.code, enough.lost, enough.charged) == (0, 0, needed)
    short = evaluate(TRANSPORT, FEW, "--budget", f"calls={needed - 1}")
    assert (short.code, short.charged) == (1, needed - 1)
    assert f"the budget of {needed - 1} calls leaves no room" in short.told


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bytes(tmp_path: Path) -> None:
    chance = random.Random(5)
    with FaultyServer((), model=learning) as server:
        killing = Killing(server, 100, tmp_path)
        start_s = time.perf_counter()
        calm = killing.run()
        wall_s, requests = time.perf_counter() - start_s, len(server.payloads)
        killed = killing.run([chance.uniform(wall_s / 3, wall_s) for _ in range(3)])
        made = len(server.payloads)
    assert calm.twice == 0
    assert killed.data == calm.data
    assert killed.twice <= killed.kills * 2 * CONCURRENCY  # under way, or not yet stored
    assert made == requests + killed.twice
