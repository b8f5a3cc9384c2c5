"""How the ladder of Max-of-K is written and tabulated: published rows beside ours."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from certify.cells.picture import draw
from certify.cells.published import SOURCE, references_for
from certify.cells.rungs import published_names, rungs, unexplained_dimension
from certify.columns import Columns
from certify.decimals import cut
from certify.ladder.climb import PROVES_NOTHING, Ladder, Proof, Row
from certify.ladder.form import Form
from certify.model.config import Config

COLUMNS = (
    "name",
    "group",
    "strategy",
    "options",
    "verdict",
    "reason",
    "operations",
    "correct_lower",
    "correct_upper",
    "total",
    "accuracy_lower",
    "accuracy_upper",
    "error_upper",
    "normalised",
    "unexplained_dimension",
    "bytes",
    "prover_seconds",
    "checker_seconds",
    "frontier",
)
HEADS = (
    "rung",
    "operations",
    "accuracy >=",
    "error <=",
    "normalised",
    "published",
    "bytes",
    "prover s",
    "checker s",
)


def normalised(ladder: Ladder, proof: Proof) -> float:
    """Return the certified accuracy as a share of the best upper bound known, the published way to
    compare seeds.
    """
    upper = ladder.best_upper()
    return float(Fraction(proof.lower, upper)) if upper else 0.0


def sizes(config: Config) -> dict[str, Any]:
    """Return what a ladder's file says of the model."""
    return {"k": config.n_ctx, "vocab": config.d_vocab, "d_model": config.d_model}


def more_of_row(ladder: Ladder, row: Row) -> dict[str, Any]:
    """Return what a row has besides the columns of every ladder."""
    known = {
        "unexplained_dimension": unexplained_dimension(row.rung, ladder.config),
        "published_names": list(published_names(row.rung)),
    }
    if row.proof is not None:
        known["normalised"] = normalised(ladder, row.proof)
    elif row.verdict == PROVES_NOTHING:
        known["normalised"] = 0.0
    return known


def more(ladder: Ladder) -> dict[str, Any]:
    """Return the published rows for these sizes as JSON values."""
    rows = [
        {
            "group": group,
            "normalised_mean": found.mean,
            "normalised_std": found.deviation,
            "true_accuracy": found.true_accuracy,
            "flops": None if found.flops is None else list(found.flops),
        }
        for group, found in references_for(ladder.config).items()
    ]
    return {"published": {"source": SOURCE, "rows": rows}}


def table(ladder: Ladder) -> Columns:
    """Return the verified rungs, published bounds beside ours; what proves nothing has the
    bound 0.
    """
    published = references_for(ladder.config)
    frontier, total = ladder.frontier(), ladder.total
    found = Columns("* on the frontier: no other rung is both shorter and tighter", HEADS)
    for row in ladder.rows:
        rung, proof = row.rung, row.proof
        name = f"{rung.group}\n  {rung.spelled()}"
        reference = f"{published[rung.group].mean:.3f}" if rung.group in published else ""
        if row.verdict == PROVES_NOTHING:
            bounds = (cut(0, total), f"{1:.2e}", f"{0:.6f}", reference)
            found.rows.append((name, "", *bounds, "", "", ""))
        if proof is None:
            continue
        star = " *" if (rung, proof) in frontier else "  "
        found.rows.append(
            (
                name,
                f"{proof.operations:,}{star}",
                cut(proof.lower, total),
                f"{(total - proof.lower) / total:.2e}",
                f"{normalised(ladder, proof):.6f}",
                reference,
                f"{proof.bytes:,}",
                f"{proof.prover_seconds:.1f}",
                f"{proof.checker_seconds:.1f}",
            )
        )
    return found


FORM = Form(rungs, COLUMNS, sizes, draw, table, more_of_row=more_of_row, more=more)
