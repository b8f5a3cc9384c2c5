"""The forward pass of any supported transformer on balls, on a stack of positions.
(SPEC-4.5, SPEC-14.3 to SPEC-14.8)

In a causal model what a position computes depends on the tokens up to it, so positions stay on a
stack while inputs share a prefix; a bidirectional model computes all its positions at once.
"""

from functools import lru_cache
from itertools import compress, takewhile
from operator import add, eq

from checker.ground.errors import require_support
from checker.ground.exact import bits
from checker.ground.ledger import NUMBER_BITS, Ledger
from checker.leaves.activation import activated
from checker.leaves.balls import Affine, Ball, Norm, rounded_down
from checker.leaves.layer import MOST_BEGUN, Layer, Position, Work
from checker.statement.model import Model

MAX_HELD_BITS = 1 << 30
"""Weights of a network, with the positions of one input.  (SPEC-3.5)"""


PAIR_BITS = 8 * NUMBER_BITS
"""Room of a pair of positions that is remembered, beside its scores."""


def integer_bits(model: Model) -> int:
    """Return how many bits before the point the weights have at most."""
    matrices = model.weights.values()
    return max(0, *(bits(matrix) - matrix.scale for matrix in matrices))


def entry_bits(model: Model, precision: int) -> int:
    """Return how much room a score may take, or a residual, or a query, key and value together."""
    return 4 * precision + 2 * integer_bits(model) + 700


def position_bits(model: Model, precision: int) -> int:
    """Return how many bits a position may take in one layer."""
    sizes = model.sizes
    entries = sizes["n_heads"] * sizes["d_head"] + sizes["d_model"]
    return entries * entry_bits(model, precision)


def held_bits(model: Model, precision: int) -> int:
    """Return how many bits a network at this precision may take.  (SPEC-3.5)"""
    sizes = model.sizes
    numbers = sum(matrix.entries for matrix in model.weights.values())
    positions = sizes["n_ctx"] * sizes["n_layers"]
    room = positions * position_bits(model, precision)
    return numbers * (2 * precision + integer_bits(model) + 64) + room


