"""A search: sample steps, judge them, and follow the most promising paths.

Sources: beam search with self-evaluation (Xie et al. 2023, arXiv 2305.00633), Tree of Thoughts (Yao
et al. 2023, arXiv 2305.10601) with beam and best-first order, and MCTS with UCT (Kocsis and
Szepesvári 2006; for language models Hao et al. 2023, arXiv 2305.14992).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.runtime.failures import is_own
from lmc.runtime.plan import PlannedNode
from lmc.runtime.scope import Scope
from lmc.runtime.votes.ballot import ballot_key
from lmc.tasks.together import for_all

if TYPE_CHECKING:
    from lmc.runtime.machine import Machine

EXPLORE = math.sqrt(2)  # the constant of UCT, for values between 0 and 1
_FAILED: Any = object()  # stands for a step that could not be sampled; a step may be none


@dataclass(slots=True, eq=False)
class TreeNode:
    """A step of a path, with the critic's value for the path so far."""

    number: int
    path: list[Any]
    value: float = 0.0
    done: bool = False  # complete by `until`, or at the greatest depth
    complete: bool = False
    parent: TreeNode | None = None
    children: list[TreeNode] = field(default_factory=list)
    expanded: bool = False
    visits: int = 0
    total: float = 0.0


async def perform_search(
    machine: Machine, planned: PlannedNode, args: list[Any], scope: Scope
) -> Any:
    """The best complete path found, else the best path. The trace keeps the tree."""
    search = Search(machine, planned, dict(zip(planned.node.attrs["names"], args)), scope)
    await {"beam": search.beam, "best_first": search.best_first, "mcts": search.mcts}[
        search.method
    ]()
    best = search.best()
    scope.note(tree=search.tree(), chosen=best.number)
    return best.path


class Search:
    """One run of a search."""

    def __init__(
        self, machine: Machine, planned: PlannedNode, env: Mapping[str, Any], scope: Scope
    ) -> None:
        self.machine, self.bodies, self.env, self.scope = machine, planned.bodies, env, scope
        settings = {key: machine.resolve(value) for key, value in planned.node.attrs.items()}
        self.method: str = settings["method"]
        self.width, self.keep = settings["width"], settings["keep"]
        self.depth, self.rounds = settings["depth"], settings["rounds"]
        self.failure: LmcError | None = None  # the first failure of a sample
        self.root = TreeNode(0, [])
        self.nodes = [self.root]

    async def beam(self) -> None:
        """Expand level by level and keep the best paths of each."""
        level = [self.root]
        for _ in range(self.depth):
            found = await for_all(level, lambda _, node: self.expand(node))
            children = [child for children in found for child in children if not child.done]
            level = sorted(children, key=lambda node: -node.value)[: self.keep]

    async def best_first(self) -> None:
        """Always expand the open path with the highest value."""
        for _ in range(self.rounds):
            leaves = [node for node in self.nodes if not node.expanded and not node.done]
            if not leaves:
                return
            await self.expand(max(leaves, key=lambda node: (node.value, -node.number)))

    async def mcts(self) -> None:
        """Descend by the upper confidence bound, expand, and propagate the values back up."""
        for _ in range(self.rounds):
            node = self.root
            while node.children and not node.done:
                node = max(node.children, key=_upper_bound)
            if node.done:
                self._carry(node, node.value)
                continue
            children = await self.expand(node)
            for child in children:
                self._carry(child, child.value)
            if not children:
                node.done = True

    async def expand(self, node: TreeNode) -> list[TreeNode]:
        """Sample next steps, merge equal ones, and judge each new path."""
        node.expanded = True
        steps = await for_all(range(self.width), lambda _, i: self._sample(node, i))
        distinct = {ballot_key(s, normalize=False): s for s in steps if s is not _FAILED}
        children = []
        for step in distinct.values():
            child = TreeNode(len(self.nodes), [*node.path, step], parent=node)
            self.nodes.append(child)
            children.append(child)
        await for_all(children, lambda _, child: self._judge(child))
        node.children = children
        return children

    def best(self) -> TreeNode:
        """The complete path with the highest value, else any path with it. A tie goes to the first.

        Raises: the first failure, if no step could be sampled.
        """
        tried = self.nodes[1:]
        if not tried and self.failure:
            raise self.failure
        complete = [node for node in tried if node.complete]
        return max(complete or tried, key=lambda node: (node.value, -node.number))

    def tree(self) -> list[dict[str, Any]]:
        """The nodes as JSON: parent, step, value."""
        return [
            {"parent": node.parent.number, "step": node.path[-1], "value": node.value}
            for node in self.nodes
            if node.parent is not None
        ]

    async def _sample(self, node: TreeNode, index: int) -> Any:
        """One next step, or `_FAILED` if the model gave no usable one."""
        place = self.scope.at(node.number)
        scope = place.for_sample(index, self.width, self.scope.certainty, batched=True)
        try:
            return await self._run("expand", node.path, scope)
        except LmcError as failure:
            if not is_own(failure):
                raise
            self.failure = self.failure or failure
            return _FAILED

    async def _judge(self, node: TreeNode) -> None:
        node.value = await self._value(node)
        if "until" in self.bodies:
            node.complete = await self._ends(node)
        node.done = node.complete or len(node.path) >= self.depth

    async def _ends(self, node: TreeNode) -> bool:
        """Whether a path is complete. It is not where `until` gave no usable answer."""
        try:
            return bool(await self._run("until", node.path, self.scope.at(node.number, -2)))
        except LmcError as failure:
            if not is_own(failure):
                raise
            return False

    async def _value(self, node: TreeNode) -> float:
        """The critic's value for a path, or 0 if the critic gave no usable one."""
        try:
            value = await self._run("value", node.path, self.scope.at(node.number, -1))
        except LmcError as failure:
            if not is_own(failure):
                raise
            return 0.0
        return float(value["score"] if isinstance(value, dict) else value)

    async def _run(self, body: str, path: Sequence[Any], scope: Scope) -> Any:
        env = {**self.env, "path": list(path)}
        return await self.machine.run_plan(self.bodies[body], env, scope)

    @staticmethod
    def _carry(node: TreeNode | None, value: float) -> None:
        while node is not None:
            node.visits += 1
            node.total += value
            node = node.parent


def _upper_bound(node: TreeNode) -> float:
    """UCT: the mean value of a path plus a bonus for few visits."""
    assert node.parent is not None
    if not node.visits:
        return math.inf
    mean = node.total / node.visits
    return mean + EXPLORE * math.sqrt(math.log(node.parent.visits) / node.visits)
