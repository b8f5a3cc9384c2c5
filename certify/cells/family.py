"""The family of proofs of cells: Max-of-K on one layer of attention with one head."""

from __future__ import annotations

from functools import partial

from certify.cells.draft import draft
from certify.cells.enclosures import is_name, names
from certify.cells.form import FORM
from certify.cells.numbering import numbering_of
from certify.cells.portrait import PORTRAIT
from certify.cells.show import SHOWING
from certify.cells.strategies import STRATEGIES
from certify.family import Choice, Family
from certify.model.config import Config, require_one_layer
from certify.question.question import Question
from certify.question.rules import MAX_OF_K

TITLES = {"qk": "QK circuit", "ov": "OV circuit", "direct": "direct path"}


def require(config: Config, question: Question, origin: str) -> None:
    """Refuse an architecture or a domain that cells are not proved for.

    Errors: ``Unsupported``, one line.
    """
    require_one_layer(config, origin)
    numbering_of(question.domain, config.d_vocab_out)


FAMILY = Family(
    kind="cells",
    tasks=(MAX_OF_K,),
    strategies=STRATEGIES,
    usual="exact",
    usual_for="Max-of-K on one layer of attention",
    require=require,
    draft=draft,
    conditional=True,
    showing=SHOWING,
    ladder=FORM,
    portrait=PORTRAIT,
    choices=tuple(
        Choice(path, TITLES[path], known, partial(is_name, path)) for path, known in names().items()
    ),
)
