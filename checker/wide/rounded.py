"""Layer norm in float32: how far the computed row may be from the exact one.  (SPEC-16.14)

The names of SPEC-16.14 stand beside the lines that form them.
"""

from dataclasses import replace
from fractions import Fraction
from math import isqrt

from checker.float32.propagation import (
    LARGEST,
    TINY,
    ZERO,
    Computed,
    LogitDrift,
    apart,
    ceiling,
    frobenius,
    gamma,
    logit_norms,
    residual,
    shortened,
)
from checker.ground import record
from checker.ground.decode import hexadecimal
from checker.ground.errors import require_support
from checker.ground.exact import Matrix, plus, rescale
from checker.ground.ledger import Ledger
from checker.ground.norms import squares
from checker.statement.model import Model
from checker.wide.final import Final
from checker.wide.norm import (
    NORM_SCALE,
    centred_rows,
    deviation,
    norm_row,
    scaled_rows,
)

LEAST_EPS = Fraction(1, 1 << 60)


def root_above(value: int) -> Fraction:
    """Return no less than the square root, by at most 2^-64."""
    return Fraction(isqrt(value << 128) + 1, 1 << 64)


@record
class Normalisation:
    """One normalisation: d, sqrt(d) rounded up, eps, max |w| and |b|."""

    width: int
    root: Fraction
    eps: Fraction
    factor: Fraction
    shift: Fraction

    @property
    def norm(self) -> Fraction:
        """Return N, a bound on the norm of an exact row."""
        return self.factor * self.root + self.shift

    def centring(self, x: Computed) -> Fraction:
        """Return e_c, the error of the centred row.

        Raises: Declined (SPEC-16.14) if a square might overflow.
        """
        d = self.width
        e_c = shortened(x.error + gamma(d + 4) * x.reached + TINY)
        square = (x.norm + e_c) ** 2 + self.eps
        require_support(square < LARGEST, "SPEC-16.14", "a square might overflow")
        return e_c

    def row(self, moved: Fraction) -> Computed:
        """Return N and e_m; ``moved``: v, what the error of the centred row moves."""
        root = self.root
        # squares, scaling, eps and the sum; root, reciprocal and product
        e_n = moved + gamma(self.width + 8) * root + TINY
        scaled = self.factor * (root + e_n)
        rounded = gamma(2) * (scaled + self.shift) + TINY
        return Computed(self.norm, shortened(self.factor * e_n + rounded))


def normalisation(model: Model, name: str, ledger: Ledger) -> Normalisation:
    """Return the normalisation with this name.

    Raises: Declined (SPEC-16.14) if eps is so small that underflow of squares would matter.
    Cost:   a norm, and a comparison per entry of w.
    """
    mantissa, exponent = hexadecimal(model.config["eps"], "config field eps")
    eps = Fraction(mantissa << max(exponent, 0), 1 << max(-exponent, 0))
    require_support(eps >= LEAST_EPS, "SPEC-16.14", "config field eps is below 2^-60")
    w = norm_row(model, f"{name}.w", 1)
    b = norm_row(model, f"{name}.b", 0)
    width = model.sizes["d_model"]
    ledger.charge(cmp=width)
    fine = rescale(w, max(w.scale, 0), ledger)
    factor = Fraction(max(map(abs, fine.rows[0])), 1 << fine.scale)
    shift = frobenius(b, ledger)
    return Normalisation(width, root_above(width), eps, factor, shift)


def least_deviation(model: Model, ledger: Ledger) -> Fraction:
    """Return sigma_min, rounded down.

    Cost: for every position an addition, two operations of centring and two of a norm per entry of
          W_E, and a comparison per row.
    """
    embed = model.weights["embed.W_E"]
    positions = model.weights["pos_embed.W_pos"]
    own = deviation(model)
    found = []
    for row in positions.rows:
        rows = plus(embed, Matrix((row,), positions.scale), ledger)
        centred = centred_rows(rows, ledger)
        ledger.charge(cmp=len(rows.rows))
        low, _ = own.ends(min(squares(centred, ledger)), centred.scale)
        found.append(low)
    return Fraction(min(found), own.width << NORM_SCALE)


def read_rows(model: Model, R: Fraction, ledger: Ledger) -> Computed:
    """Return the norm and the error of the rows that attention reads.

    Raises: Declined (SPEC-16.14) if a row might be nearly constant, or a square overflow.
    """
    own = normalisation(model, "blocks.0.ln1", ledger)
    e_c = own.centring(residual(R))
    # e_c / sqrt(d), rounded up
    apart_by = Fraction(e_c * own.root, own.width)
    least = least_deviation(model, ledger) - apart_by
    require_support(least > 0, "SPEC-16.14", "a row might be constant but for rounding")
    return own.row(Fraction(e_c, least))


def through_norm(
    model: Model,
    y: Computed,
    final: Final,
    ledger: Ledger,
) -> tuple[LogitDrift, Final]:
    """Return B of the sum of SPEC-16.10 where the final norm reads y, and that norm with no less
    than S' as its upper end.

    Raises: Declined (SPEC-16.14) if a square might overflow.
    Cost:   norms; a multiplication per entry of W_U; comparisons of beta.
    """
    unembed = model.weights["unembed.W_U"]
    own = normalisation(model, "ln_final", ledger)
    logits = logit_norms(unembed, model.weights["unembed.b_U"], ledger)
    e_c = own.centring(y)
    m = own.row(ZERO)
    P = m.error * apart(unembed, ledger) + 2 * logits.rounding(m.reached)
    factors = norm_row(model, "ln_final.w", 1)
    L_w = apart(scaled_rows(unembed, factors, ledger), ledger)
    ledger.charge(cmp=2 * len(final.beta_low))
    V = Fraction(max(final.beta_high) - min(final.beta_low), 1 << NORM_SCALE)
    least, most = final.ends
    wider = own.root * e_c  # sqrt(d) e_c
    most += ceiling(wider, NORM_SCALE)
    # the rounding of logits, S' times
    rounded = Fraction(most, 1 << NORM_SCALE) * P
    B = own.width * e_c * L_w + wider * V + rounded
    reached = [m.reached, logits.reach(m.reached)]
    return LogitDrift(B, reached), replace(final, ends=(least, most))
