"""The ladder of modular addition: its rungs, and what its files say.

Most rungs that certify anything certify every input, so beside the certified inputs there are
margins: one that all
of them have, and one that at least half of them have.
"""

from __future__ import annotations

import json
from typing import Any

from certify.ladder.climb import Ladder
from certify.ladder.file import csv_of, row_facts, subject
from certify.ladder.rung import Level, Rung
from certify.leaves.draft import STRATEGY
from certify.sums.draft import TASK

BRUTE_FORCE, LOW_RANK, OWN_FREQUENCY, QUADRATURE = (
    "brute-force",
    "low-rank",
    "own-frequency",
    "quadrature",
)
EXHAUSTIVE, OTHER_RANKS, OTHER_PHASES = (
    STRATEGY,
    "low-rank, other ranks",
    "quadrature, other phases",
)
COLUMNS = (
    "name",
    "group",
    "strategy",
    "options",
    "verdict",
    "reason",
    "operations",
    "multiplications",
    "correct_lower",
    "correct_upper",
    "total",
    "accuracy_lower",
    "accuracy_upper",
    "smallest_margin",
    "median_margin",
    "rank",
    "switches",
    "bytes",
    "prover_seconds",
    "checker_seconds",
    "processor_seconds",
    "frontier",
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


def facts(ladder: Ladder) -> dict[str, Any]:
    """Return the ladder as JSON values; exact integers that may be large are strings."""
    config = ladder.config
    sizes = {
        "modulus": config.d_vocab,
        "d_model": config.d_model,
        "d_mlp": config.d_mlp,
        "attention_mix": config.mix.hex(),
    }
    return {
        **subject(ladder, sizes),
        "rows": [row_facts(ladder, row, COLUMNS) for row in ladder.rows],
    }


def as_json(ladder: Ladder) -> bytes:
    """Return the ladder as a JSON file."""
    return json.dumps(facts(ladder), indent=1).encode("ascii") + b"\n"


def as_csv(ladder: Ladder) -> bytes:
    """Return the rows as a CSV file, one line each, what is not known left empty."""
    return csv_of(ladder, COLUMNS, facts(ladder)["rows"])


def title(ladder: Ladder) -> str:
    """Return what the ladder is about, for a reader."""
    mix = ladder.config.mix
    attention = {0.0: "constant attention", 1.0: "softmax attention"}.get(
        mix, f"attention mix {mix:g}"
    )
    return f"{TASK}, modulus {ladder.config.d_vocab}, {attention}, model {ladder.model_sha256[:12]}"
