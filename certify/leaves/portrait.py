"""What the page shows of a proof of leaves: how many inputs are right, wrong and open."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from certify.certificate.show import Summary
from certify.columns import Columns
from certify.leaves.show import Run, runs
from certify.question.domain import Places
from certify.report.figure import VERMILION, Axis, Drawn, Map, canvas, draw_map, light_grid, svg_of
from certify.report.numbers import about, grouped, lead
from certify.report.portrait import Block, Portrait, Standing, Subject

SAMPLE = 2000
"""So many random inputs are evaluated for the distribution of leads."""
LEAST_SIDE, MOST_SIDE = 4, 512
WORDS = {
    "right": "proved right",
    "wrong": "proved wrong",
    "skip": "open: not proved right, not counted as right",
    "either": "open: not proved right, not counted as right",
}
OPEN = "Left open by the proof: not counted as right."
METHOD = (
    "The checker goes through every question, one by one, and encloses what the network computes"
    " between bounds; questions that begin alike share their work."
)


def weak(subject: Subject) -> list[Block]:
    """Return the kinds of inputs, a map where not all are right, and the distribution of leads."""
    found = list(runs(subject.summary))
    blocks: list[Block] = [_kinds(found)]
    picture = _map(subject, found)
    if picture is not None:
        blocks.append(picture)
    return [*blocks, _margins(subject)]


def _kinds(found: Sequence[Run]) -> Columns:
    table = Columns("What is proved of the questions", ("they are", "questions", "lead, at least"))
    for word in dict.fromkeys(WORDS.values()):
        chosen = [run for run in found if WORDS.get(run.method) == word]
        margins = [run.margin for run in chosen if run.margin is not None]
        shown = lead(min(margins), 6) if margins else ""
        if chosen:
            table.rows.append((word, about(sum(run.inputs for run in chosen)), shown))
    return table


def _map(subject: Subject, found: Sequence[Run]) -> Drawn | None:
    """Return where inputs that are not right lie, if some are and there are not too many: the first
    half of an input is the row, the rest the column.
    """
    sizes = subject.question.domain.sizes
    half = len(sizes) // 2
    shape = int(np.prod(sizes[:half], dtype=object)), int(np.prod(sizes[half:], dtype=object))
    fits = all(LEAST_SIDE <= side <= MOST_SIDE for side in shape)
    if not fits or all(run.method == "right" for run in found):
        return None
    values = np.zeros(shape[0] * shape[1])
    for run in found:
        if run.method != "right":
            values[run.first : run.first + run.inputs] = 1.0 if run.method == "wrong" else np.nan
    several = "the first half of a question", "the second half"
    given = Map(
        values.reshape(shape),
        Axis(several[1], _numbered(shape[1])),
        Axis(several[0], _numbered(shape[0])),
        "1: proved wrong",
        log=True,
        nothing="open",
        zero="proved right",
    )
    wrong = sum(run.inputs for run in found if run.method == "wrong")
    return Drawn(
        "Where the wrong answers are",
        draw_map(f"{subject.key}-map", given),
        f"Map with a square for each of {grouped(len(values))} questions; {grouped(wrong)} are"
        " proved wrong.",
        "Every square is one question: its row is how it begins, its column how it goes on, in the"
        " order of counting.",
        proved=True,
    )


def _numbered(many: int) -> list[str]:
    return [str(number) for number in range(many)]


def _margins(subject: Subject) -> Drawn:
    generator = np.random.default_rng(0)
    sample = subject.margins(subject.drawn_at_random(generator, SAMPLE))
    known = [run.margin for run in runs(subject.summary) if run.margin is not None]
    least = min(known, default=None)
    name = f"{subject.key}-margins"
    with canvas(name, height=3.2) as (figure, axes):
        axes.hist(sample, bins=40, color=VERMILION, hatch="//", label="sample in float64")
        if least is not None:
            axes.axvline(float(least), linestyle="-", linewidth=2, color="#0072b2")
            axes.plot(
                [], [], "-", linewidth=2, color="#0072b2", label="proved: no right one is less"
            )
        axes.set_xlabel("lead of the right answer over the next best")
        axes.set_ylabel(f"questions of {SAMPLE}")
        light_grid(axes)
        figure.legend(loc="outside lower center", ncols=2, fontsize=10)
        svg = svg_of(figure, name)
    told = _told(least, sample)
    return Drawn("How clear the right answers are", svg, f"Histogram. {told}", told, proved=False)


def _told(least: Fraction | None, sample: NDArray[np.float64]) -> str:
    middle = f"In a sample, half of the questions have a lead of {np.median(sample):.2f} or more."
    if least is None:
        return f"{middle} The proof shows no lead."
    return f"The proof shows a lead of at least {lead(least)} wherever it shows one. {middle}"


def weakest(subject: Subject) -> Places:
    """Return inputs that are wrong or open, and those of the runs with the smallest lead."""
    ranked = sorted(runs(subject.summary), key=_rank)
    domain, left = subject.question.domain, SAMPLE
    found = []
    for run in ranked:
        many = min(run.inputs, left)
        if many <= 0:
            break
        # Spread over the run, which may be the whole domain.
        numbers = [run.first + run.inputs * step // many for step in range(many)]
        found.append(np.concatenate([domain.places_between(n, n + 1) for n in numbers]))
        left -= many
    places = np.concatenate(found)
    counts = [np.isin(places[:, i], counting) for i, counting in enumerate(subject.counting)]
    return places[np.all(counts, axis=0)]


def _rank(run: Run) -> tuple[int, Fraction]:
    kind = {"wrong": 0, "either": 1, "skip": 2}.get(run.method, 3)
    return kind, run.margin or Fraction(0)


def standing(subject: Subject, places: Places) -> list[Standing]:
    """Return what the proof says of inputs."""
    found = list(runs(subject.summary))
    if not len(places):
        return []
    starts = np.array([run.first for run in found])
    numbers = np.ravel_multi_index(tuple(places.T), subject.question.domain.sizes)
    chosen = [found[at] for at in (np.searchsorted(starts, numbers, side="right") - 1).tolist()]
    return [_standing(run) for run in chosen]


def _standing(run: Run) -> Standing:
    told = f"Proved: {run.method}." if run.method in ("right", "wrong") else OPEN
    if run.method == "right" and run.margin is not None:
        told = f"Proved: right, with a lead of at least {lead(run.margin)}."
    return Standing(right=run.method == "right", wrong=run.method == "wrong", told=told)


def chapters(summary: Summary) -> str:
    """Return what an auditor reads for a proof of leaves."""
    return "leaves/"


PORTRAIT = Portrait(
    weak=weak,
    weakest=weakest,
    standing=standing,
    chapters=chapters,
    method=METHOD,
)
