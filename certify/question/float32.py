"""The float32 semantics: what a statement assumes of exp."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from certify.errors import Unsupported
from certify.model.file import Model

NAME = "float32:any-order"
EPS_EXP, ETA_EXP = Fraction(1, 1 << 22), Fraction(1, 1 << 126)
LEAST_EPS, LEAST_ETA, MOST = Fraction(1, 1 << 25), Fraction(1, 1 << 149), Fraction(1, 1 << 6)


@dataclass(frozen=True, slots=True)
class Float32:
    """Executions in float32 with sums in any order, and an exp with |exp(d) - e^d| <= eps_exp e^d +
    eta_exp for d <= 0.

    Defaults: 2^-22, an error of two units in the last place; 2^-126, subnormal results that are
    worth nothing.
    Errors:   ``Unsupported`` for an error that the checker does not accept.
    """

    eps_exp: Fraction = EPS_EXP
    eta_exp: Fraction = ETA_EXP

    def __post_init__(self) -> None:
        if not LEAST_EPS <= self.eps_exp <= MOST:
            raise Unsupported(f"eps_exp is {self.eps_exp}, supported are 2^-25 to 1/64")
        if not LEAST_ETA <= self.eta_exp <= MOST:
            raise Unsupported(f"eta_exp is {self.eta_exp}, supported are 2^-149 to 1/64")

    def statement(self) -> dict[str, str]:
        """Return the fields of a statement."""
        return {
            key: f"{x.numerator}/{x.denominator}"
            for key, x in (("eps_exp", self.eps_exp), ("eta_exp", self.eta_exp))
        }


def require_no_float64(model: Model) -> None:
    """Refuse a model that no float32 program holds.

    Errors: ``Unsupported`` naming a tensor.
    """
    for name, tensor in model.tensors.items():
        if tensor.dtype == np.float64:
            raise Unsupported(f"{NAME}: tensor {name} is stored in float64")
