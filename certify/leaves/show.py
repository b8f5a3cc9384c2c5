"""What a proof of leaves claims of how many inputs, and which inputs it claims to be wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from certify.certificate.show import Showing, Summary, margin_of, shown
from certify.columns import Columns

NAMES = {"skip": "undecided", "either": "right or wrong"}


@dataclass(frozen=True, slots=True)
class Run:
    """A leaf: inputs that follow one another in lexicographic order, and what is claimed of
    each.
    """

    first: int
    inputs: int
    method: str
    margin: Fraction | None


def runs(summary: Summary) -> Iterator[Run]:
    """Yield the leaves of a proof."""
    first = 0
    for leaf in summary.proof["leaves"]:
        yield Run(first, int(leaf["inputs"]), str(leaf["method"]), margin_of(leaf))
        first += int(leaf["inputs"])


def tables(summary: Summary, weakest: int) -> list[Columns]:
    """Return what is claimed of how many inputs."""
    found = Columns("leaves", ("inputs are", "leaves", "inputs", "smallest margin"))
    leaves = list(runs(summary))
    for method in dict.fromkeys(run.method for run in leaves):
        chosen = [run for run in leaves if run.method == method]
        inputs = str(sum(run.inputs for run in chosen))
        margin = shown([run.margin for run in chosen])
        found.rows.append((NAMES.get(method, method), str(len(chosen)), inputs, margin))
    return [found]


def wrong(summary: Summary) -> Iterator[tuple[int, ...]]:
    """Yield the inputs that are claimed to be wrong, those without weight included, in
    lexicographic order.
    """
    domain = summary.domain
    for run in runs(summary):
        if run.method == "wrong":
            places = domain.places_between(run.first, run.first + run.inputs)
            yield from map(tuple, domain.tokens_at(places).tolist())


SHOWING = Showing(tables, wrong)
