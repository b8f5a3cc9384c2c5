"""The family of proofs of cells: Max-of-K on one layer of attention with one head."""

from __future__ import annotations

from functools import partial

from certify.cells.draft import draft
from certify.cells.enclosures import is_name, names
from certify.cells.form import FORM
from certify.cells.show import SHOWING
from certify.cells.strategies import STRATEGIES
from certify.family import Choice, Family
from certify.model.config import require_one_layer
from certify.question.tasks import MAX_OF_K

TITLES = {"qk": "QK circuit", "ov": "OV circuit", "direct": "direct path"}

FAMILY = Family(
    kind="cells",
    tasks=(MAX_OF_K.name,),
    strategies=STRATEGIES,
    usual="exact",
    usual_for="Max-of-K on one layer of attention",
    require=require_one_layer,
    draft=draft,
    showing=SHOWING,
    ladder=FORM,
    choices=tuple(
        Choice(path, TITLES[path], known, partial(is_name, path)) for path, known in names().items()
    ),
)
