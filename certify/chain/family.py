"""The family of proofs of chains: Max-of-K, each maximum against few answers, without a table of
pairs of tokens.
"""

from __future__ import annotations

from dataclasses import replace

from certify.cells import show
from certify.cells.family import require
from certify.certificate.job import EFFORT, SEMANTICS, Strategy
from certify.certificate.show import Showing, Summary
from certify.chain.draft import draft
from certify.columns import Columns
from certify.family import Family
from certify.question.rules import MAX_OF_K

CHAIN = Strategy(
    "chain",
    "test each maximum against its neighbours alone, for models whose values move along one"
    " direction or two: near-linear; lower side only",
    "about 900 V d for d = 32: no pair of tokens is looked at",
    None,
    frozenset({EFFORT, SEMANTICS}),
)


def as_cells(summary: Summary) -> Summary:
    """Return the proof as one of cells, which it is but for what they are held against."""
    return replace(summary, proof=dict(summary.proof["chain"]))


def tables(summary: Summary, weakest: int) -> list[Columns]:
    """Return what each method claims, and the groups of which most may fail."""
    return show.tables(as_cells(summary), weakest)


FAMILY = Family(
    kind="chain",
    tasks=(MAX_OF_K,),
    strategies={CHAIN.name: CHAIN},
    usual=CHAIN.name,
    usual_for="values along one direction or two",
    require=require,
    draft=draft,
    showing=Showing(tables),
)