class Network:
    """A model at one precision, and the positions computed so far."""

    def __init__(
        self, model: Model, precision: int, reads: tuple[int, ...], ledger: Ledger
    ) -> None:
        """Prepare the weights.

        Requires: precision is a multiple of 8; ``reads`` are the positions whose logits are asked
                  for, none where the readout pools them.
        Raises:   Declined (SPEC-3.5) before anything is formed that takes more than 2^30 bits.
        """
        require_support(
            held_bits(model, precision) <= MAX_HELD_BITS,
            "SPEC-3.5",
            "the model is too large for this precision",
        )
        # Embeddings are not packed: so many numbers, whose bits are counted with the weights.
        places = model.sizes["d_vocab"] + model.sizes["n_ctx"]
        numbers = 1 + places * model.sizes["d_model"]
        self.precision = precision
        self.ledger = ledger
        w = model.weights
        self.n = model.sizes["n_ctx"]
        n_layers = model.sizes["n_layers"]
        self.causal = model.config["attention_dir"] == "causal"
        self.readout = model.readout
        # A pooled readout needs all positions.
        self.reads = reads or tuple(range(self.n))
        # SPEC-14.8: what the first layer keeps of a position depends on its token alone, so if
        # those of all tokens are few they are formed once, and their scores.
        few = self.n * model.sizes["d_vocab"] <= MOST_BEGUN
        known = MOST_BEGUN if few else 0
        kept = known * (NUMBER_BITS + position_bits(model, precision))
        scores = model.sizes["n_heads"] * entry_bits(model, precision)
        pairs = known**2 * (PAIR_BITS + scores)
        room = held_bits(model, precision) + numbers * NUMBER_BITS
        ledger.once(precision, 0, room + kept + pairs)
        self.begun = lru_cache(known)(self._begin)
        self.layers = [
            Layer(model, f"blocks.{at}.", precision, 0 if at else known**2)
            for at in range(n_layers)
        ]
        self.norm = Norm(model, "ln_final", precision)
        names = ["unembed.W_U"] if "unembed.W_U" in w else ["head.W_1", "head.W_2"]
        self.ends = [Affine(model, [name], precision) for name in names]
        self.last = w[names[-1]].rows
        (self.last_bias,) = w[names[-1].replace("W_", "b_")].rows
        self.hidden: Ball | None = None
        self.embedding = rounded_down(w["embed.W_E"], precision)
        self.places = rounded_down(w["pos_embed.W_pos"], precision)
        self.tokens = list[int]()
        self.residuals = list[Ball]()
        self.seen: list[list[Position]] = [[] for _ in self.layers]

    def _charge(self, times: int, work: Work) -> None:
        """Charge some work, once more for every full 256 bits of precision.  (SPEC-14.8)"""
        times *= 1 + self.precision // 256
        linear = times * work.linear
        exps = times * work.exps
        self.ledger.charge(mul=linear, add=linear + times * work.others, exp=exps)

    def read(self, tokens: list[int]) -> list[Ball]:
        """Return the logits of an input, at every position that is read.  (SPEC-4.5)"""
        self._keep(tokens)
        if self.causal:
            for place in range(len(self.tokens), self.n):
                self._extend(tokens[place : place + 1])
        else:
            self._extend(tokens)
        if len(self.ends) == 2:
            return [self._pooled()]
        (unembed,) = self.ends
        self._charge(len(self.reads), Work(unembed.work, len(self.last_bias)))
        return [unembed(self.residuals[place]) for place in self.reads]

    def recall(self, tokens: list[int]) -> None:
        """Compute the positions of an input again, or of none, without a charge.  (SPEC-8.3)"""
        ledger = self.ledger
        self.ledger = Ledger(lambda done: None)
        self._keep([])
        try:
            for token in tokens if self.causal else []:
                self._extend([token])
        finally:
            self.ledger = ledger

    def _keep(self, tokens: list[int]) -> None:
        """Take positions off the stack, down to those that this input shares with the last."""
        same = takewhile(bool, map(eq, tokens, self.tokens))
        shared = sum(same) if self.causal else 0
        del self.tokens[shared:], self.residuals[shared:]
        for seen in self.seen:
            del seen[shared:]

    def _pooled(self) -> Ball:
        """Return the logits of a readout by a hidden layer from the sum or mean of residuals."""
        first, second = self.ends
        pooled = self.n * first.inputs
        work = first.work + second.work
        self._charge(1, Work(work, len(self.last_bias) + pooled))
        total = Ball([0] * first.inputs, 0)
        for ball in self.residuals:
            total = total.plus(ball)
        if self.readout == "mean-pool-mlp":
            # The floors of the middle and of the radius cost one each.
            middles = [value // self.n for value in total.middles]
            total = Ball(middles, total.radius // self.n + 2)
        self.hidden = first(total)
        return second(activated("relu", self.hidden, self.precision))

    def _begin(self, token: int, place: int) -> tuple[Ball, Position]:
        """Return the residual of a token at a position before the first layer, and what that layer
        keeps of it.
        """
        # Embedding and position are rounded down once each: radius 2.
        middles = map(add, self.embedding[token], self.places[place])
        ball = Ball(list(middles), 2)
        return ball, self.layers[0].project(ball)

    def _extend(self, tokens: list[int]) -> None:
        """Push the next positions; of those that are not read, the last layer is left out."""
        start = len(self.tokens)
        self.tokens += tokens
        others = len(self.embedding[0]) + self.norm.work
        self._charge(len(tokens), Work(others=others))
        begun = [self.begun(token, place) for place, token in enumerate(tokens, start)]
        balls = [ball for ball, _ in begun]
        for layer, seen in zip(self.layers, self.seen, strict=True):
            self._charge(len(tokens), layer.projecting)
            first = layer is self.layers[0]
            kept = (position for _, position in begun)
            new = list(kept if first else map(layer.project, balls))
            seen.extend(new)
            last = layer is self.layers[-1]
            for i in range(len(tokens)):
                if last and start + i not in self.reads:
                    continue
                self._charge(1, layer.finishing)
                self._charge(len(seen), layer.attending)
                balls[i] = layer.finish(balls[i], new[i], seen)
                if last:
                    balls[i] = self.norm(balls[i])
        self.residuals += balls

    def is_level(self, answer: int) -> bool:
        """Return whether another answer has the same logit as this one at the input last read.
        (SPEC-14.7)
        """
        rows = self.last
        if self.hidden:
            # A unit is 0 if its ball lies at or below 0; what it would write does not matter.
            radius = self.hidden.radius
            on = [middle + radius > 0 for middle in self.hidden.middles]
            rows = tuple(compress(rows, on))
        columns = list(zip(*rows, self.last_bias, strict=True))
        return columns.count(columns[answer]) > 1
