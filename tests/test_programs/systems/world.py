"""What the programs of this folder act on: rooms in a row, a market, a referee, a slow notebook."""

import time
from typing import Any

GOAL = 3


class Rooms:
    """Rooms in a row; `right` and `left` move, and the task is done in room 3."""

    def __init__(self) -> None:
        self.room = 0

    def reset(self, task: str) -> dict[str, Any]:
        self.room = 0
        return self._seen()

    def act(self, action: str) -> dict[str, Any]:
        self.room += 1 if action == "right" else -1
        return self._seen()

    def snapshot(self) -> int:
        return self.room

    def restore(self, state: int) -> None:
        self.room = state

    def _seen(self) -> dict[str, Any]:
        done = self.room >= GOAL
        return {"text": f"room {self.room}", "reward": float(done), "done": done}


class Notebook:
    """Pages of one run. Writing takes a moment, so that a read could overtake it."""

    def __init__(self) -> None:
        self.pages: list[str] = []

    def write(self, text: str) -> int:
        time.sleep(0.02)
        self.pages.append(text)
        return len(self.pages)

    def read(self) -> list[str]:
        return list(self.pages)


def is_solved(question: str, answer: str) -> bool:
    return answer == "4"


def clear(orders: list[Any]) -> dict[str, float]:
    """The price after the orders of a day: each share that is wanted lifts it by one."""
    signs = {"buy": 1.0, "sell": -1.0, "hold": 0.0}
    return {
        "change": sum(signs[order.side] * order.size for order in orders),
        "volume": sum(order.size for order in orders if order.side != "hold"),
    }


def rule(turns: list[Any]) -> dict[str, Any]:
    """Who says the number that brings the sum to ten has won."""
    over = sum(turn.number for turn in turns) >= 10
    return {"over": over, "winner": turns[-1].who if over else "nobody"}


def measure(experiment: str, tries: int) -> str:
    return f"{experiment}, try {tries}"


def move(state: int, action: str) -> dict[str, Any]:
    after = state + (1 if action == "right" else -1)
    return {"state": state, "action": action, "reward": float(after >= GOAL), "after": after}
