"""The losses that training can minimise, over the log-probabilities of the answers' tokens.

Each is a function of `StepBatch` that gives the loss of every row or pair; the step's loss is their
mean by weight. The reference is the model before the first step, so no second model is held.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from lmc.frozen import frozen, frozen_identity

if TYPE_CHECKING:
    from torch import Tensor

LossName = Literal["sft", "kl", "dpo", "ipo", "simpo", "kto", "sppo", "nft", "pg"]
Average = Literal["sequence", "tokens", "constant"]
_SMALLEST = 1e-3  # of what a logarithm is taken of, as in the code of NFT
_LEAST_REST = 1e-6  # probability of all choices that are not kept


@frozen
class LossSettings:
    """Which loss, and its numbers. Most losses use some of them only.

    `beta` is the strength of the pull towards the reference (of SimPO: the scale of the margin).
    `sft` adds so many times the mean loss of the better answers, or of `kl` that of all. `margin`
    is SimPO's gamma. `clip` and `clip_high` bound the ratio of policy gradients. `kl` weighs the
    divergence from the reference. `average` says what policy gradients are the mean over: the means
    of the answers (GRPO), all tokens (DAPO), or a constant number of tokens for each answer (Dr.
    GRPO). `smoothing` is how likely a label of a pair is wrong. `optimism` is SELM's alpha. `jsd`
    is the beta of GKD: which divergence from the teacher the loss `kl` is.
    """

    name: LossName = "sft"
    beta: float = 0.1
    sft: float = 0.0
    margin: float = 0.5
    clip: float = 0.2
    clip_high: float | None = None  # default: `clip`
    kl: float = 0.0
    average: Average = "sequence"
    constant: int = 256  # tokens, for the average of that name
    smoothing: float = 0.0
    optimism: float = 0.0
    jsd: float = 0.0

    def needs_reference(self, *, sampled: bool, pulled: bool) -> bool:
        """Whether the loss looks at the model at the start.

        `sampled`: it is known how likely all answers were when they were sampled. `pulled`: some
        answers are held near the start.
        """
        if self.name in _WITHOUT_REFERENCE:
            return False
        return not (self.name in _OF_SAMPLES and sampled and not self.kl and not pulled)


SUPERVISED = LossSettings()
ADDED_UP: tuple[LossName, ...] = ("sft", "kl")  # sums over tokens, which join no rows
_WITHOUT_REFERENCE: tuple[LossName, ...] = (*ADDED_UP, "simpo")
_OF_SAMPLES: tuple[LossName, ...] = ("pg", "nft")  # look at what the answers were sampled with


@frozen_identity
class Choices:
    """The likeliest choices of a teacher for N tokens: `ids` and `logps` are (N, K)."""

    ids: Tensor
    logps: Tensor


def joined_choices(parts: Sequence[Choices | None]) -> Choices:
    """The choices for the tokens of several rows, in their order."""
    import torch

    known = [part for part in parts if part is not None]
    return Choices(torch.cat([c.ids for c in known]), torch.cat([c.logps for c in known]))


@frozen
class StepBatch:
    """What a step's loss is computed from.

    For N answer tokens of R rows: `logps`, `reference` and `old` (N,) are log-probabilities in
    nats; `old` are those with which the tokens were sampled, or the reference where these are not
    known. `row` (N,) is the number of the row of each token. `tokens`, `weight`, `score`,
    `baseline` and `pull` (R,) belong to the rows. `pairs` (P, 2) has the numbers of better and
    worse rows, and `doubt` (P,) how likely it is that the worse one is the better one.
    """

    logps: Tensor
    reference: Tensor
    old: Tensor
    row: Tensor
    tokens: Tensor
    weight: Tensor
    score: Tensor
    baseline: Tensor
    pairs: Tensor
    doubt: Tensor
    pull: Tensor

    def sums(self, values: Tensor) -> Tensor:
        """The sums of a value (N,) over the tokens of each row, (R,)."""
        return values.new_zeros(len(self.tokens)).index_add(0, self.row, values)

    @property
    def gains(self) -> Tensor:
        """How much more likely each answer is than under the reference, in nats, (R,)."""
        return self.sums(self.logps - self.reference)


def step_loss(settings: LossSettings, batch: StepBatch) -> Tensor:
    """The loss of a step: the mean over its pairs, or its rows, by weight."""
    if settings.name == "pg":
        return _policy_gradient(settings, batch)
    paired = len(batch.pairs) > 0
    losses = _LOSSES[settings.name](settings, batch)
    if paired:
        losses = _softened(settings, batch, losses) + _optimistic(settings, batch)
    weight = batch.weight[batch.pairs[:, 0]] if paired else batch.weight
    loss = _mean(losses, weight)
    if settings.sft:
        better = batch.pairs[:, 0] if paired else (batch.score > batch.baseline).nonzero()[:, 0]
        if len(better):
            own = (-batch.sums(batch.logps) / batch.tokens)[better]
            loss = loss + settings.sft * _mean(own, batch.weight[better])
    return loss


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=1e-6)


def _softened(settings: LossSettings, batch: StepBatch, losses: Tensor) -> Tensor:
    """The losses of pairs whose labels may be wrong: in part, those of the pairs turned round.

    Sources: cDPO, Mitchell 2023, "A note on DPO with noisy preferences"; the doubts are those of
    CREAM, Wang et al. 2024, arXiv 2410.12735, whose regularised loss is this mixture.
    """
    if not settings.smoothing and not bool(batch.doubt.any()):
        return losses
    wrong = settings.smoothing + batch.doubt - 2 * settings.smoothing * batch.doubt
    turned = _LOSSES[settings.name](settings, replace(batch, pairs=batch.pairs.flip(1)))
    return (1 - wrong) * losses + wrong * turned


def _optimistic(settings: LossSettings, batch: StepBatch) -> Tensor | float:
    """What answers cost that the reference found likely, so that others are tried.

    Source: SELM, Zhang et al. 2024, arXiv 2405.19332, algorithm 1. Both answers of a pair are
    samples of the reference, in place of a third one.
    """
    if not settings.optimism:
        return 0.0
    return settings.optimism * settings.beta * batch.gains[batch.pairs].mean(1)


def _dpo(settings: LossSettings, batch: StepBatch) -> Tensor:
    """Source: DPO, Rafailov et al. 2023, arXiv 2305.18290, equation 7."""
    from torch.nn.functional import logsigmoid

    better, worse = batch.gains[batch.pairs].unbind(1)
    return -logsigmoid(settings.beta * (better - worse))


def _ipo(settings: LossSettings, batch: StepBatch) -> Tensor:
    """Source: IPO, Azar et al. 2023, arXiv 2310.12036, equation 17, on the mean over tokens.

    The authors' own results are of this form, as TRL says.
    """
    better, worse = (batch.gains / batch.tokens)[batch.pairs].unbind(1)
    return (better - worse - 1 / (2 * settings.beta)) ** 2


def _simpo(settings: LossSettings, batch: StepBatch) -> Tensor:
    """Source: SimPO, Meng et al. 2024, arXiv 2405.14734, equation 6. It has no reference."""
    from torch.nn.functional import logsigmoid

    means = batch.sums(batch.logps) / batch.tokens
    better, worse = means[batch.pairs].unbind(1)
    return -logsigmoid(settings.beta * (better - worse) - settings.margin)


def _kto(settings: LossSettings, batch: StepBatch) -> Tensor:
    """A row is desirable if its score is above its baseline.

    Source: KTO, Ethayarajh et al. 2024, arXiv 2402.01306, equation 8. It differs in the reference
    point: the mean gain of the step's own answers, at least 0, in place of mismatched answers.
    """
    gains = batch.gains
    middle = gains.detach().mean().clamp(min=0)
    sign = (batch.score > batch.baseline).to(gains.dtype) * 2 - 1
    return 1 - (settings.beta * sign * (gains - middle)).sigmoid()


def _sppo(settings: LossSettings, batch: StepBatch) -> Tensor:
    """The score is the rate at which an answer wins against the model's others.

    Source: SPPO, Wu et al. 2024, arXiv 2405.00675, equation 4.4, with eta = 1 / `beta`.
    """
    return (batch.gains - (batch.score - 0.5) / settings.beta) ** 2


def _nft(settings: LossSettings, batch: StepBatch) -> Tensor:
    """The score is 1 for right and 0 for wrong answers; the baseline is the share of right ones.

    Source: NFT, Chen et al. 2025, arXiv 2505.18116, section 3: right answers are learnt, and wrong
    ones through the policy that right ones imply. Questions weigh by their share of wrong answers,
    which the paper's section 4 shows to be the weight of Dr. GRPO.
    """
    import torch

    ratio = (batch.logps - batch.old).exp()
    rate, right = batch.baseline[batch.row], batch.score[batch.row] > 0.5
    implied = (1 - rate * ratio) / (1 - rate).clamp(min=_SMALLEST)
    # Below the smallest value the gradient goes through, as if the value were not clamped.
    implied = implied + (implied.clamp(min=_SMALLEST) - implied).detach()
    losses = -torch.where(right, ratio, implied).log()
    return batch.sums(losses) / batch.tokens * (1 - batch.baseline).clamp(min=0)


def _policy_gradient(settings: LossSettings, batch: StepBatch) -> Tensor:
    """The score is a reward or an advantage, from which the baseline is taken.

    Source: GRPO, Shao et al. 2024, arXiv 2402.03300, equation 3; `clip_high` and the mean over
    tokens: DAPO, Yu et al. 2025, arXiv 2503.14476; the constant: Dr. GRPO, Liu et al. 2025, arXiv
    2503.20783. The old policy is what the answers were sampled with.
    """
    import torch

    ratio, advantage = (batch.logps - batch.old).exp(), (batch.score - batch.baseline)[batch.row]
    high = settings.clip if settings.clip_high is None else settings.clip_high
    clipped = ratio.clamp(1 - settings.clip, 1 + high)
    losses = -torch.minimum(ratio * advantage, clipped * advantage)
    pull = settings.kl + batch.pull
    if bool(pull.any()):
        difference = batch.logps - batch.reference
        losses = losses + pull[batch.row] * ((-difference).exp() + difference - 1)
    weight = batch.weight[batch.row]
    if settings.average == "tokens":
        return _mean(losses, weight)
    if settings.average == "constant":
        return (losses * weight).sum() / (len(batch.tokens) * settings.constant)
    return _mean(batch.sums(losses) / batch.tokens, batch.weight)


def divergences(logits: Tensor, choices: Choices, jsd: float) -> Tensor:
    """How far a student's probabilities are from a teacher's, for each of N tokens, in nats.

    `logits` (N, V) are the student's. With P the teacher and Q the student, `jsd` 0 is the forward
    divergence KL(P, Q), and 1 the reverse one KL(Q, P). Between them, it is the generalised
    Jensen-Shannon divergence `jsd` KL(P, M) + (1 - `jsd`) KL(Q, M), with the mixture
    M = `jsd` P + (1 - `jsd`) Q. All choices that are not kept count as one.
    Source: GKD, Agarwal et al. 2024, arXiv 2306.13649, section 2. The likeliest choices alone would
    be a biased estimate, as Anshumann et al. 2025, arXiv 2503.16870, show.
    """
    import torch

    teacher = _with_rest(choices.logps.to(logits.device))
    student = _with_rest(logits.log_softmax(-1).gather(1, choices.ids.to(logits.device).long()))
    if jsd == 0:
        return _divergence(teacher, student)
    if jsd == 1:
        return _divergence(student, teacher)
    weights = logits.new_tensor([jsd, 1 - jsd]).log()
    mixture = torch.logaddexp(teacher + weights[0], student + weights[1])
    return jsd * _divergence(teacher, mixture) + (1 - jsd) * _divergence(student, mixture)


def _with_rest(logps: Tensor) -> Tensor:
    """Log-probabilities with that of all other choices, (N, K + 1)."""
    import torch

    rest = (1 - logps.exp().sum(-1, keepdim=True)).clamp(min=_LEAST_REST).log()
    return torch.cat([logps, rest], -1)


def _divergence(one: Tensor, other: Tensor) -> Tensor:
    return (one.exp() * (one - other)).sum(-1)


_LOSSES: Mapping[LossName, Callable[[LossSettings, StepBatch], Tensor]] = {
    "dpo": _dpo,
    "ipo": _ipo,
    "simpo": _simpo,
    "kto": _kto,
    "sppo": _sppo,
    "nft": _nft,
}
