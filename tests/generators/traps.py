"""Models whose real claim is true and whose float32 claim would be false.  (SPEC-12.6)

Each trap names one input that is right in real arithmetic and one execution that SPEC-12.1 allows,
given by the order of
its sums and its exp, in which that input is wrong.  `real` must verify, with the input counted;
`float32:any-order` must
not count it.  The certificates enumerate every input, so nothing but the arithmetic is in doubt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import make_vectors
import models
import numpy as np
import vectors_float32
from executions import Stages, chain, execute, exp_ends, exp_nearest
from float32 import Exp, Single
from models import ATTENTION, Model, config_of, filled, nearest, shapes

ETA = f"1/{2**149}"
"""The least that eta_exp may be: the traps need no more."""

FINE = Fraction(1, 2**60)
"""A weight that changes nothing but the scale over which scores and logits are exact."""

PAD = 64
BIG = 2**25


@dataclass(frozen=True)
class Trap:
    """A model, an input that is right in real arithmetic, and an execution in which it is wrong.

    ``orders``: by stage, in which order its terms are added, a bias the last of them; as they come,
    where not named.
    """

    name: str
    why: str
    model: Model
    tokens: tuple[int, ...]
    orders: Mapping[str, Sequence[int]] = field(default_factory=dict)
    exp: Exp = exp_nearest
    eps_exp: str = "1/4194304"
    eta_exp: str = ETA

    @property
    def target(self) -> int:
        """Return the right answer."""
        return max(self.tokens)

    def executed(self) -> Stages:
        """Return the execution, run."""
        return execute(self.model, np.array([self.tokens]), chain(self.orders), self.exp)

    def document(
        self, *, float32: bool, alone: bool = False, eps_exp: str | None = None
    ) -> dict[str, Any]:
        """Return a certificate of every input, or of this one ``alone``, claiming nothing yet."""
        vocab = self.model.config["d_vocab"]
        only = [[int(t == token) for t in range(vocab)] for token in self.tokens]
        made = make_vectors.document(
            self.model, make_vectors.completed(vocab, []), only if alone else None
        )
        exp = {"eps_exp": eps_exp or self.eps_exp, "eta_exp": self.eta_exp}
        return vectors_float32.claimed(made, **exp) if float32 else made


def _model(sizes: tuple[int, int, int, int, int], **tensors: Any) -> Model:
    """Return a model of so many tokens, positions, dimensions, head dimensions and answers; what is
    not given is zero.
    """
    vocab, k, d, h, outputs = sizes
    config = config_of(vocab=vocab, k=k, d_model=d, d_head=h, outputs=outputs)
    zero = {name: filled(shape, lambda: 0) for name, shape in shapes(config).items()}
    names = {name.rpartition(".")[2]: name for name in zero}
    headed = {letter + part for letter in ("W_", "b_") for part in "QKVO"} - {"b_O"}
    given = {names[name]: [value] if name in headed else value for name, value in tensors.items()}
    return Model(
        config,
        {name: value for name, value in (zero | given).items() if ".W_" in name or name in given},
    )


def _cancelling_constant() -> Trap:
    model = _model(
        (2, 1, 3, 1, 2), W_E=[[BIG, -1, BIG], [BIG, 1, BIG]], W_U=[[0, 1], [0, 1], [0, -1]]
    )
    return Trap(
        "cancelling-constant",
        "the logit is 2^25 + 1 - 2^25: added from the left, one is lost",
        model,
        (1,),
        {"logits": (0, 1, 2)},
    )


def _order_of_values() -> Trap:
    model = _model(
        (2, 1, 1, 3, 2),
        W_E=[[0], [1]],
        W_V=[[BIG, 4, -BIG]],
        W_O=[[1], [Fraction(1, 4)], [1]],
        W_U=[[0, 1]],
        b_U=[0, Fraction(-3, 2)],
    )
    return Trap(
        "order-of-values",
        "the head writes 2^25 + 1 - 2^25: right if the outer two are added first",
        model,
        (1,),
        {"output": (0, 1, 2)},
    )


SPREAD = Fraction(1, 2**10)
LOGIT = Fraction(8721812, 2**19)  # e^-LOGIT is less than 2^-24 by some 2^-18.5


def _normalisation() -> Trap:
    # The residual -1 opposes what attention writes, (1 - 100 u) times a mean of values between 1
    # and 1 + 2^-17.
    margin, more = Fraction(100, 2**24), Fraction(1, 2**17)
    model = _model(
        (1, PAD, 2, 1, 2),
        W_E=[[-1, 0]],
        W_pos=[[-more, -SPREAD]] * (PAD - 1) + [[0, 0]],
        b_Q=[1],
        W_K=[[0], [LOGIT / SPREAD]],
        W_V=[[-1], [0]],
        W_O=[[1 - margin, 0]],
        W_U=[[Fraction(-1, 2), Fraction(1, 2)], [0, 0]],
    )
    last = (PAD - 1, *range(PAD - 1))
    return Trap(
        "normalisation",
        "63 weights just below u are lost beside 1 in the sum, and each rounds up "
        "in the mean of values",
        model,
        (0,) * PAD,
        {"sum": last, "mixed": last},
    )


def _exp_underflow() -> Trap:
    model = _model(
        (2, 2, 3, 1, 2),
        W_E=[[1, 0, 0], [0, 1, 0]],
        W_Q=[[1], [0], [0]],
        W_K=[[0], [-110], [FINE]],
        W_V=[[0], [1], [0]],
        W_O=[[0, FINE, 1]],
        W_U=[[0, 0], [0, 0], [0, 1]],
    )
    return Trap(
        "exp-underflow", "the weight e^-110 decides, and the nearest float32 is zero", model, (1, 0)
    )


def _score_overflow() -> Trap:
    huge = 2**65
    model = models.pair(**{ATTENTION + "W_Q": [[[huge]]], ATTENTION + "W_K": [[[huge]]]})
    return Trap(
        "score-overflow",
        "the score 2^130 is infinite, and infinity less infinity is no number",
        model,
        (1, 1),
    )


def _score_cancellation() -> Trap:
    side = 2**15
    model = _model(
        (2, 2, 2, 4, 2),
        W_E=[[1, 0], [0, 1]],
        b_Q=[side, 1, side, 0],
        W_K=[[side, 0, -side, 0], [side, 40, -side, 0]],
        W_V=[[-2, 0, 0, 0], [1, 0, 0, 0]],
        W_O=[[0, 1], [0, 0], [0, 0], [0, 0]],
        W_U=[[0, 0], [0, 1]],
    )
    return Trap(
        "score-cancellation",
        "the score is 2^30 + 40 - 2^30: from the left it is that of every other token, "
        "and attention is uniform",
        model,
        (1, 0),
        {"score": (0, 1, 2, 3)},
    )


COARSE = Fraction(1, 2**10)


def _exp_above(d: Single) -> Single:
    """Return numbers nearly 2^-10 above e^d (relatively), and 1 for d = 0."""
    more = 1 + COARSE * Fraction(4095, 4096)
    found = [float(nearest(exp_ends(float(x))[1] * more, "F32")) if x else 1.0 for x in np.ravel(d)]
    return np.array(found, dtype=np.float32).reshape(np.shape(d))


def _inexact_exp() -> Trap:
    # e^-1 * 1391/512 is less than one by 2^-10.8, which an error of 2^-10 undoes and one of 2^-22
    # does not.
    model = _model(
        (2, 2, 3, 1, 2),
        W_E=[[1, 0, 0], [0, 1, 0]],
        b_Q=[1],
        W_K=[[-1], [0], [FINE]],
        W_V=[[Fraction(-1391, 512)], [1], [0]],
        W_O=[[FINE, 0, 1]],
        W_U=[[0, 0], [0, 0], [0, 1]],
    )
    return Trap(
        "inexact-exp",
        "the decision is finer than eps_exp = 2^-10",
        model,
        (0, 1),
        {},
        _exp_above,
        "1/1024",
    )


def _residual_absorption() -> Trap:
    model = _model(
        (2, 1, 2, 1, 2),
        W_E=[[0, 1], [1, 1]],
        W_pos=[[BIG, 0]],
        W_U=[[0, 1], [0, Fraction(-1, 2)]],
        b_U=[0, -BIG],
    )
    return Trap(
        "residual-absorption",
        "the embedding 1 is lost in the position 2^25, whatever the order of later sums",
        model,
        (1,),
    )


TRAPS = (
    _cancelling_constant(),
    _order_of_values(),
    _normalisation(),
    _exp_underflow(),
    _score_overflow(),
    _score_cancellation(),
    _inexact_exp(),
    _residual_absorption(),
)


def lucky() -> Trap:
    """Return the opposite of a trap: an input that is wrong in real arithmetic, and an execution in
    which it is right.
    """
    model = _model(
        (2, 1, 4, 1, 2),
        W_E=[[0, 0, 0, 0], [2 * BIG, 5, 2 * BIG, 6]],
        W_U=[[0, 1], [0, 1], [0, -1], [0, -1]],
    )
    return Trap(
        "lucky",
        "the logit is 2^26 + 5 - 2^26 - 6: from the left, 5 is rounded up to 8",
        model,
        (1,),
    )
