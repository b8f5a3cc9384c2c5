"""One block on balls: normalisation, attention, normalisation, MLP.  (SPEC-4.5, SPEC-14.4)"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import mul

from checker.ground import record
from checker.ground.interval import inverse_sqrt, lower_exponentials
from checker.ground.packed import Slots
from checker.leaves.activation import activated
from checker.leaves.balls import (
    Affine,
    Ball,
    Norm,
    largest,
    require_small,
    whole_bits,
)
from checker.statement.model import Model, mix

MOST_BEGUN = 64
"""So many positions are remembered before the first layer, and the scores between them."""


@record
class Work:
    """Multiplications with as many additions; other operations, counted as additions; exponentials.
    (SPEC-14.8)
    """

    linear: int = 0
    others: int = 0
    exps: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Position:
    """What one layer keeps of one position: queries and keys per head, values packed per head.
    One is the same as another only if it is that object.

    ``radius`` is that of all of them, ``size`` the largest sum of absolute middles of a query or a
    key, ``value_top`` the largest middle of the values.
    """

    queries: list[list[int]]
    keys: list[list[int]]
    values: list[int]
    radius: int
    size: int
    value_top: int


class Layer:
    """One block of the model at one precision, and what it costs."""

    def __init__(self, model: Model, block: str, precision: int, known: int) -> None:
        """Prepare a layer that remembers the scores of so many pairs of positions."""
        sizes = model.sizes
        self.scores = lru_cache(known)(self._scores)
        self.precision = precision
        self.heads = sizes["n_heads"]
        self.width = sizes["d_head"]
        self.root = inverse_sqrt(self.width, precision)[0]
        # c and 1 - c, over 2^-shift.
        self.mix, exponent = mix(model)
        self.shift = -exponent
        self.rest = (1 << self.shift) - self.mix
        names = [f"{block}attn.W_{which}" for which in "QKV"]
        self.projected = Affine(model, names, precision, self.heads)
        self.out = Affine(model, [f"{block}attn.W_O"], precision)
        # Shares of at most one and values below 2^middle, one of each for every position.
        middle = precision + whole_bits(precision)
        room = precision + 1 + middle + sizes["n_ctx"].bit_length()
        self.slots = Slots(self.width, room, precision // 8)
        self.norms = [Norm(model, f"{block}ln{which}", precision) for which in (1, 2)]
        self.function = str(model.config["act_fn"])
        units = sizes.get("d_mlp", 0)
        self.mlp = [
            Affine(model, [f"{block}mlp.W_{which}"], precision)
            for which in ("in", "out")
            if units
        ]
        self._count(units, sizes["d_model"])

    def _count(self, units: int, d_model: int) -> None:
        """Set what a position costs: projected, finished, and for each position that it sees.
        (SPEC-14.8)
        """
        smooth = 0 if self.function == "relu" else units
        self.projecting = Work(self.projected.work, self.norms[0].work)
        others = 2 * d_model + (self.norms[1].work if units else 0)
        self.finishing = Work(
            self.out.work + sum(part.work for part in self.mlp),
            others + units + 12 * smooth,
            2 * smooth,
        )
        heads = self.heads
        self.attending = Work(2 * heads * self.width, 6 * heads, 2 * heads)

    def project(self, ball: Ball) -> Position:
        """Return queries, keys and values of one position."""
        image = self.projected(self.norms[0](ball))
        cut = _cut(image.middles, self.width)
        heads = self.heads
        values = cut[2 * heads :]
        top = max(map(largest, values))
        require_small(top, self.precision, "a value")
        return Position(
            queries=cut[:heads],
            keys=cut[heads : 2 * heads],
            values=list(map(self.slots.pack, values)),
            radius=image.radius,
            size=max(sum(map(abs, part)) for part in cut[: 2 * heads]),
            value_top=top,
        )

    def finish(self, ball: Ball, position: Position, seen: Sequence[Position]) -> Ball:
        """Return the residual after the block, given the positions that are seen."""
        ball = ball.plus(self.out(self._attention(position, seen)))
        if not self.mlp:
            return ball
        reading, writing = self.mlp
        neurons = reading(self.norms[1](ball))
        return ball.plus(writing(activated(self.function, neurons, self.precision)))

    def _attention(self, position: Position, seen: Sequence[Position]) -> Ball:
        """Return the mixed values of all heads, side by side.  (SPEC-14.4)"""
        p = self.precision
        delta = self._score_error(position, seen)
        rho = max(other.radius for other in seen)
        value_top = max(other.value_top for other in seen)
        found = list[int]()
        blur = 0
        heads = zip(*(self.scores(position, other) for other in seen), strict=True)
        for head, scores in enumerate(heads):
            shares, below = self._shares(scores)
            # E: what the errors of scores, of exponentials and of two floors move all shares.
            error = min(delta, 2 << p) + 2 * len(seen) * (below + 1)
            found += self.slots.combine(shares, [other.values[head] for other in seen])
            moved = (sum(shares) + error) * rho + error * value_top
            blur = max(blur, moved)
        # The floors of the middle and of the radius cost one each.
        return Ball(found, (blur >> p) + 2)

    def _score_error(self, position: Position, seen: Sequence[Position]) -> int:
        """Return delta, by how much any score may be wrong.  (SPEC-14.4)"""
        r = position.radius
        Q = position.size
        rho = max(other.radius for other in seen)
        K = max(other.size for other in seen)
        dots = r * (K + self.width * rho) + rho * Q
        # R + 1 is above 1 / sqrt(D), R wrong by less than one.
        moved = dots * (self.root + 1) + Q * K
        return (moved >> 2 * self.precision) + 2

    def _scores(self, position: Position, other: Position) -> list[int]:
        """Return S of a query and a key, for every head.  (SPEC-14.4)"""
        pairs = zip(position.queries, other.keys, strict=True)
        root = self.root
        shift = 2 * self.precision
        return [sum(map(mul, query, key)) * root >> shift for query, key in pairs]

    def _shares(self, scores: Sequence[int]) -> tuple[list[int], int]:
        """Return A_j, what each position gets, and e, what a weight may be too small by.
        (SPEC-14.4)
        """
        p = self.precision
        top = max(scores)
        weights, below = lower_exponentials([top - score for score in scores], p)
        total = sum(weights)
        # c floor(w / sum) + 1 - c
        mix = self.mix
        rest = self.rest << p
        shift = self.shift
        shares = [mix * ((w << p) // total) + rest >> shift for w in weights]
        return shares, below


def _cut(values: list[int], width: int) -> list[list[int]]:
    """Return the values in pieces of this width."""
    return [values[at : at + width] for at in range(0, len(values), width)]
