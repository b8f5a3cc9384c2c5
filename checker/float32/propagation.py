"""What an allowed float32 execution may do to products, attention weights and neurons, bounded by
norms.  (SPEC-12.2)

Everything here is an upper bound.  Norms are rounded up to multiples of 2^-48; the other numbers
are fractions, rounded up where they would grow long.
Not done here: nothing follows the rounding of single terms; one bound serves all inputs.
"""

from fractions import Fraction
from math import isqrt

from checker.ground import record
from checker.ground.exact import Matrix, transposed
from checker.ground.ledger import Ledger
from checker.ground.norms import TABLE_SCALE, centred, root_up, squares

ZERO = Fraction(0)
UNIT = Fraction(1, 1 << 24)
"""u: a rounding moves a number by at most so much of it.  (SPEC-12.1)"""
TINY = Fraction(1, 1 << 100)
"""t: more than all that a sum of products loses by underflow.  (SPEC-12.2)"""
SHORT_BITS = 96
LARGEST = 1 << 126
"""What stays below this does not overflow.  (SPEC-12.3, SPEC-13.7)"""


def gamma(k: int) -> Fraction:
    """Return gamma_k = k u / (1 - k u)."""
    return Fraction(k, (1 << 24) - k)


def ceiling(value: Fraction, scale: int) -> int:
    """Return ``value`` over 2^-scale, rounded up."""
    return -(-(value.numerator << scale) // value.denominator)


def shortened(value: Fraction) -> Fraction:
    """Return ``value`` rounded up to a multiple of 2^-96."""
    return Fraction(ceiling(value, SHORT_BITS), 1 << SHORT_BITS)


# --- norms ------------------------------------------------------------------------


def row_norms(a: Matrix, ledger: Ledger) -> list[Fraction]:
    """Return upper bounds on the Euclidean norms of the rows.

    Cost: a multiplication and an addition per entry.
    """
    roots = (root_up(value, 2 * a.scale, 1) for value in squares(a, ledger))
    return [Fraction(root, 1 << TABLE_SCALE) for root in roots]


def largest_norm(a: Matrix, ledger: Ledger) -> Fraction:
    """Return an upper bound on the norm of every row.

    Cost: that of the norms; comparing them is charged by the caller.
    """
    return max(row_norms(a, ledger))


def frobenius(a: Matrix, ledger: Ledger) -> Fraction:
    """Return an upper bound on the Frobenius norm.

    Cost: a multiplication and an addition per entry, an addition per row.
    """
    ledger.charge(add=len(a.rows))
    root = root_up(sum(squares(a, ledger)), 2 * a.scale, 1)
    return Fraction(root, 1 << TABLE_SCALE)


def apart(a: Matrix, ledger: Ledger) -> Fraction:
    """Return a bound on the norm of the difference of two columns.

    Sound because both are so far from any one vector, here their rounded mean, and twice the
    larger distance is at least the sum of the two.
    Cost: centring, norms.
    """
    return 2 * largest_norm(transposed(centred(a, ledger)), ledger)


# --- errors -----------------------------------------------------------------------


@record
class Computed:
    """A vector that a program computes: bounds on the norm of the exact one, and of the error."""

    norm: Fraction
    error: Fraction = ZERO

    @property
    def reached(self) -> Fraction:
        """Return a bound on the norm of what is computed."""
        return self.norm + self.error


def residual(norm: Fraction) -> Computed:
    """Return the sum of two rows of float32 numbers: it is rounded once.  (SPEC-12.1)"""
    return Computed(norm, UNIT * norm)


@record
class AffineNorms:
    """A map ``x -> x W + b``: how many terms each sum has, and bounds on ``|W|`` and ``|b|``."""

    terms: int
    weight: Fraction
    bias: Fraction

    def with_term(self, norm: Fraction) -> "AffineNorms":
        """Return the map with one term more in each sum, of a vector of this norm."""
        return AffineNorms(self.terms + 1, self.weight, self.bias + norm)

    def reach(self, norm: Fraction) -> Fraction:
        """Return a bound on the norm of the image of a vector of this norm."""
        return norm * self.weight + self.bias

    def rounding(self, norm: Fraction) -> Fraction:
        """Return how far rounding moves the image of a computed vector of this norm."""
        return gamma(self.terms) * self.reach(norm) + TINY

    def error(self, x: Computed) -> Fraction:
        """Return A(x, e, W, b), the error of the computed image.  (SPEC-12.2)"""
        return shortened(x.error * self.weight + self.rounding(x.reached))

    def image(self, x: Computed) -> Computed:
        """Return the computed image."""
        return Computed(self.reach(x.norm), self.error(x))


def affine_norms(weight: Matrix, bias: Matrix, ledger: Ledger) -> AffineNorms:
    """Return the norms of a map; the bias is one more product.

    Cost: that of two Frobenius norms.
    """
    terms = len(weight.rows) + 1
    return AffineNorms(terms, frobenius(weight, ledger), frobenius(bias, ledger))


def logit_norms(unembed: Matrix, bias: Matrix, ledger: Ledger) -> AffineNorms:
    """Return the norms of the map to one logit: U, the largest of a column, and ``|b_U|``.

    Cost: norms; comparing them is charged by the caller.
    """
    largest = largest_norm(transposed(unembed), ledger)
    return AffineNorms(len(unembed.rows) + 1, largest, frobenius(bias, ledger))


@record
class ScoreErrors:
    """What may become of scores.  (SPEC-12.3)

    ``theta``: a bound on the logarithm of a weight's relative error.
    ``reached``: ``(Q + e_q)(K + e_k)`` and ``2 (Q K + D)``.
    """

    theta: Fraction
    reached: tuple[Fraction, Fraction]


def score_errors(
    query: Computed, key: Computed, d_head: int, eps_exp: Fraction
) -> ScoreErrors:
    """Return D and theta as bounds on all scores.  (SPEC-12.3)"""
    # 1 / sqrt(h), rounded up.
    down = Fraction(1 << 64, isqrt(d_head << 128))
    dots = query.norm * key.norm
    reached = query.reached * key.reached
    moved = query.norm * key.error + query.error * key.norm + query.error * key.error
    # D: the sum of h products, and at most four roundings of the scaling.
    error = shortened((moved + gamma(d_head + 4) * reached) * down + TINY)
    # Half of what the subtraction of the largest score may round.
    subtracted = UNIT * (dots * down + error)
    inexact = eps_exp + UNIT
    theta = error + 2 * subtracted + shortened(Fraction(inexact, 1 - inexact))
    return ScoreErrors(theta, (reached, 2 * (dots + error)))


def kappa_of(n: int) -> Fraction:
    """Return kappa, how far computed weights of n tokens may sum from one.
    (SPEC-12.3, SPEC-13.7)
    """
    return shortened(Fraction((1 + UNIT) ** 2, 1 - gamma(n))) - 1 + TINY


# --- neurons ----------------------------------------------------------------------


@record
class LogitDrift:
    """B, how far a difference of two logits may be off, and what is reached on the way."""

    bound: Fraction
    reached: list[Fraction]


def through_neurons(
    w: dict[str, Matrix],
    reading: AffineNorms,
    y: Computed,
    P: Fraction,
    M: Matrix,
    ledger: Ledger,
) -> LogitDrift:
    """Return B of a model whose MLP reads y.  (SPEC-13.7, SPEC-16.13)

    ``reading``: W_in and b_in; ``P``: a bound on what is read; ``M`` is W_out W_U.
    Cost: norms of weights, and of the columns of W_U and M twice, once centred.
    """
    # g: max(., 0) moves no entry further than e_p
    g = Computed(P, reading.error(y))
    # f: b_out and the computed y are two more terms, gamma_{m+2}
    writing = affine_norms(w["W_out"], w["b_out"], ledger).with_term(y.reached)
    f = writing.image(Computed(g.reached))
    logits = logit_norms(w["W_U"], w["b_U"], ledger)
    B = (
        g.error * apart(M, ledger)
        + (y.error + f.error) * apart(w["W_U"], ledger)
        + 2 * logits.error(Computed(f.reached))
    )
    into_neurons = reading.reach(y.reached)
    reached = [into_neurons, g.reached, f.reached, logits.reach(f.reached)]
    return LogitDrift(B, reached)
