"""What a family of proofs can show of a proof that was verified."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from certify.certificate.client import Verdict
from certify.certificate.show import Summary
from certify.columns import Columns
from certify.model.file import Model
from certify.model.forward import batch_size
from certify.question.domain import Places
from certify.question.question import Question
from certify.question.scope import Scope
from certify.report.figure import Drawn

Block: TypeAlias = Drawn | Columns
"""A figure or a table of the page."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the checker derived for one part of a proof, in the order of ``--json``: failures at
    least and at most, its size, and a margin of the inputs that do not fail.
    """

    lower: int
    upper: int
    size: int
    margin: Fraction | None


TRIES = 20
"""So many more inputs are drawn where a condition leaves some out."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A proof that the checker verified, and what it is about.

    ``key``:      a word for identifiers, different for each subject of a page.
    ``counting``: per position the places that count, those of weight 0 left out.
    ``scope``:    the condition that inputs have to fulfil, if there is one.
    ``outcomes``: what the checker derives of each part: another run of it, once.
    """

    key: str
    model: Model
    question: Question
    summary: Summary
    verdict: Verdict
    counting: tuple[NDArray[np.int64], ...]
    scope: Scope
    outcomes: Callable[[], Sequence[Outcome]]

    def drawn_at_random(self, generator: np.random.Generator, many: int) -> Places:
        """Return random inputs of those that count, [many, n_ctx]; fewer where they are rare."""
        tries = many if not self.scope.conditional else many * TRIES
        columns = [generator.choice(places, size=tries) for places in self.counting]
        return self.kept(np.stack(columns, axis=1))[:many]

    def kept(self, places: Places) -> Places:
        """Return the inputs that fulfil the condition of the scope."""
        return places[self.scope.holds(places, self.question.domain)]

    def margins(self, places: Places) -> NDArray[np.float64]:
        """Return margins in float64, which prove nothing, a batch at a time."""
        size = min(8192, batch_size(self.model))
        batches = [places[start : start + size] for start in range(0, len(places), size)]
        with np.errstate(all="ignore"):
            found = [self.question.margins(self.model, batch) for batch in batches]
        return np.concatenate(found) if found else np.zeros(0)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a proof says of one input: that it is right, that it is wrong, or nothing by itself."""

    right: bool
    wrong: bool
    told: str


@dataclass(frozen=True, slots=True)
class Published:
    """A published result, drawn beside proofs: accuracy, its spread, a range of lengths."""

    name: str
    accuracy: float
    deviation: float
    lengths: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Reference:
    """Published results for proofs of the same size, where they are from and how far they
    compare.
    """

    rows: tuple[Published, ...]
    source: str
    caveat: str


def _no_blocks(subject: Subject) -> list[Block]:
    return []


def _no_places(subject: Subject) -> Places:
    return np.zeros((0, len(subject.counting)), dtype=np.int64)


def _no_standing(subject: Subject, places: Places) -> list[Standing]:
    told = "The proof is about how many are right, not about this one."
    return [Standing(right=False, wrong=False, told=told)] * len(places)


def _no_reference(subject: Subject) -> Reference | None:
    return None


def _whole_checker(summary: Summary) -> str:
    return "everything in the folder checker/"


@dataclass(frozen=True, slots=True)
class Portrait:
    """What one family shows on the page.

    ``weak``:     where the model is weak, from what was verified.
    ``inside``:   how the model does it: computed in float64, for illustration.
    ``weakest``:  inputs among which to look for wrong and weak ones, by places, [batch, n_ctx].
    ``standing``: what the proof says of each of these inputs.
    ``reference``: published results for the same sizes.
    ``chapters``: which parts of the checker an auditor has to read for such a proof.
    ``method``:   how such a proof works, a sentence or two for anybody.
    """

    weak: Callable[[Subject], list[Block]] = _no_blocks
    inside: Callable[[Subject], list[Block]] = _no_blocks
    weakest: Callable[[Subject], Places] = _no_places
    standing: Callable[[Subject, Places], list[Standing]] = _no_standing
    reference: Callable[[Subject], Reference | None] = _no_reference
    chapters: Callable[[Summary], str] = _whole_checker
    method: str = ""


PLAIN = Portrait()
"""Words and examples only."""
