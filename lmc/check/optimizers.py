"""The table of the optimizers: their names and options. Nothing else repeats it.

The checker reads steps by it, `lmc.optimizers.base` takes defaults from it, and `lmc optimizers`
and the documentation print it. What an optimizer does stands in its file in `lmc.optimizers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lmc.check.optimizer_options import OptimizerSignature, Option
from lmc.types import BOOL, STR, FloatType, IntType, LiteralType, OptionalType

_SHARE = FloatType(0.0, 1.0)
_NAME = OptionalType(STR)

_DEMOS = Option(IntType(1, 64), 4, "maximum number of demonstrations in a module's prompt")
_THRESHOLD = Option(_SHARE, 1.0, "minimum score of a run to learn from")
_TEACHER = Option(
    _NAME, None, "model or artifact that makes the runs to learn from; default: the program"
)
_PROPOSER = Option(_NAME, None, "model that writes the proposals; default: the program's own")
_MARGIN = Option(_SHARE, 0.05, "loss of score that is accepted for a lower cost")
_MODULE = Option(_NAME, None, "the only module to train; default: all modules", "module")
_TRAINING = {
    "rank": Option(IntType(1, 256), 16, "rank of the LoRA adapters"),
    "epochs": Option(
        OptionalType(IntType(1, 1000)),
        None,
        "passes over the training rows; the default depends on the size of the model",
    ),
    "rate": Option(
        OptionalType(_SHARE),
        None,
        "peak learning rate; the default depends on the size of the model",
    ),
}
_TRAINING["kind"] = Option(
    LiteralType(("lora", "rslora", "dora")),
    "lora",
    "lora, rslora, which divides by the root of the rank and so gains from high ranks, or dora, "
    "which also learns the length of the rows of each matrix",
)
_TRAINING["quantize"] = Option(
    OptionalType(LiteralType(("nf4",))),
    None,
    '"nf4" holds the frozen model in 4 bits while it trains (QLoRA); default: in 32 bits',
)
_MOMENTUM = Option(
    FloatType(0.0, 2.0),
    0.0,
    "how far new weights go on in their direction from those of the round before, as in APO",
)
_ROUNDS = Option(
    IntType(1, 8), 2, "maximum number of rounds; training ends after one that does not win"
)
_SAMPLES = Option(IntType(1, 64), 4, "number of runs of each train row per round")
_KEEP = Option(IntType(1, 64), 2, "maximum number of runs of one row to train on")
_TEMPERATURE = Option(
    OptionalType(FloatType(0.0, 2.0)),
    0.7,
    "temperature of the samples; `none` keeps the program's own",
)
_ENTROPY = Option(
    FloatType(0.0, 8.0),
    0.0,
    "weigh each row by the entropy of its samples to this power; 0 weighs all alike",
)
_DIVERSE = Option(BOOL, False, "keep the runs of a row that differ most from each other")

_COMPARING = {
    "rounds": replace(_ROUNDS, default=1),
    "samples": replace(_SAMPLES, type=IntType(2, 64), default=6),
    "temperature": replace(_TEMPERATURE, default=1.0),
    "threshold": replace(_THRESHOLD, about="minimum score of an answer that counts as right"),
}
_BETA = Option(FloatType(0.0, 100.0), 0.1, "strength of the pull towards the weights at the start")
_SFT = Option(
    FloatType(0.0, 10.0), 0.2, "weight of the likelihood of better answers, added to the loss"
)
_JUDGE = Option(_NAME, None, "model that compares results; default: the program's own")
_KL = Option(FloatType(0.0, 10.0), 0.0, "weight of the divergence from the weights at the start")


_LABELS = Option(
    LiteralType(("metric", "agreement", "refine", "data", "values")),
    "metric",
    "what a verdict is right by: metric, agreement, refine (the revision that follows), data, or "
    "values (what could follow)",
)
_PRINCIPLES = Option(_NAME, None, "principles, one a line; default: four general ones")
_BONUS = Option(FloatType(0.0, 100.0), 1.0, "what progress from draft to revision earns on top")
_PULL = Option(
    FloatType(0.0, 100.0), 0.1, "weight of the divergence of drafts from the start, in phase one"
)
_FROM = Option(
    _NAME, None, "module or pipeline whose runs are learnt from; default: the program", "target"
)
_ROWS = Option(_NAME, None, "dataset that a program makes; default: the train rows", "dataset")
_REWARD = Option(
    _NAME, None, "metric of the runs to learn from; default: that of the program", "metric"
)
_VARY = Option(_NAME, None, "the only module that answers anew in each sample", "module")
_PROPOSE = Option(BOOL, False, "reward what makes the rows for those at the edge of ability")
_POLICY = {
    "scaled": Option(
        BOOL, True, "divide the advantages of a row by their spread; Dr. GRPO does not"
    ),
    "average": Option(
        LiteralType(("sequence", "tokens", "constant")),
        "sequence",
        "mean over answers (sequence), all tokens (DAPO) or a constant (Dr. GRPO)",
    ),
    "clip": Option(FloatType(0.0, 1.0), 0.2, "bound on how far a ratio may fall"),
    "clip_high": Option(
        OptionalType(FloatType(0.0, 10.0)), None, "bound on how far it may rise, as in DAPO"
    ),
    "kl": _KL,
}
_OWN = Option(
    _SHARE, 1.0, "share of the samples that the program makes; the teacher makes the others"
)
_JSD = Option(
    _SHARE,
    0.0,
    "divergence from the teacher: 0 is forward KL, 1 reverse KL, between them generalised JSD",
)
_PROBABILITIES = replace(_TEACHER, about="model or artifact whose probabilities are learnt")
_SOFT = {
    "smoothing": Option(
        FloatType(0.0, 0.5), 0.0, "how likely a label of a pair is wrong, as in cDPO"
    ),
    "consistency": Option(
        BOOL,
        False,
        "soften labels where the weights of the round before prefer otherwise, as in CREAM",
    ),
    "optimism": Option(
        FloatType(0.0, 1.0),
        0.0,
        "weight of a bonus for unlikely answers, as in SELM, such as 0.001",
    ),
}
_REPLAY = Option(
    IntType(0, 64), 0, "maximum number of earlier good runs of a row that are learnt again"
)
_STEP_ROWS = Option(
    OptionalType(IntType(1, 1024)),
    None,
    "rows to sample before each step of a live training; default: a round samples all rows first",
)
_EVEN = Option(
    OptionalType(FloatType(1.0, 100.0)),
    None,
    "how many times as long as the other an answer of a pair may be; default: any",
)
_VALUES = Option(IntType(1, 64), 4, "number of runs that go on from each step that is valued")
_ELSEWHERE = {"from": _FROM, "rows": _ROWS, "reward": _REWARD, "vary": _VARY}


def _among(type: LiteralType) -> str:
    return ", ".join(type.values)


_SELECT = LiteralType(
    (
        *("right", "votes", "result", "gold", "refine", "judge"),
        *("corrupted", "revised", "turns", "verdicts", "siblings", "spliced", "values"),
    )
)
_LOSS = LiteralType(("sft", "kl", "dpo", "ipo", "simpo", "kto", "sppo", "nft", "pg"))

_PHASES = Option(IntType(1, 8), 2, "number of phases; odd ones hold the drafts")
_BOUNDS = Option(
    _NAME, None, 'bounds of the guards of a round that differ: `"length: 3, kl: none"`'
)
_LAST = {**_TRAINING, "momentum": _MOMENTUM, "module": _MODULE, "bounds": _BOUNDS}


def _compared(*left_out: str, **more: Option) -> dict[str, Option]:
    """The options of a preset of `train`: those of sampling, its own, and those of training."""
    common = {key: option for key, option in _COMPARING.items() if key not in left_out}
    return {**common, **more, **_ELSEWHERE, **_LAST}


_TABLE = (
    OptimizerSignature(
        "auto",
        {
            "weights": Option(
                OptionalType(BOOL),
                None,
                "whether adapters may be trained; by default rows, model and budget decide",
            )
        },
    ),
    OptimizerSignature("labeled", {"demos": replace(_DEMOS, default=8)}),
    OptimizerSignature(
        "bootstrap",
        {
            "demos": _DEMOS,
            "candidates": Option(
                IntType(1, 256), 16, "maximum number of sets of demonstrations per round"
            ),
            "rounds": Option(IntType(1, 64), 2, "maximum number of rounds of runs and comparisons"),
            "threshold": _THRESHOLD,
            "teacher": replace(
                _TEACHER,
                about="model or artifact that makes the first round of runs; default: the program",
            ),
        },
    ),
    OptimizerSignature(
        "knn",
        {
            "demos": _DEMOS,
            "pool": Option(
                IntType(1, 1000), 64, "maximum number of a module's demonstrations to choose from"
            ),
            "threshold": _THRESHOLD,
            "teacher": _TEACHER,
            "embedder": Option(
                _NAME, None, "embedding model (embed/openai/NAME) to try beside similarity by words"
            ),
        },
    ),
    OptimizerSignature(
        "remember",
        {
            "rows": Option(
                OptionalType(IntType(1, 100_000)), None, "most train rows to run; default: all"
            ),
            "at_once": Option(
                IntType(1, 64), 1, "rows that read the same stores, before what they keep is added"
            ),
            "threshold": replace(
                _THRESHOLD, default=0.0, about="minimum score of a run whose records are added"
            ),
        },
    ),
    OptimizerSignature(
        "sec",
        {
            "demos": replace(_DEMOS, type=IntType(1, 16)),
            "candidates": Option(IntType(1, 64), 4, "number of sets of demonstrations to compare"),
            "proposer": replace(
                _PROPOSER, about="model that invents the inputs; default: the program's own"
            ),
        },
    ),
    OptimizerSignature(
        "instructions",
        {
            "candidates": Option(
                IntType(1, 64),
                6,
                "maximum number of instructions and of sets of demonstrations per module",
            ),
            "demos": replace(_DEMOS, type=IntType(0, 64)),
            "trials": Option(IntType(1, 1000), 30, "number of combinations that the search tries"),
            "threshold": _THRESHOLD,
            "teacher": _TEACHER,
            "proposer": _PROPOSER,
        },
    ),
    OptimizerSignature(
        "reflect",
        {
            "rounds": Option(IntType(1, 200), 30, "maximum number of rounds of rewriting"),
            "width": Option(IntType(1, 32), 3, "number of candidates to rewrite per round"),
            "minibatch": Option(
                IntType(1, 64), 4, "number of train rows to run before a candidate is rewritten"
            ),
            "merge": Option(BOOL, True, "combine candidates that changed different modules"),
            "proposer": _PROPOSER,
        },
    ),
    OptimizerSignature(
        "spo",
        {
            "rounds": Option(IntType(1, 100), 8, "maximum number of instructions to try"),
            "rows": Option(
                IntType(1, 64), 4, "number of train rows whose outputs are compared per round"
            ),
            "proposer": _PROPOSER,
            "judge": Option(_NAME, None, "model that compares outputs; default: the program's own"),
        },
    ),
    OptimizerSignature(
        "structure",
        {
            "candidates": Option(IntType(1, 16), 3, "number of structures to compare per module"),
            "evolve": Option(
                BOOL,
                False,
                "let the model invent ways of reasoning instead of choosing from a list",
            ),
            "proposer": _PROPOSER,
        },
    ),
    OptimizerSignature(
        "tune",
        {"trials": Option(IntType(1, 1000), 32, "maximum number of combinations to try")},
    ),
    OptimizerSignature(
        "lora",
        {
            **_TRAINING,
            "threshold": _THRESHOLD,
            "teacher": _TEACHER,
            "demos": Option(BOOL, False, "keep demonstrations in the prompts, also in training"),
            "module": _MODULE,
        },
        aliases=("finetune",),
    ),
    OptimizerSignature(
        "star",
        {
            "rounds": _ROUNDS,
            **_TRAINING,
            "threshold": _THRESHOLD,
            "hints": Option(
                BOOL, True, "show modules that reason the label of rows that they got wrong"
            ),
            "module": _MODULE,
            "bounds": _BOUNDS,
        },
    ),
    OptimizerSignature(
        "rest_em",
        {
            "rounds": _ROUNDS,
            "samples": _SAMPLES,
            "keep": _KEEP,
            "temperature": _TEMPERATURE,
            "threshold": _THRESHOLD,
            "entropy": _ENTROPY,
            "adapt": Option(
                BOOL, False, "choose the temperature of each round by how much it teaches"
            ),
            "hints": Option(
                BOOL, False, "run rows again that no sample solved, and show their label"
            ),
            "diverse": _DIVERSE,
            **_TRAINING,
            "module": _MODULE,
            "bounds": _BOUNDS,
        },
    ),
    OptimizerSignature(
        "lmsi",
        {
            "rounds": replace(_ROUNDS, default=1),
            "samples": replace(_SAMPLES, type=IntType(2, 64), default=8),
            "keep": _KEEP,
            "temperature": _TEMPERATURE,
            "agreement": Option(_SHARE, 0.6, "minimum share of a row's samples that must agree"),
            "entropy": _ENTROPY,
            "diverse": _DIVERSE,
            **_TRAINING,
            "module": _MODULE,
            "bounds": _BOUNDS,
        },
    ),
    OptimizerSignature(
        "train",
        {
            "select": Option(_SELECT, "right", f"how better answers are known: {_among(_SELECT)}"),
            "loss": Option(_LOSS, "dpo", f"what training minimises: {_among(_LOSS)}"),
            **_COMPARING,
            "keep": _KEEP,
            **_ELSEWHERE,
            "propose": _PROPOSE,
            "judge": _JUDGE,
            "labels": _LABELS,
            "principles": _PRINCIPLES,
            "bonus": _BONUS,
            "pull": _PULL,
            "apart": Option(BOOL, False, "give modules that share an adapter their own"),
            "beta": _BETA,
            "sft": _SFT,
            **_SOFT,
            **_POLICY,
            "replay": _REPLAY,
            "teacher": _PROBABILITIES,
            "own": _OWN,
            "jsd": _JSD,
            **_LAST,
            "step_rows": _STEP_ROWS,
            "even": _EVEN,
            "values": _VALUES,
        },
    ),
    OptimizerSignature(
        "dpo", _compared(beta=_BETA, sft=_SFT, **_SOFT, step_rows=_STEP_ROWS, even=_EVEN)
    ),
    OptimizerSignature(
        "scpo",
        _compared("threshold", beta=_BETA, sft=replace(_SFT, default=1.0), **_SOFT, even=_EVEN),
    ),
    OptimizerSignature("spin", _compared("threshold", beta=_BETA, sft=_SFT)),
    OptimizerSignature("spar", _compared(beta=_BETA, sft=_SFT)),
    OptimizerSignature(
        "self_rewarding",
        _compared("threshold", judge=_JUDGE, beta=_BETA, sft=_SFT, **_SOFT, even=_EVEN),
    ),
    OptimizerSignature("sppo", _compared("threshold", judge=_JUDGE, beta=_BETA)),
    OptimizerSignature("kto", _compared(beta=_BETA, sft=replace(_SFT, default=0.0))),
    OptimizerSignature("nft", _compared(step_rows=_STEP_ROWS)),
    OptimizerSignature(
        "grpo", _compared("threshold", **_POLICY, replay=_REPLAY, step_rows=_STEP_ROWS)
    ),
    OptimizerSignature("rise", _compared(keep=_KEEP, judge=_JUDGE, beta=_BETA, sft=_SFT)),
    OptimizerSignature(
        "constitutional",
        _compared(
            "threshold",
            loss=Option(LiteralType(("sft", "dpo")), "dpo", "learn revisions, or prefer them"),
            keep=_KEEP,
            judge=_JUDGE,
            principles=_PRINCIPLES,
            beta=_BETA,
            sft=_SFT,
        ),
    ),
    OptimizerSignature(
        "score",
        {**_compared("threshold", bonus=_BONUS, pull=_PULL, **_POLICY), "rounds": _PHASES},
    ),
    OptimizerSignature(
        "critic",
        _compared(
            labels=_LABELS,
            values=_VALUES,
            loss=Option(LiteralType(("sft", "dpo", "kto", "pg")), "sft", "what training minimises"),
            beta=_BETA,
            sft=_SFT,
        ),
    ),
    OptimizerSignature(
        "gkd",
        {
            **_compared(
                "threshold",
                keep=_KEEP,
                teacher=_PROBABILITIES,
                own=_OWN,
                jsd=_JSD,
                sft=replace(_SFT, default=0.0, about="weight of the likelihood of the answers"),
            ),
            "samples": replace(_SAMPLES, default=2),
        },
    ),
    OptimizerSignature("multiagent", _compared("threshold", keep=_KEEP)),
    OptimizerSignature("self_play", _compared(**_POLICY)),
    OptimizerSignature(
        "distill",
        {
            "threshold": replace(
                _THRESHOLD,
                type=OptionalType(_SHARE),
                about=f"{_THRESHOLD.about}; `none` learns from all runs",
            ),
            "margin": _MARGIN,
            "teacher": _TEACHER,
            "loss": Option(
                LiteralType(("sft", "kl")),
                "sft",
                "what is learnt: results (sft), or the probabilities of the teacher (kl)",
            ),
            "jsd": _JSD,
            **_TRAINING,
        },
    ),
    OptimizerSignature(
        "route_adapters",
        {
            "artifacts": Option(_NAME, None, "artifacts that hold the adapters: `a.lmpc, b.lmpc`"),
            "merge": Option(BOOL, True, "try the mean of the adapters too"),
            "rank": replace(_TRAINING["rank"], about="rank of the merged adapter"),
        },
    ),
    OptimizerSignature(
        "ablate",
        {"drop": Option(BOOL, False, "remove what brings no significant gain"), "margin": _MARGIN},
    ),
)
SIGNATURES: Mapping[str, OptimizerSignature] = {
    name: signature for signature in _TABLE for name in signature.names
}
