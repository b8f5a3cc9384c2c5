"""Vectors of reals in ball arithmetic, affine maps and normalisation of them.
(SPEC-14.3, SPEC-14.6)

In units of ``u = 2^-precision`` a ball is a vector of integers, the middles, and one radius for all
of them, so that bounds on errors cost nothing beside the products.
"""

from collections.abc import Sequence
from math import isqrt
from operator import add, mul

from checker.ground import record
from checker.ground.decode import hexadecimal
from checker.ground.errors import require_support
from checker.ground.exact import Matrix
from checker.ground.packed import Slots
from checker.statement.model import Model

Rows = list[list[int]]


@record
class Ball:
    """The claim that every entry of a real vector is within ``radius`` of its middle."""

    middles: list[int]
    radius: int

    def top(self) -> int:
        """Return the largest absolute value of a middle."""
        return largest(self.middles)

    def plus(self, other: "Ball") -> "Ball":
        """Return a ball around the sum: middles and radii are added."""
        middles = list(map(add, self.middles, other.middles))
        return Ball(middles, self.radius + other.radius)


def largest(values: Sequence[int]) -> int:
    """Return the largest absolute value."""
    top = max(values)
    return max(top, -min(values))


def whole_bits(precision: int) -> int:
    """Return how many bits what is packed into slots may have before the point.  (SPEC-14.3)"""
    return 32 if precision >= 64 else 16


def require_small(top: int, precision: int, what: str) -> None:
    """Decline middles that have more bits before the point.  (SPEC-14.3)"""
    most = whole_bits(precision)
    fits = top >> precision + most == 0
    require_support(fits, "SPEC-14.3", f"{what} is 2^{most} or larger")


def rounded_down(matrix: Matrix, scale: int) -> Rows:
    """Return the rows over ``2^-scale``, rounded down."""
    finer = scale - matrix.scale
    left = max(finer, 0)
    right = max(-finer, 0)
    return [[value << left >> right for value in row] for row in matrix.rows]


def _beside(stacks: list[Rows], inputs: int) -> Rows:
    """Return all matrices side by side; each stack holds matrices of ``inputs`` rows one below the
    other.
    """
    found = []
    for at in range(inputs):
        rows = (row for stack in stacks for row in stack[at::inputs])
        found.append([value for row in rows for value in row])
    return found


class Affine:
    """The map x -> x W + b on balls, W and b rounded to about ``precision`` bits.  (SPEC-14.3)"""

    def __init__(
        self, model: Model, names: Sequence[str], precision: int, heads: int = 1
    ) -> None:
        """Put the named weights side by side, with their biases; each W is a stack of ``heads``
        matrices.
        """
        weights = [model.weights[name] for name in names]
        biases = [model.weights[name.replace("W_", "b_")] for name in names]
        scale = max(matrix.scale for matrix in (*weights, *biases))
        self.precision = precision
        self.inputs = len(weights[0].rows) // heads
        # s = 8 ceil(min(scale, precision) / 8): exact, unless that is less than the scale.
        self.drop = (min(scale, precision) + 7) // 8
        kept = 8 * self.drop
        self.rounded = scale > kept
        wide = _beside([rounded_down(w, kept) for w in weights], self.inputs)
        bias = _beside([rounded_down(b, kept) for b in biases], 1)[0]
        columns = zip(*wide, strict=True)
        self.norm = max(sum(map(abs, column)) for column in columns)
        # Middles are below 2^middle, and so is the factor of the bias.
        middle = precision + whole_bits(precision)
        terms = (self.norm + largest(bias)).bit_length()
        self.slots = Slots(len(bias), middle + terms, self.drop)
        self.rows = list(map(self.slots.pack, (*wide, bias)))
        self.work = (self.inputs + 1) * len(bias)

    def __call__(self, ball: Ball) -> Ball:
        """Return a ball around the images of a ball.

        Raises: Declined (SPEC-14.3) if a middle is too large.
        """
        one = 1 << self.precision
        top = ball.top()
        require_small(top, self.precision, "an activation")
        # r norm + e, with e = d (max |X| + r) + 2^precision for what W and b were rounded by.
        blur = ball.radius * self.norm
        if self.rounded:
            blur += self.inputs * (top + ball.radius) + one
        middles = self.slots.combine([*ball.middles, one], self.rows)
        # The floors of the middle and of the radius cost one each.
        return Ball(middles, (blur >> 8 * self.drop) + 2)


class Norm:
    """Layer normalisation of balls, or nothing where the model has none.  (SPEC-14.6)"""

    def __init__(self, model: Model, name: str, precision: int) -> None:
        self.precision = precision
        d = model.sizes["d_model"]
        self.weight = model.weights.get(f"{name}.w")
        bias = model.weights.get(f"{name}.b")
        self.bias = rounded_down(bias, precision)[0] if bias else []
        written = model.config.get("eps", "0x0.0p+0")
        mantissa, exponent = hexadecimal(written, "config field eps")
        # d^2 eps / u^2, rounded down.
        self.eps = mantissa * d**2 << 2 * precision >> -exponent
        self.work = 10 * d if mantissa else 0

    def __call__(self, ball: Ball) -> Ball:
        """Return a ball around the normalised vectors of a ball."""
        if not self.work:
            return ball
        normal = self._normal(ball)
        if self.weight is None:
            return normal
        (weight,) = self.weight.rows
        scale = self.weight.scale
        # The floors of the product, of the bias and of the radius cost one each.
        radius = (normal.radius * largest(weight) >> scale) + 3
        entries = zip(normal.middles, weight, self.bias, strict=True)
        return Ball([(x * w >> scale) + b for x, w, b in entries], radius)

    def _normal(self, ball: Ball) -> Ball:
        """Return ``(x - mean) / sqrt(variance + eps)``, N over R."""
        p = self.precision
        d = len(ball.middles)
        r = ball.radius
        total = sum(ball.middles)
        N = [d * value - total for value in ball.middles]
        R = isqrt(sum(map(mul, N, N)) // d + self.eps)
        spare = R - d * r
        if spare > 0:
            # What r moves, and 2 M: R is the floor of a root of a floor.
            M = largest(N)
            moved = d * r * (2 * R + M) + 2 * M
            radius = (moved << p) // (R * spare) + 2
            return Ball([(value << p) // R for value in N], radius)
        # Every entry of an image is below t.
        return Ball([0] * d, isqrt(d) + 1 << p)
