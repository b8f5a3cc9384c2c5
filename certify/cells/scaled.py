"""The path matrices in float64, in the units in which strategies reason.

Every estimate made from them only chooses hints: what it says is never a bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from certify.cells.slack import Slack
from certify.model.paths import Paths

Array: TypeAlias = NDArray[np.float64]

SLACK = 1e-9
"""A sum within this share of its largest summand counts as undecided."""

LARGEST_TRUSTED = 1e9
"""Beyond this magnitude float64 no longer resolves scores or logits to better than about 1e-6."""

LARGEST_SLACK = 100.0
"""Log-weights that may be off by more say nothing."""

EXACT = Slack()


@dataclass(frozen=True, slots=True)
class Scaled:
    """Path matrices with scores divided by sqrt(d_head); a path that is enclosed has two ends, else
    they are one array.

    ``E`` [V, V], ``EP`` [V, n] scores; ``A`` [V, V_out], ``D`` [n, V_out], ``U`` [V, V_out] logits.
    ``slack``: how far scores and logits may be off in the semantics of the claim.
    """

    E_low: Array
    E_high: Array
    EP: Array
    A_low: Array
    A_high: Array
    D: Array
    U_low: Array
    U_high: Array
    slack: Slack = EXACT

    @property
    def exact(self) -> bool:
        """Return whether no path is enclosed."""
        return self.E_low is self.E_high and self.A_low is self.A_high and self.U_low is self.U_high

    @property
    def trusted(self) -> bool:
        """Return whether float64 estimates of this model mean anything."""
        tables = (
            self.E_low,
            self.E_high,
            self.EP,
            self.A_low,
            self.A_high,
            self.D,
            self.U_low,
            self.U_high,
        )
        sane = all(
            bool(np.all(np.isfinite(t))) and float(np.abs(t).max(initial=0.0)) < LARGEST_TRUSTED
            for t in tables
        )
        return sane and self.slack.theta < LARGEST_SLACK and self.slack.bracket < LARGEST_TRUSTED


def scale(
    paths: Paths, enclosed: Mapping[str, tuple[Array, Array]] | None = None, slack: Slack = EXACT
) -> Scaled:
    """Return the path matrices in the units of the log-weights, ``enclosed`` ones (qk, ov, direct)
    with two ends.
    """
    ends = {
        "qk": (paths.EQKE,) * 2,
        "ov": (paths.EVOU,) * 2,
        "direct": (paths.EU,) * 2,
        **(enclosed or {}),
    }
    root = float(np.sqrt(paths.d_head))
    low, high = ends["qk"]
    scores_low = low / root
    scores_high = scores_low if high is low else high / root
    return Scaled(
        scores_low, scores_high, paths.EQKP / root, *ends["ov"], paths.PVOU, *ends["direct"], slack
    )
