"""How the ladder of a wide model is written and tabulated: as that of one head, without what is
said of published rows and of paths.
"""

from __future__ import annotations

from typing import Any

from certify.cells import form
from certify.cells.picture import draw
from certify.ladder.climb import PROVES_NOTHING, Ladder, Row
from certify.ladder.form import Form
from certify.model.config import Config
from certify.wide.rungs import rungs

COLUMNS = tuple(name for name in form.COLUMNS if name != "unexplained_dimension")


def sizes(config: Config) -> dict[str, Any]:
    """Return what a ladder's file says of the model."""
    return form.sizes(config) | {
        "heads": config.n_heads,
        "d_mlp": config.d_mlp,
        "normalization": config.normalization_type,
    }


def more_of_row(ladder: Ladder, row: Row) -> dict[str, Any]:
    """Return what a row has besides the columns of every ladder."""
    if row.proof is not None:
        return {"normalised": form.normalised(ladder, row.proof)}
    return {"normalised": 0.0} if row.verdict == PROVES_NOTHING else {}


FORM = Form(rungs, COLUMNS, sizes, draw, form.table, more_of_row=more_of_row)
