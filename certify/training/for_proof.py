"""What training Max-of-K can do so that short proofs certify much: zeros, penalties, batches near
the maximum, and a start on the ordered line.

*Zeros* are exact in the file that is written.  With ``qk_rank`` r, W_Q and W_K keep r columns, so
that the QK circuit has rank r; with ``ov_rank``, W_V keeps r columns and W_O as many rows.  With
``disjoint`` C, W_E writes coordinates below C only and W_U reads those from C on, so that the
direct path W_E W_U is zero and what is left of it, W_pos W_U, is the same for every query.

*Penalties* are soft forms of the same, added to the loss and ramped up over half of the steps.

*The start ``line``* constructs half of the model.  Tokens and answers stand on a line: coordinate 0
of W_E is the size of the token, two rows of W_U are the slope and the offset of each answer, so
that logits are a parabola over the line; where its top is, is left to training.  Attention weighs
by size and is the same for every query: W_Q reads W_pos only.  W_pos and W_Q stay as they start.
Everything else is trained; the start alone is right about 0.18 of the inputs at vocabulary 64.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from certify.errors import BadInput
from certify.training.recipe import setting

Weights = Mapping[str, Any]

W_E, W_POS, W_U = "embed.W_E", "pos_embed.W_pos", "unembed.W_U"
W_Q, W_K, W_V, W_O = (f"blocks.0.attn.W_{letter}" for letter in "QKVO")

TABLES = (W_E, W_U)

RANDOM, LINE = "random", "line"
STARTS = (RANDOM, LINE)

_EXTENT = 1.5
"""Where the line ends, on both sides of zero."""
_QUIET = 0.02
"""What is left of the random W_E and W_U where 64 tokens start on the line; less of more tokens, so
that it never reorders neighbours.
"""
_QUIET_REST = 0.1
"""What is left of the random other weights."""
_RAMP = 0.5
"""Share of the steps after which penalties have their full weight."""
_WARMING = 2 / 3
"""Share of the steps after which the temperature has reached its end."""


@dataclass(frozen=True, slots=True)
class Temperature:
    """What the loss multiplies logits by: geometrically from ``first`` to ``last``."""

    first: float
    last: float

    def __str__(self) -> str:
        return f"{self.first:g}:{self.last:g}"

    def at(self, share: float) -> float:
        """Return the factor after this share of the steps."""
        growth: float = (self.last / self.first) ** min(1.0, share / _WARMING)
        return self.first * growth


def read_temperature(text: str) -> Temperature:
    """Return the temperature that is written ``A:B``.

    Errors: ``BadInput`` if the text is not two positive numbers.
    """
    number = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)"
    found = re.fullmatch(f"{number}:{number}", text)
    ends = (0.0,) if found is None else tuple(float(part) for part in found.groups())
    if 0.0 in ends:
        raise BadInput(f"temperature {text!r} is not A:B with positive numbers")
    return Temperature(*ends)


@dataclass(frozen=True, slots=True)
class ForProof:
    """What is asked of a model besides right answers, so that a proof can be short."""

    qk_rank: int | None = setting(
        "Columns of W_Q and W_K that may differ from zero; all, if it is left out.",
        None,
        least=1,
        most=1024,
    )
    ov_rank: int | None = setting(
        "Columns of W_V and rows of W_O that may differ from zero.", None, least=1, most=1024
    )
    disjoint: int | None = setting(
        "W_E writes coordinates below this one only, and W_U reads those from it on.",
        None,
        least=1,
        most=1023,
    )
    direct_penalty: float = setting(
        "Weight of the reach of the direct path, by which it differs between queries.",
        0.0,
        least=0,
        most=1000,
    )
    rank_penalty: float = setting(
        "Weight of the singular values of W_Q and W_K past the first.", 0.0, least=0, most=1000
    )
    tail_penalty: float = setting(
        "Weight of those of the centred W_E W_V and W_O W_U.", 0.0, least=0, most=1000
    )
    near_max: float = setting(
        "Share of each batch whose other tokens are close to the maximum.", 0.0, least=0, most=1
    )
    temperature: Temperature = setting(  # noqa: RUF009  (a field, as everywhere)
        "The loss multiplies logits by a factor that grows from A to B, reached after two thirds of"
        " the steps.",
        Temperature(1.0, 1.0),
        read=read_temperature,
        form="A:B",
    )
    start: str = setting(
        "Weights before training; line constructs half of the model: tokens and answers on an"
        " ordered line, and an attention that is trained no more. It needs --disjoint.",
        RANDOM,
        choices=STARTS,
    )

    def require(self, d_model: int) -> None:
        """Refuse what does not fit the width.

        Errors: ``BadInput``.
        """
        room = 3 if self.start == LINE else 1
        if self.start == LINE and self.disjoint is None:
            raise BadInput("train: the start line needs disjoint")
        if self.disjoint is not None and self.disjoint > d_model - room:
            raise BadInput(
                f"train: disjoint {self.disjoint} leaves fewer than {room} of {d_model} coordinates"
            )
        if not 0.0 <= self.near_max <= 1.0:
            raise BadInput("train: near-max must be between 0 and 1")
        if min(self.direct_penalty, self.rank_penalty, self.tail_penalty) < 0.0:
            raise BadInput("train: penalties must not be negative")

    def pace(self, name: str, vocab: int) -> float:
        """Return how fast a tensor learns: 0 if it stays as it starts, 1 if at the learning rate.

        On the line W_E and W_U learn as much slower as neighbours are nearer to each other than
        those of 64 tokens.
        """
        if self.start != LINE:
            return 1.0
        if name in (W_POS, W_Q):
            return 0.0
        return min(1.0, 64 / vocab) if name in TABLES else 1.0


def zeros_of(torch: Any, weights: Weights, asked: ForProof) -> dict[str, Any]:
    """Return for each tensor with entries that are kept at zero which these are, by name."""
    kept = {name: torch.zeros(weight.shape, dtype=torch.bool) for name, weight in weights.items()}
    if asked.qk_rank is not None:
        kept[W_Q][:, :, asked.qk_rank :] = True
        kept[W_K][:, :, asked.qk_rank :] = True
    if asked.ov_rank is not None:
        kept[W_V][:, :, asked.ov_rank :] = True
        kept[W_O][:, asked.ov_rank :] = True
    if asked.disjoint is not None:
        kept[W_E][:, asked.disjoint :] = True
        kept[W_U][: asked.disjoint] = True
    if asked.start == LINE:
        kept[W_Q][:, : asked.disjoint] = True
    return {name: where for name, where in kept.items() if bool(where.any())}


def clear(torch: Any, weights: Weights, zeros: Mapping[str, Any]) -> None:
    """Set to zero what is kept there."""
    with torch.no_grad():
        for name, where in zeros.items():
            weights[name].masked_fill_(where, 0.0)


def line_weights(torch: Any, drawn: Weights, disjoint: int) -> dict[str, Any]:
    """Return the weights of the start ``line`` in float64, made from random ones.

    Requires: disjoint + 3 coordinates at least.
    Ensures:  neighbouring tokens differ in score by the same amount, whatever the vocabulary.

    Coordinate ``disjoint`` holds what attention moved, the next a constant that the offsets of the
    answers are read with, and the one after it a constant that makes the query.  In a large
    vocabulary the logits of neighbours differ by less than the rounding of float32.
    """
    moved, constant, asking = disjoint, disjoint + 1, disjoint + 2
    vocab = len(drawn[W_E])
    quiet = _QUIET * min(1.0, 64 / vocab) ** 2
    weights = {
        name: weight.detach().double() * (quiet if name in TABLES else _QUIET_REST)
        for name, weight in drawn.items()
    }
    line = torch.linspace(-1.0, 1.0, vocab, dtype=torch.float64)
    weights[W_E][:, 0] = _EXTENT * line
    weights[W_U][moved] = _EXTENT * line
    weights[W_U][constant] = 0.5 - _EXTENT * line**2
    weights[W_POS][:] = weights[W_POS].mean(dim=0)
    weights[W_POS][:, constant] = 1.0
    weights[W_POS][:, asking] = 0.5
    weights[W_Q][0, asking, 0] = 200.0 * vocab / 64
    weights[W_K][0, 0, 0] = 3.0
    weights[W_V][0, 0, 0] = 1.2
    weights[W_O][0, 0, moved] = 1.2
    return {name: weight.requires_grad_() for name, weight in weights.items()}


def penalty(torch: Any, weights: Weights, asked: ForProof, share: float) -> Any:
    """Return what is added to the loss after this share of the steps.

    Cost: singular values of matrices of width d_model.
    """
    found = torch.zeros(())
    if asked.direct_penalty:
        found = found + asked.direct_penalty * _direct_reach(weights)
    if asked.rank_penalty:
        for name in (W_Q, W_K):
            found = found + asked.rank_penalty * _tail(torch, weights[name][0])
    if asked.tail_penalty:
        moved = _tail(torch, (weights[W_E] - weights[W_E].mean(dim=0)) @ weights[W_V][0])
        centred = weights[W_U] - weights[W_U].mean(dim=1, keepdim=True)
        found = found + asked.tail_penalty * (moved + _tail(torch, weights[W_O][0] @ centred))
    return found * min(1.0, share / _RAMP)


def _direct_reach(weights: Weights) -> Any:
    """Return the mean over the queries of sum_a |E - mean|_a rng(U_a): by how much the direct path
    of a query is away from the mean query's, at most.
    """
    away = (weights[W_E] - weights[W_E].mean(dim=0)).abs()
    ranges = weights[W_U].amax(dim=1) - weights[W_U].amin(dim=1)
    return (away @ ranges).mean()


def _tail(torch: Any, matrix: Any) -> Any:
    """Return the sum of the singular values past the first."""
    return torch.linalg.svdvals(matrix)[1:].sum()


def bring_near(torch: Any, tokens: Any, share: float, vocab: int, generator: Any) -> None:
    """Replace this share of a batch in place, tokens [batch, k], by inputs that are close to their
    maximum: distances that are ``vocab`` times the cube of a uniform number.
    """
    batch, k = tokens.shape
    count = int(batch * share)
    if count == 0:
        return
    largest = torch.randint(0, vocab, (count, 1), generator=generator)
    distances = torch.floor(torch.rand(count, k, generator=generator) ** 3 * vocab).long()
    places = torch.randint(0, k, (count,), generator=generator)
    distances[torch.arange(count), places] = 0
    tokens[:count] = (largest - distances).clamp(min=0)
