"""The family of proofs of sums: modular addition with one layer and a ReLU MLP."""

from __future__ import annotations

from certify.certificate.show import Showing, Summary
from certify.columns import Columns
from certify.errors import Unsupported
from certify.family import Family
from certify.model.config import Config
from certify.question.question import Question
from certify.question.rules import MODULAR_ADDITION
from certify.sums.draft import draft
from certify.sums.form import FORM
from certify.sums.strategies import STRATEGIES


def require(config: Config, question: Question, origin: str) -> None:
    """Refuse an architecture that sums are not proved for.

    Errors: ``Unsupported``, one line naming the field and what is supported.
    """
    due: dict[str, tuple[object, ...]] = {
        "n_layers": (1,),
        "attn_only": (False,),
        "act_fn": ("relu",),
        "readout": (None, "last"),
        "normalization_type": (None,),
    }
    for name, values in due.items():
        if getattr(config, name) not in values:
            raise Unsupported(
                f"proofs of modular addition do not support config field {name}: supported is one"
                " layer, two tokens, attention and a ReLU MLP, no normalisation, readout last"
            )


def tables(summary: Summary, weakest: int) -> list[Columns]:
    """Return an empty table: a proof of sums has no groups."""
    return [Columns("groups", ("method", "groups", "possible failures", "smallest margin"))]


FAMILY = Family(
    kind="sums",
    tasks=(MODULAR_ADDITION,),
    strategies=STRATEGIES,
    usual="low-rank",
    usual_for="modular addition with one ReLU layer",
    require=require,
    draft=draft,
    showing=Showing(tables),
    ladder=FORM,
    title="modular-addition: m neurons, rank R",
    cost="main loop of the checker",
)
