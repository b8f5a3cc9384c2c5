"""Single inputs, as a person reads them: three that are right, and the wrong or weakest ones.

Answers and leads are computed in float64; what the proof says of each input stands beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from certify.model.forward import logits
from certify.question.domain import Places
from certify.question.plain import Plain
from certify.report.portrait import Portrait, Standing, Subject

EACH = 3
TRIED = 600
SETTLED = 100_000
"""So many random inputs are looked at for right ones, so many of the weakest for those that are
proved wrong.
"""
NO_RIVAL = "no other answer"


@dataclass(frozen=True, slots=True)
class Example:
    """One input and what became of it.

    ``lead``: by how much the right answer's score is ahead of the best other one, negative if it
    is behind, where that is least.  ``rival``: that other answer.  ``leader``: the right one there.
    """

    asked: str
    answered: str
    right: str
    is_right: bool
    lead: float
    rival: str
    leader: str
    standing: Standing


@dataclass(frozen=True, slots=True)
class Examples:
    """Inputs that are answered right, and those that are wrong or nearly so."""

    right: tuple[Example, ...]
    weak: tuple[Example, ...]

    @property
    def any_wrong(self) -> bool:
        """Return whether one of the weakest is answered wrongly."""
        return any(not example.is_right for example in self.weak)


def examples_of(subject: Subject, portrait: Portrait, plain: Plain) -> Examples:
    """Return three inputs of each kind, the same for the same model and certificate.

    Cost: some thousand forward passes.
    """
    generator = np.random.default_rng(int(subject.model.sha256[:8], 16))
    tried = subject.drawn_at_random(generator, TRIED)
    candidates = np.unique(subject.kept(portrait.weakest(subject)), axis=0)
    weak_places = np.concatenate([candidates, tried])
    margins = subject.margins(weak_places)
    order = np.argsort(np.nan_to_num(margins, nan=-np.inf), kind="stable")
    ranked = weak_places[order]
    settled = np.array([one.wrong for one in portrait.standing(subject, ranked[:SETTLED])], bool)
    surely = ranked[:SETTLED][settled] if len(settled) else ranked[:0]
    weak = _different(subject, np.concatenate([surely, ranked]))
    fine = tried[margins[len(candidates) :] > 0]
    standings = portrait.standing(subject, fine)
    proved = fine[[standing.right for standing in standings]] if len(fine) else fine
    right = _different(subject, np.concatenate([proved, fine]))
    shown = [_shown(subject, portrait, plain, places) for places in (right, weak)]
    return Examples(*shown)


def _different(subject: Subject, places: Places) -> Places:
    """Return the first few inputs, no two of them with the same right answer where that can be."""
    answers = subject.question.right(places)
    chosen: list[int] = []
    seen: set[tuple[int, ...]] = set()
    for number, answer in enumerate(map(tuple, answers.tolist())):
        if answer not in seen:
            seen.add(answer)
            chosen.append(number)
        if len(chosen) == EACH:
            break
    rows = {tuple(row) for row in places[chosen].tolist()}
    for number, row in enumerate(map(tuple, places.tolist())):
        if len(chosen) == EACH:
            break
        if row not in rows:
            rows.add(row)
            chosen.append(number)
    return places[sorted(chosen)]


def _shown(
    subject: Subject, portrait: Portrait, plain: Plain, places: Places
) -> tuple[Example, ...]:
    if not len(places):
        return ()
    domain = subject.question.domain
    with np.errstate(all="ignore"):
        scores = logits(subject.model, domain.tokens_at(places), domain.read or None)
    scores = scores[:, None] if scores.ndim == 2 else scores
    answers = subject.question.right(places)
    values = domain.values_at(places)
    standings = portrait.standing(subject, places)
    stands_for = dict(zip(domain.outputs, domain.answers, strict=True))

    def spelled(outputs: Sequence[int]) -> str:
        return ", ".join(
            plain.answered(stands_for[output]) if output in stands_for else f"output {output}"
            for output in outputs
        )

    found = []
    for number, answer in enumerate(answers):
        rivals, worst = _rivals(scores[number], answer)
        own = scores[number][np.arange(len(answer)), answer]
        best = scores[number][np.arange(len(answer)), rivals]
        # A draw is not an answer: the other one stands for it.
        said = np.where(own > best, answer, rivals)
        found.append(
            Example(
                plain.asked(values[number].tolist()),
                spelled(said.tolist()),
                spelled(answer.tolist()),
                bool(np.all(own > best)),
                float(own[worst] - best[worst]),
                spelled([int(rivals[worst])]) if scores.shape[-1] > 1 else NO_RIVAL,
                spelled([int(answer[worst])]),
                standings[number],
            )
        )
    return tuple(found)


def _rivals(
    scores: NDArray[np.float64], answers: NDArray[np.int64]
) -> tuple[NDArray[np.int64], int]:
    """Return the best other output of every position that is read, and where the lead is least."""
    reads = np.arange(len(answers))
    others = scores.copy()
    others[reads, answers] = -np.inf
    leads = scores[reads, answers] - others.max(axis=-1)
    return others.argmax(axis=-1), int(np.argmin(leads))
