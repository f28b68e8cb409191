"""Presets of `train`: each is the recipe of a paper, as a row of options with what it differs in.

The options that a preset leaves open are in the table of `lmc.check.optimizers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lmc.optimizers.base import Context, Optimizer, optimizer
from lmc.optimizers.lessons.ways import learn, require_taught, require_teachable
from lmc.runtime.parameters import Parameters

if TYPE_CHECKING:
    from lmc.runtime.executor import Executor


def preset(name: str, paper: str, about: str, **fixed: Any) -> Optimizer:
    """An optimizer that is `train` with some options fixed. `about` is its docstring."""

    def check(executor: Executor, target: str, options: Mapping[str, Any]) -> None:
        known = made.signature.complete(options)
        require_teachable(executor, target, fixed | known)

    async def function(start: Parameters, context: Context, **options: Any) -> Parameters:
        return await learn(start, context, fixed | options)

    function.__name__, function.__doc__ = name, about
    made = optimizer(paper=paper, check=check, check_teacher=require_taught)(function)
    return made


PRESETS = (
    preset(
        "dpo",
        "DPO, Rafailov et al. 2023, arXiv 2305.18290",
        """Prefer samples that the metric accepts to others of the same prompt.

        It differs in where pairs come from: own samples that the metric tells apart, as in
        Iterative RPO, Pang et al. 2024, arXiv 2404.19733, from which the added likelihood of right
        answers (`sft`) is taken too.
        """,
        select="right",
        loss="dpo",
    ),
    preset(
        "scpo",
        "ScPO, Prasad et al. 2024, arXiv 2411.04109",
        """Prefer the majority's answers to the rarest ones, without using labels.

        Pairs weigh by the margin of the vote, and the likelihood of the majority's answers is
        added. It differs in that whole programs are sampled; `rows` may name questions that are
        made.
        """,
        select="votes",
        loss="dpo",
    ),
    preset(
        "spin",
        "SPIN, Chen et al. 2024, arXiv 2401.01335",
        """Prefer the rows' labels to the program's own answers.

        The opponent is the model of the round before (algorithm 1). Only modules whose outputs the
        rows label are trained, and none that reason first. It differs in that answers which equal
        the label make no pair.
        """,
        select="gold",
        loss="dpo",
    ),
    preset(
        "spar",
        "SPaR, Cheng et al. 2024, arXiv 2412.11605",
        """Prefer the revision that a refine returned to the draft that it replaced.

        The pairs are those of section 2.3. Who revises is trained as well, as in the paper: on
        revisions that ended right. It differs in that these are preferred to others of the same
        draft, and in that the program's own refine revises, once a round, and no tree search.
        """,
        select="refine",
        loss="dpo",
    ),
    preset(
        "self_rewarding",
        "Self-Rewarding Language Models, Yuan et al. 2024, arXiv 2401.10020",
        """Prefer the result that wins most comparisons to the one that wins fewest, without labels.

        `judge` compares every two results of a row, in both orders. It differs in that: the paper
        has a score from 0 to 5.
        """,
        select="judge",
        loss="dpo",
    ),
    preset(
        "sppo",
        "SPPO, Wu et al. 2024, arXiv 2405.00675",
        """Move the likelihood of each answer by its rate of wins, without labels.

        It differs in that a model compares the results in both orders, in place of a trained
        reward model. `beta` is 1 / eta: the paper's 1 / 1000 goes with steps of 5e-7.
        """,
        select="judge",
        loss="sppo",
    ),
    preset(
        "kto",
        "KTO, Ethayarajh et al. 2024, arXiv 2402.01306",
        """Make answers above their row's average likelier, and others less likely.

        `lmc.training.losses` says how the reference point differs. The answers are own samples,
        and rows with one kind of answer only teach nothing.
        """,
        select="right",
        loss="kto",
    ),
    preset(
        "nft",
        "NFT, Chen et al. 2025, arXiv 2505.18116",
        """Learn from right samples, and from wrong ones through what the right ones imply.

        The metric must give 0 or 1. Rows of which all samples are alike teach nothing. It differs
        in that a round samples all rows before it trains.
        """,
        select="right",
        loss="nft",
    ),
    preset(
        "grpo",
        "GRPO, Shao et al. 2024, arXiv 2402.03300",
        """Follow the gradient of the metric, with the row's other samples as the baseline.

        The metric may be any number, or give rewards by module. Rows of which all samples score
        alike teach nothing. Options from other papers: `average="tokens"` and `clip_high`, DAPO,
        arXiv 2503.14476; `average="constant"` and `scaled=false`, Dr. GRPO, arXiv 2503.20783. It
        differs in that all calls that led to a result share its reward, and a round samples all
        rows before it trains.
        """,
        select="right",
        loss="pg",
    ),
    preset(
        "rise",
        "RISE, Xu et al. 2024, arXiv 2410.06638",
        """Prefer right answers to copies of them in which a model made a small error.

        Pairs of right and wrong samples are learnt too, as in the paper. It differs in that a copy
        counts only if it can be read as an answer that says something else.
        """,
        select="corrupted",
        loss="dpo",
    ),
    preset(
        "constitutional",
        "Constitutional AI, Bai et al. 2022, arXiv 2212.08073",
        """Let a model find fault with answers by a principle, and learn what it makes of them.

        `principles` has one principle a line. `loss="sft"` learns the revisions alone, which is
        the paper's first stage. It differs in the second one: a revision is preferred to what it
        revises, in place of a preference model.
        """,
        select="revised",
    ),
    preset(
        "score",
        "SCoRe, Kumar et al. 2024, arXiv 2409.12917",
        """Train draft and revision of a refine so that the second turn gains, in two phases.

        First revisions are rewarded while drafts are held; then both are, and revisions earn their
        progress `bonus` times on top. Let the refine always revise (`until: false`), and draft and
        revision share an `adapter`. It differs in that a phase samples all rows before it trains.
        """,
        select="turns",
        loss="pg",
    ),
    preset(
        "critic",
        "verifiers, Cobbe et al. 2021, arXiv 2110.14168; RCO, Yu et al. 2025, arXiv 2506.22157",
        """Train critiques on which of their verdicts were right.

        `labels` says how that is known: by the metric, by agreement, by success of the refine that
        follows, or by the rows (a field `ok`). Accuracy, area under the curve and calibration of
        the verdicts are told before and after. It differs in that critiques are trained in their
        program.
        """,
        select="verdicts",
    ),
    preset(
        "gkd",
        "GKD, Agarwal et al. 2024, arXiv 2306.13649",
        """Learn what a teacher would choose for each token of own samples and of the teacher's.

        `own` is the share of own samples (the paper's lambda), and `jsd` the divergence (its beta).
        The teacher is a model with the same tokenizer, or an artifact, and sees its own prompts. It
        differs in that a round samples all rows before it trains, and in that the likeliest choices
        of each token are told apart, and all others count as one.
        """,
        select="result",
        loss="kl",
    ),
    preset(
        "multiagent",
        "Multiagent Finetuning, Subramaniam et al. 2025, arXiv 2501.05707",
        """Train every role of a debate on its own calls that agree with the result, without labels.

        Each module gets an adapter of its own, even if the source lets them share one. It differs
        in that the program is the debate, and roles are its modules.
        """,
        select="result",
        loss="sft",
        apart=True,
    ),
    preset(
        "self_play",
        "Absolute Zero, Zhao et al. 2025, arXiv 2505.03335",
        """Train what makes rows and what solves them together, at the edge of ability.

        `rows` names the dataset that a program makes. Its maker earns most for rows that half of
        the runs solve, and nothing for rows that all or none do. It differs in the reward, which
        is highest at one half and not next to none, and in that the metric or `reward` says what
        is right, in place of a program that is run.
        """,
        select="right",
        loss="pg",
        propose=True,
    ),
)
