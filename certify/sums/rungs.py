"""The rungs of the ladder of modular addition."""

from __future__ import annotations

from certify.ladder.rung import Level, Rung

BRUTE_FORCE, LOW_RANK, OWN_FREQUENCY, QUADRATURE = (
    "brute-force",
    "low-rank",
    "own-frequency",
    "quadrature",
)
EXHAUSTIVE, OTHER_RANKS, OTHER_PHASES = (
    "exhaustive",
    "low-rank, other ranks",
    "quadrature, other phases",
)
QUICK = tuple(
    Rung(name, name, (), name) for name in (BRUTE_FORCE, LOW_RANK, OWN_FREQUENCY, QUADRATURE)
)
OTHERS = tuple(
    Rung(f"{strategy} effort {effort}", strategy, (("effort", effort),), group)
    for strategy, group, efforts in (
        (LOW_RANK, OTHER_RANKS, ("0.5", "0.8", "1.5", "2", "3")),
        (QUADRATURE, OTHER_PHASES, ("0.1", "0.2", "4")),
    )
    for effort in efforts
)
EXHAUSTIVE_RUNG = Rung(EXHAUSTIVE, EXHAUSTIVE, (), EXHAUSTIVE)
GROUPS = (BRUTE_FORCE, LOW_RANK, OTHER_RANKS, OWN_FREQUENCY, QUADRATURE, OTHER_PHASES, EXHAUSTIVE)


def rungs(level: Level) -> tuple[tuple[Rung, ...], tuple[Rung, ...]]:
    """Return the rungs to run at this level, and those to list as not run."""
    if level == "all":
        return (*QUICK, *OTHERS, EXHAUSTIVE_RUNG), ()
    return (QUICK if level == "quick" else QUICK + OTHERS), (EXHAUSTIVE_RUNG,)
