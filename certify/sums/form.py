"""How the ladder of modular addition is written and tabulated.

Most rungs that certify anything certify every input, so beside the certified inputs there are
margins: one that all of them have, and one that at least half of them have.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from certify.columns import Columns
from certify.decimals import cut
from certify.ladder.climb import PROVES_NOTHING, Ladder
from certify.ladder.form import Form
from certify.model.config import Config
from certify.sums.picture import draw
from certify.sums.rungs import rungs

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

HEADS = (
    "rung",
    "operations",
    "multiplications",
    "certified",
    "smallest",
    "median",
    "bytes",
    "prover s",
    "checker s",
)


def sizes(config: Config) -> dict[str, Any]:
    """Return what a ladder's file says of the model."""
    return {
        "modulus": config.d_vocab,
        "d_model": config.d_model,
        "d_mlp": config.d_mlp,
        "attention_mix": config.mix.hex(),
    }


def details(proof: Mapping[str, Any]) -> dict[str, int | None]:
    """Return how many columns and switches a proof hints at, where it has them."""
    sums = proof.get("sums", {})
    return {
        name: len(sums[key]["rows"]) if key in sums else None
        for name, key in (("rank", "right"), ("switches", "tables"))
    }


def table(ladder: Ladder) -> Columns:
    """Return the verified rungs with their margins; what proves nothing certifies 0 inputs."""
    frontier = ladder.frontier()
    found = Columns(
        "* on the frontier: no other rung is both shorter and certifies more",
        HEADS,
        note="smallest, median: margins that all, and at least half, of the inputs proved right"
        " have",
    )
    for row in ladder.rows:
        proof, name = row.proof, row.rung.spelled()
        if row.verdict == PROVES_NOTHING:
            found.rows.append((name, "", "", f"0 to {ladder.total}", "", "", "", "", ""))
        if proof is None:
            continue
        lower, upper = str(proof.lower), str(proof.upper)
        star = " *" if (row.rung, proof) in frontier else "  "
        found.rows.append(
            (
                name,
                f"{proof.operations:,}{star}",
                f"{proof.multiplications:,}",
                lower if lower == upper else f"{lower} to {upper}",
                _margin(proof.smallest),
                _margin(proof.median),
                f"{proof.bytes:,}",
                f"{proof.prover_seconds:.1f}",
                f"{proof.checker_seconds:.1f}",
            )
        )
    return found


def _margin(margin: Fraction | None) -> str:
    return "" if margin is None else cut(*margin.as_integer_ratio(), 4)


FORM = Form(rungs, COLUMNS, sizes, draw, table, details)
