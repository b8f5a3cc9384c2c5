"""The rungs of the ladder of wide models, in the rows of one head that have no published
counterpart.
"""

from __future__ import annotations

from certify.cells.rungs import BRUTE_FORCE_RUNG, COUNT, EXACT, cascade
from certify.ladder.rung import Level, Rung

EFFORTS = ("0.03", "0.1", "0.3", "3")
"""Of the cascade, besides the usual one; a greater one changes nothing."""

QUICK = (Rung("exact", "exact", (), EXACT), Rung("count", "count", (), COUNT), cascade("1"))
OTHERS = (
    *(cascade(effort) for effort in EFFORTS),
    *(
        Rung(f"count effort {effort}", "count", (("effort", effort),), COUNT)
        for effort in ("0.1", "10")
    ),
)


def rungs(level: Level) -> tuple[tuple[Rung, ...], tuple[Rung, ...]]:
    """Return the rungs to run at this level, and those to list as not run."""
    if level == "all":
        return (*QUICK, *OTHERS, BRUTE_FORCE_RUNG), ()
    return (QUICK if level == "quick" else QUICK + OTHERS), (BRUTE_FORCE_RUNG,)
