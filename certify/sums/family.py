"""The family of proofs of sums: two operands, one layer and a ReLU MLP."""

from __future__ import annotations

from certify.certificate.show import Showing, Summary
from certify.columns import Columns
from certify.errors import Unsupported
from certify.family import Family
from certify.model.config import Config
from certify.question.question import TABLE, Question
from certify.question.rules import GROUP, MODULAR_ADDITION, POLYNOMIAL
from certify.sums.draft import draft
from certify.sums.form import FORM
from certify.sums.portrait import PORTRAIT
from certify.sums.strategies import STRATEGIES


def require(config: Config, question: Question, origin: str) -> None:
    """Refuse an architecture or a domain that sums are not proved for.

    Errors: ``Unsupported``, one line naming the field, or the option, and what is supported.
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
                f"proofs of sums do not support config field {name}: supported is one layer,"
                " attention and a ReLU MLP, no normalisation, readout last"
            )
    if len(question.domain.operands) != 2:
        raise Unsupported(
            "proofs of sums need two operands, any other position as context (--domain)"
        )
    if question.domain.read != (config.n_ctx - 1,):
        raise Unsupported("proofs of sums need the last position read, and no other (--read)")
    if config.d_vocab_out < 2:
        raise Unsupported("proofs of sums need a wrong output: config field d_vocab_out is 1")


def tables(summary: Summary, weakest: int) -> list[Columns]:
    """Return an empty table: a proof of sums has no groups."""
    return [Columns("groups", ("method", "groups", "possible failures", "smallest margin"))]


FAMILY = Family(
    kind="sums",
    tasks=(MODULAR_ADDITION, POLYNOMIAL, GROUP, TABLE),
    strategies=STRATEGIES,
    usual="low-rank",
    usual_for="two operands with one ReLU layer",
    require=require,
    draft=draft,
    showing=Showing(tables),
    ladder=FORM,
    portrait=PORTRAIT,
    title="two operands: m neurons, rank R",
    cost="main loop of the checker",
)
