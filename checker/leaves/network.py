"""The forward pass of any supported transformer in ball arithmetic, on a stack of positions.  (SPEC
4.5, 14.3 to 14.6)

A *ball* is ``(middles, radius)``: integers over 2^-precision, with the claim that every entry of
the real vector is
within ``radius`` of its middle.  One radius for a whole vector makes bounds on errors cost nothing
beside the products.
In a causal model what a position computes depends on the tokens up to it, so positions stay on a
stack while inputs
share a prefix; a bidirectional model computes all its positions at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isqrt
from operator import add, mul

from checker.ground.decode import hexadecimal
from checker.ground.errors import require_support
from checker.ground.exact import Matrix, bits
from checker.ground.interval import exp_enclosure, inverse_sqrt
from checker.ground.ledger import Ledger
from checker.ground.packed import Slots
from checker.leaves.activation import activated
from checker.statement.model import Model

WHOLE_BITS, MAX_HELD_BITS = 32, 1 << 30

Ball = tuple[list[int], int]
Work = tuple[int, int, int]
"""Multiplications with as many additions; other operations, counted as additions; exponentials.
(SPEC 14.8)
"""
exponential = lru_cache(1 << 14)(exp_enclosure)


def _top(values: Sequence[int]) -> int:
    return max(*values, -min(values))


def _fixed(matrix: Matrix, scale: int) -> list[list[int]]:
    """Return the rows over ``2^-scale``, rounded down."""
    finer = scale - matrix.scale
    return [
        [value << finer if finer >= 0 else value >> -finer for value in row]
        for row in matrix.rows
    ]


def _sum(left: Ball, right: Ball) -> Ball:
    return list(map(add, left[0], right[0])), left[1] + right[1]


class Affine:
    """The map x -> x W + b on balls, W and b rounded to about ``precision`` bits.  (SPEC 14.3)"""

    def __init__(
        self, model: Model, names: Sequence[str], precision: int, heads: int = 1
    ) -> None:
        """Put the named weights side by side, with their biases; each W is a stack of ``heads``
        matrices.
        """
        weights, biases = (
            [model.weights[name.replace("W_", letter)] for name in names]
            for letter in ("W_", "b_")
        )
        self.precision, self.inputs = precision, len(weights[0].rows) // heads
        scale = max(matrix.scale for matrix in (*weights, *biases))
        self.drop = (min(scale, precision) + 7) // 8
        self.rounded = scale > 8 * self.drop
        fixed = [_fixed(matrix, 8 * self.drop) for matrix in weights]
        wide = [
            [
                v
                for rows in fixed
                for h in range(heads)
                for v in rows[h * self.inputs + j]
            ]
            for j in range(self.inputs)
        ]
        bias = [
            value
            for matrix in biases
            for row in _fixed(matrix, 8 * self.drop)
            for value in row
        ]
        self.norm = max(sum(map(abs, column)) for column in zip(*wide, strict=True))
        terms = (
            max(map(_top, (*wide, bias))).bit_length() + (self.inputs + 1).bit_length()
        )
        self.slots = Slots(len(bias), precision + WHOLE_BITS + terms, self.drop)
        self.rows, self.work = (
            [self.slots.pack(row) for row in (*wide, bias)],
            (self.inputs + 1) * len(bias),
        )

    def __call__(self, ball: Ball) -> Ball:
        """Return a ball around the images of a ball.

        Raises: Declined (SPEC-14.3) if a middle is 2^32 or larger.
        """
        (middles, radius), one = ball, 1 << self.precision
        top = _top(middles)
        require_support(
            top >> self.precision + WHOLE_BITS == 0,
            "SPEC-14.3",
            "an activation is 2^32 or larger",
        )
        blur = radius * self.norm + (
            self.inputs * (top + radius) + one if self.rounded else 0
        )
        return self.slots.combine([*middles, one], self.rows), (
            blur >> 8 * self.drop
        ) + 2


class Norm:
    """Layer normalisation of balls, or nothing where the model has none.  (SPEC 14.6)"""

    def __init__(self, model: Model, name: str, precision: int) -> None:
        self.precision, self.weight, self.bias = (
            precision,
            model.weights.get(f"{name}.w"),
            model.weights.get(f"{name}.b"),
        )
        mantissa, exponent = hexadecimal(
            model.config.get("eps", "0x0.0p+0"), "config field eps"
        )
        self.eps = mantissa * model.sizes["d_model"] ** 2 << 2 * precision >> -exponent
        self.work: Work = (0, 0 if mantissa == 0 else 10 * model.sizes["d_model"], 0)

    def __call__(self, ball: Ball) -> Ball:
        """Return a ball around the normalised vectors of a ball."""
        (middles, radius), p, d = ball, self.precision, len(ball[0])
        if not self.work[1]:
            return ball
        mean, up = sum(middles), isqrt(d) + 1
        centred = [d * value - mean for value in middles]
        root = isqrt(sum(map(mul, centred, centred)) // d + self.eps)
        found, wide = [0] * d, up << p
        if root > d * radius:
            found = [(value << p) // root for value in centred]
            wide = ((d * radius * (up + 2) + 2 * up) << p) // (root - d * radius) + 2
        if self.weight is None or self.bias is None:
            return found, wide
        (weight,), (bias,), scale = (
            self.weight.rows,
            _fixed(self.bias, p),
            self.weight.scale,
        )
        return [
            (y * w >> scale) + b for y, w, b in zip(found, weight, bias, strict=True)
        ], (wide * _top(weight) >> scale) + 3


@dataclass(frozen=True, slots=True)
class Position:
    """What one layer keeps of one position: queries and keys per head, values packed per head.

    ``bounds``: the radius and the largest middle of queries and keys, the same of the values.
    """

    queries: list[list[int]]
    keys: list[list[int]]
    values: list[int]
    bounds: tuple[int, int, int, int]


class Layer:
    """One block: normalisation, attention, normalisation, MLP, all on balls.  (SPEC 4.5)"""

    def __init__(self, model: Model, block: str, precision: int) -> None:
        self.precision, self.heads, self.width = (
            precision,
            model.sizes["n_heads"],
            model.sizes["d_head"],
        )
        mantissa, exponent = hexadecimal(
            model.config.get("attention_mix", "0x1.0p+0"), "config field attention_mix"
        )
        self.root, self.mix = (
            inverse_sqrt(self.width, precision)[0],
            (mantissa, (1 << -exponent) - mantissa, -exponent),
        )
        self.scoring = Affine(
            model, [f"{block}attn.W_Q", f"{block}attn.W_K"], precision, self.heads
        )
        self.moving = Affine(model, [f"{block}attn.W_V"], precision, self.heads)
        self.out = Affine(model, [f"{block}attn.W_O"], precision)
        self.slots = Slots(
            self.width,
            2 * precision + 1 + WHOLE_BITS + model.sizes["n_ctx"].bit_length(),
            precision // 8,
        )
        self.norms = [Norm(model, f"{block}ln{which}", precision) for which in (1, 2)]
        units, self.function = model.sizes.get("d_mlp", 0), str(model.config["act_fn"])
        self.mlp = [
            Affine(model, [f"{block}mlp.W_{which}"], precision)
            for which in ("in", "out")
            if units
        ]
        smooth, scaled = (
            0 if self.function == "relu" else units,
            self.norms[1].work[1] if units else 0,
        )
        self.projecting: Work = (
            self.scoring.work + self.moving.work,
            self.norms[0].work[1],
            0,
        )
        linear, others = (
            self.out.work + sum(part.work for part in self.mlp),
            2 * model.sizes["d_model"] + scaled,
        )
        self.finishing: Work = (linear, others + units + 12 * smooth, 2 * smooth)
        self.attending: Work = (
            2 * self.heads * self.width,
            6 * self.heads,
            2 * self.heads,
        )

    def project(self, ball: Ball) -> Position:
        """Return queries, keys and values of one position."""
        normal, width = self.norms[0](ball), self.width
        (scoring, radius), (moving, spread) = self.scoring(normal), self.moving(normal)
        top = _top(moving)
        require_support(
            top >> self.precision + WHOLE_BITS == 0,
            "SPEC-14.3",
            "a value is 2^32 or larger",
        )
        cut = [scoring[at : at + width] for at in range(0, len(scoring), width)]
        values = [
            self.slots.pack(moving[at : at + width])
            for at in range(0, len(moving), width)
        ]
        return Position(
            cut[: self.heads],
            cut[self.heads :],
            values,
            (radius, _top(scoring), spread, top),
        )

    def finish(self, ball: Ball, position: Position, seen: Sequence[Position]) -> Ball:
        """Return the residual after the block, given the positions that are seen."""
        ball = _sum(ball, self.out(self._attention(position, seen)))
        if not self.mlp:
            return ball
        return _sum(
            ball,
            self.mlp[1](
                activated(
                    self.function, self.mlp[0](self.norms[1](ball)), self.precision
                )
            ),
        )

    def _attention(self, position: Position, seen: Sequence[Position]) -> Ball:
        """Return the mixed values of all heads, side by side.  (SPEC 14.4)"""
        p, (radius, top, _, _), (part, rest, shift) = (
            self.precision,
            position.bounds,
            self.mix,
        )
        key_radius, key_top, spread, value_top = map(
            max, zip(*(other.bounds for other in seen), strict=True)
        )
        moved = self.width * (radius * (key_top + key_radius) + key_radius * top)
        delta = (moved * (self.root + 1) + self.width * top * key_top >> 2 * p) + 2
        found, blur = list[int](), 0
        for head, query in enumerate(position.queries):
            scores = [
                sum(map(mul, query, other.keys[head])) * self.root >> 2 * p
                for other in seen
            ]
            largest = max(scores)
            ends = [exponential(largest - score, p, p) for score in scores]
            total, wide = (
                sum(low for low, _ in ends),
                max(high - low for low, high in ends),
            )
            shares = [
                part * ((low << p) // total) + (rest << p) >> shift for low, _ in ends
            ]
            error = min(4 * delta, 2 << p) + 2 * len(seen) * (wide + 1)
            found += self.slots.combine(shares, [other.values[head] for other in seen])
            blur = max(blur, (sum(shares) + error) * spread + error * value_top)
        return found, (blur >> p) + 2


def held_bits(model: Model, precision: int) -> int:
    """Return how many bits a network at this precision may take.  (SPEC 3.5)"""
    matrices, sizes = model.weights.values(), model.sizes
    whole = max(0, *(bits(matrix) - matrix.scale for matrix in matrices))
    numbers = sum(len(matrix.rows) * len(matrix.rows[0]) for matrix in matrices)
    held = (sizes["n_heads"] * sizes["d_head"] + sizes["d_model"]) * (
        4 * precision + 700
    )
    return (
        numbers * (2 * precision + whole + 64)
        + sizes["n_ctx"] * sizes["n_layers"] * held
    )


class Network:
    """A model at one precision, and the positions computed so far."""

    def __init__(self, model: Model, precision: int, ledger: Ledger) -> None:
        """Prepare the weights.

        Requires: precision is a multiple of 8.
        Raises:   Declined (SPEC-3.5) before anything is formed that takes more than 2^30 bits.
        """
        self.n, self.precision, self.ledger, w = (
            model.sizes["n_ctx"],
            precision,
            ledger,
            model.weights,
        )
        self.causal, self.readout = (
            model.config["attention_dir"] == "causal",
            str(model.config.get("readout", "last")),
        )
        require_support(
            held_bits(model, precision) <= MAX_HELD_BITS,
            "SPEC-3.5",
            "the model is too large for this precision",
        )
        ledger.hold(1, held_bits(model, precision))
        # The embeddings are not packed: so many numbers, whose bits are counted above.
        places = model.sizes["d_vocab"] + model.sizes["n_ctx"]
        ledger.hold(places * model.sizes["d_model"], 0)
        self.layers = [
            Layer(model, f"blocks.{layer}.", precision)
            for layer in range(model.sizes["n_layers"])
        ]
        self.norm, names = (
            Norm(model, "ln_final", precision),
            ("unembed.W_U",) if "unembed.W_U" in w else ("head.W_1", "head.W_2"),
        )
        self.ends = [Affine(model, [name], precision) for name in names]
        self.final, self.hidden = (
            (w[names[-1]].rows, w[names[-1].replace("W_", "b_")].rows),
            ([1] * self.ends[-1].inputs, 0),
        )
        self.embedding, self.places = (
            _fixed(w[name], precision) for name in ("embed.W_E", "pos_embed.W_pos")
        )
        self.tokens, self.residuals = list[int](), list[Ball]()
        self.seen: list[list[Position]] = [[] for _ in self.layers]

    def _charge(self, times: int, work: Work) -> None:
        linear, others, exps = (
            count * times * (1 + self.precision // 256) for count in work
        )
        self.ledger.charge(mul=linear, add=linear + others, exp=exps)

    def read(self, tokens: list[int]) -> list[Ball]:
        """Return the logits of an input, at every position that is read.  (SPEC 4.5)"""
        pairs, reads = (
            zip(tokens, self.tokens, strict=False),
            self.n if self.readout == "all" else 1,
        )
        shared = (
            next((i for i, (a, b) in enumerate(pairs) if a != b), len(self.tokens))
            if self.causal
            else 0
        )
        del self.tokens[shared:], self.residuals[shared:]
        for seen in self.seen:
            del seen[shared:]
        for place in range(shared, self.n) if self.causal else (0,):
            self._extend(tokens[place : place + 1] if self.causal else tokens)
        pooled = self.n * len(self.residuals[0][0]) if len(self.ends) == 2 else 0
        self._charge(
            reads,
            (sum(end.work for end in self.ends), len(self.final[1][0]) + pooled, 0),
        )
        if len(self.ends) == 1:
            return [self.ends[0](ball) for ball in self.residuals[-reads:]]
        total, radius = [0] * (pooled // self.n), 0
        for ball in self.residuals:
            total, radius = _sum((total, radius), ball)
        if self.readout == "mean-pool-mlp":
            total, radius = [value // self.n for value in total], radius // self.n + 2
        self.hidden = self.ends[0]((total, radius))
        return [self.ends[1](activated("relu", self.hidden, self.precision))]

    def _extend(self, tokens: list[int]) -> None:
        """Push the next positions; where only the last is read, the last layer of the others is
        left out.
        """
        start = len(self.tokens)
        self.tokens += tokens
        self._charge(len(tokens), (0, len(self.embedding[0]) + self.norm.work[1], 0))
        balls = [
            (list(map(add, self.embedding[token], self.places[start + i])), 2)
            for i, token in enumerate(tokens)
        ]
        for layer, seen in zip(self.layers, self.seen, strict=True):
            self._charge(len(tokens), layer.projecting)
            new = list(map(layer.project, balls))
            seen.extend(new)
            unread = (
                self.n - 1 - start
                if self.readout == "last" and layer is self.layers[-1]
                else 0
            )
            finished = range(unread, len(tokens))
            ends = list[Ball]()
            for i in finished:
                self._charge(1, layer.finishing)
                self._charge(len(seen), layer.attending)
                ends.append(layer.finish(balls[i], new[i], seen))
            balls = balls[:unread] + ends
        self.residuals += map(self.norm, balls)

    def is_level(self, answer: int) -> bool:
        """Return whether another answer has the same logit as this one at the input last read.
        (SPEC 14.7)
        """
        on = [
            row
            for row, middle in zip(self.final[0], self.hidden[0], strict=True)
            if middle + self.hidden[1] > 0
        ]
        columns = list(zip(*on, *self.final[1], strict=True))
        return columns.count(columns[answer]) > 1
