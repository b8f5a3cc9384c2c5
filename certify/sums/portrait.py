"""What the page shows of a proof of sums: the lead on every input, and the Fourier view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from certify.certificate.show import Summary
from certify.columns import Columns
from certify.question.domain import Places
from certify.question.float32 import NAME as FLOAT32
from certify.question.plain import plain_of
from certify.report.figure import (
    BLUE,
    VERMILION,
    Axis,
    Drawn,
    Map,
    canvas,
    draw_map,
    light_grid,
    svg_of,
)
from certify.report.numbers import grouped, lead
from certify.report.portrait import PLAIN, Block, Outcome, Portrait, Standing, Subject
from certify.sums.fourier import Basis, View, view_of

LISTED = 10
MOST_DRAWN = 1 << 18
"""A domain with more inputs is not drawn input by input."""
CANDIDATES = 30
MOST_NEURONS = 1024
MOST_HEADS = 4
FAINT = 0.01
"""Smaller shares of power are left blank."""
METHOD = (
    "For every question the checker bounds how far the right answer is ahead of each other one."
    " Some proofs replace a large product inside the network by a much smaller one and bound what"
    " that leaves out."
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What the checker derived of every input, in lexicographic order.

    ``counted``: the numbers of those that have a weight; nothing is known of the others.
    """

    counted: NDArray[np.int64]
    margins: Floats
    wrong: NDArray[np.bool_]
    undecided: NDArray[np.bool_]

    @property
    def right(self) -> NDArray[np.bool_]:
        """Return which inputs are proved right."""
        return ~(self.wrong | self.undecided | np.isnan(self.margins))

    @property
    def order(self) -> NDArray[np.int64]:
        """Return the inputs that count, the wrong ones first, then the undecided, then by their
        leads.
        """
        rank = np.where(self.wrong, 0, np.where(self.undecided, 1, 2))
        found: NDArray[np.int64] = self.counted[
            np.lexsort((self.margins[self.counted], rank[self.counted]))
        ]
        return found


def _inputs(subject: Subject) -> _Inputs | None:
    """Return what is known of every input, None where parts are not single inputs."""
    outcomes, sizes = subject.outcomes(), subject.question.domain.sizes
    grid = np.meshgrid(*subject.counting, indexing="ij")
    counted = np.ravel_multi_index(tuple(grid), sizes).ravel()
    if len(outcomes) != len(counted):
        return None
    inputs = subject.question.domain.inputs
    margins, wrong, undecided = (
        np.full(inputs, np.nan),
        np.zeros(inputs, bool),
        np.zeros(inputs, bool),
    )
    margins[counted] = [np.nan if one.margin is None else float(one.margin) for one in outcomes]
    wrong[counted] = [_is_wrong(one) for one in outcomes]
    undecided[counted] = [_is_undecided(one) for one in outcomes]
    return _Inputs(counted, margins, wrong, undecided)


def _is_wrong(one: Outcome) -> bool:
    return one.size > 0 and one.lower == one.size


def _is_undecided(one: Outcome) -> bool:
    return one.upper > one.lower


def weak(subject: Subject) -> list[Block]:
    """Return the map of leads, the weakest inputs and the distribution of leads."""
    known = _inputs(subject)
    if known is None:
        return []
    blocks: list[Block] = []
    if len(known.margins) <= MOST_DRAWN:
        blocks.append(_map(subject, known))
    return [*blocks, _weakest_table(subject, known), _distribution(subject, known)]


def _map(subject: Subject, known: _Inputs) -> Drawn:
    domain = subject.question.domain
    first, second = domain.operands
    shape = (len(domain.tokens[first]), len(domain.tokens[second]))
    leads = np.where(known.right, known.margins, np.nan).reshape(shape)
    marks = {}
    for number, place in enumerate(known.order[:5].tolist(), 1):
        row, column = np.unravel_index(place, shape)
        marks[int(row), int(column)] = str(number)
    names = [list(map(str, domain.values[place] or ())) for place in (first, second)]
    open_ones = len(known.counted) - int(np.count_nonzero(known.right))
    given = Map(
        leads,
        Axis("second number of the question", names[1]),
        Axis("first number of the question", names[0]),
        "lead of the right answer, at least",
        marks=marks,
        nothing="" if known.right.all() else "wrong, open, or does not count",
    )
    known_leads = known.margins[known.right]
    ends = (
        f"Leads go from {lead(known_leads.min())} to {lead(known_leads.max())}."
        if len(known_leads)
        else "No input is proved right."
    )
    return Drawn(
        "The lead on every question",
        draw_map(f"{subject.key}-map", given),
        f"Map with a square for each of {grouped(len(known.counted))} questions. {ends}"
        f" {grouped(open_ones)} are not proved right.",
        "Every square is one question. The darker it is, the further the score of the right answer"
        " is proved to be ahead of every other one. The digits mark the questions that the table"
        " lists first.",
        proved=True,
    )


def _weakest_table(subject: Subject, known: _Inputs) -> Columns:
    domain, plain = subject.question.domain, plain_of(subject.question)
    table = Columns("The weakest questions", ("", "question", "proved", "lead, at least"))
    chosen = known.order[:LISTED]
    values = domain.values_at(_places(subject, chosen))
    for number, (place, row) in enumerate(zip(chosen.tolist(), values.tolist(), strict=True), 1):
        word = "right" if known.right[place] else "wrong" if known.wrong[place] else "open"
        shown = lead(known.margins[place], 6) if word == "right" else ""
        table.rows.append((str(number), plain.asked(row), word, shown))
    return table


def _places(subject: Subject, numbers: NDArray[np.int64]) -> Places:
    sizes = subject.question.domain.sizes
    return np.stack(np.unravel_index(numbers, sizes), axis=1)


def _distribution(subject: Subject, known: _Inputs) -> Drawn:
    leads = np.sort(known.margins[known.right])
    name = f"{subject.key}-margins"
    with canvas(name, height=3.2) as (figure, axes):
        if len(leads):
            axes.hist(leads, bins=40, color=BLUE)
        axes.set_xlabel("lead of the right answer, at least")
        axes.set_ylabel("questions")
        light_grid(axes)
        svg = svg_of(figure, name)
    told = (
        f"Of the questions that are proved right, half have a proved lead of"
        f" {lead(leads[len(leads) // 2])} or more, all of them one of {lead(leads[0])} or more."
        if len(leads)
        else "No question is proved right."
    )
    return Drawn(
        "How clear the right answers are",
        svg,
        f"Histogram of proved leads. {told}",
        f"How many questions have which lead. {told}",
        proved=True,
    )


# --- inside ------------------------------------------------------------------------


def inside(subject: Subject) -> list[Block]:
    """Return the Fourier view, where values have one, and the path past the neurons."""
    view = view_of(subject.model, subject.question)
    blocks: list[Block] = []
    if view is not None:
        blocks += [_spectrum(subject, view), _neurons(subject, view)]
    return [*blocks, *_looking(subject), *_direct(subject)]


def _spectrum(subject: Subject, view: View) -> Drawn:
    basis = view.basis
    reading, writing = 100 * view.reading.mean(axis=0), 100 * view.writing.mean(axis=0)
    places = np.arange(len(basis.names))
    name = f"{subject.key}-fourier"
    with canvas(name, height=3.4) as (figure, axes):
        axes.bar(places - 0.2, reading, 0.4, color=BLUE, label="what neurons read")
        axes.bar(
            places + 0.2,
            writing,
            0.4,
            color=VERMILION,
            hatch="///",
            label="what neurons write",
        )
        step = max(1, -(-len(places) // 12))
        axes.set_xticks(places[::step], basis.names[::step])
        axes.set_xlabel(_part_label(basis))
        axes.set_ylabel("% of power, mean of neurons")
        light_grid(axes)
        figure.legend(loc="outside lower center", ncols=2, fontsize=10)
        svg = svg_of(figure, name)
    told = _main_parts(basis, reading)
    return Drawn(
        "Which waves it uses (Fourier view)",
        svg,
        f"Bar chart of the share of each {basis.what}. {told}",
        f"{_explained(basis)} {told}",
        proved=False,
    )


def _part_label(basis: Basis) -> str:
    if basis.what == "frequency":
        return "frequency: how many times round the clock"
    return "irreducible representation, by its dimension"


def _explained(basis: Basis) -> str:
    if basis.what == "frequency":
        return (
            "What a neuron does with a number, as a mixture of waves round the clock. A program"
            " that has found the clock uses few of them."
        )
    return (
        "What a neuron does with an element of the group, as a mixture of the group's irreducible"
        " representations, the waves of a group (4a and 4b are two different ones of dimension 4)."
        " A program that has found the group uses few."
    )


def _main_parts(basis: Basis, shares: Floats) -> str:
    order = [part for part in np.argsort(-shares)[:6] if shares[part] > 100 * FAINT]
    listed = ", ".join(f"{basis.names[part]} ({shares[part]:.0f} %)" for part in order)
    return f"Most of what neurons read is in {listed}." if order else "None stands out."


def _neurons(subject: Subject, view: View) -> Drawn:
    basis, reading = view.basis, view.reading[:MOST_NEURONS]
    main = reading.argmax(axis=1)
    order = np.lexsort((-reading.max(axis=1), main))
    values = np.where(reading[order] < FAINT, 0.0, 100 * reading[order])
    pure = float(np.mean(reading.max(axis=1) > 0.9))
    counts = np.bincount(main, minlength=len(basis.names))
    common = ", ".join(
        f"{counts[part]} for {basis.names[part]}"
        for part in np.argsort(-counts)[:6]
        if counts[part]
    )
    given = Map(
        values,
        Axis(_part_label(basis), basis.names),
        Axis("neurons, sorted", [str(number + 1) for number in range(len(values))]),
        "% of the neuron's power",
        zero=f"less than {100 * FAINT:g} %",
        ends=(0.0, 100.0),
    )
    told = (
        f"{100 * pure:.0f} % of the {len(values)} neurons have more than nine tenths of their power"
        f" in one {basis.what}; neurons by their main one: {common}."
    )
    return Drawn(
        "Which neuron uses which",
        draw_map(f"{subject.key}-neurons", given, height=4.6),
        f"Map of neurons by {basis.what}. {told}",
        f"Each row is a neuron. {told}",
        proved=False,
    )


def _looking(subject: Subject) -> list[Block]:
    """Return the QK circuit of the first heads at the first operand; nothing where attention is
    constant.
    """
    model, domain = subject.model, subject.question.domain
    if model.config.mix == 0:
        return []
    first, last = domain.operands[0], len(domain.tokens) - 1
    rows = model.tensor("embed.W_E"), model.tensor("pos_embed.W_pos")
    keys, queries = (rows[0][list(domain.tokens[at])] + rows[1][at] for at in (first, last))
    w_q, w_k = (model.tensor(f"blocks.0.attn.W_{letter}") for letter in "QK")
    b_q = model.bias("blocks.0.attn.b_Q")
    heads = range(min(model.config.n_heads, MOST_HEADS))
    scores = [
        (queries @ w_q[h] + b_q[h]) @ (keys @ w_k[h]).T / np.sqrt(model.config.d_head)
        for h in heads
    ]
    names = list(map(str, domain.values[first] or ()))
    across = Axis("first number", names)
    if last not in domain.operands:
        # The query is one symbol: a row for each head.
        down = Axis("head", [str(h + 1) for h in heads])
        return [_looking_map(subject, "heads", "", np.concatenate(scores), across, down)]
    down = Axis("last number", list(map(str, domain.values[last] or ())))
    return [
        _looking_map(subject, f"head{h}", f", head {h + 1}", scores[h], across, down) for h in heads
    ]


def _looking_map(
    subject: Subject, name: str, which: str, scores: Floats, across: Axis, down: Axis
) -> Drawn:
    centred = scores - scores.mean(axis=1, keepdims=True)
    given = Map(centred, across, down, "score, less row mean")
    told = (
        "How much more or less attention the first number gets, by what it is: scores spread over"
        f" {np.ptp(centred):.2f}. The less attention depends on the numbers, the more evenly both"
        " are passed on."
    )
    return Drawn(
        f"Where it looks (QK circuit{which})",
        draw_map(f"{subject.key}-{name}", given, height=4.4 if len(scores) > MOST_HEADS else 2.7),
        f"Map of {centred.shape[0]} by {centred.shape[1]} numbers. {told}",
        told,
        proved=False,
    )


def _direct(subject: Subject) -> list[Block]:
    """Return what a number adds to the answers past the neurons, by attention alone, if it does."""
    model, domain = subject.model, subject.question.domain
    embedding, unembed = model.tensor("embed.W_E"), model.tensor("unembed.W_U")
    values, outputs = (model.tensor(f"blocks.0.attn.W_{letter}") for letter in "VO")
    moved = sum((embedding @ v @ o for v, o in zip(values, outputs, strict=True)), 0.0 * embedding)
    position = domain.operands[0]
    direct = (moved @ unembed)[np.ix_(list(domain.tokens[position]), list(domain.outputs))]
    direct = direct - direct.mean(axis=1, keepdims=True)
    if not np.ptp(direct) > 0:
        return []
    given = Map(
        direct,
        Axis("answer", list(map(str, domain.answers))),
        Axis("first number", list(map(str, domain.values[position] or ()))),
        "push, row mean taken off",
    )
    told = (
        "What a number pushes straight to the answers, through attention (OV circuit) but past the"
        f" neurons: its entries spread over {np.ptp(direct):.2f}."
    )
    drawn = Drawn(
        "The path past the neurons (OV circuit, direct)",
        draw_map(f"{subject.key}-direct", given),
        f"Map of {direct.shape[0]} by {direct.shape[1]} numbers. {told}",
        told,
        proved=False,
    )
    return [drawn]


# --- single inputs -----------------------------------------------------------------


def weakest(subject: Subject) -> Places:
    """Return the inputs that are wrong, open or have the smallest proved leads."""
    known = _inputs(subject)
    if known is None:
        return np.zeros((0, len(subject.counting)), dtype=np.int64)
    places = _places(subject, known.order)
    counts = [np.isin(places[:, i], counting) for i, counting in enumerate(subject.counting)]
    return places[np.all(counts, axis=0)][:CANDIDATES]


def standing(subject: Subject, places: Places) -> list[Standing]:
    """Return what the proof says of inputs."""
    known = _inputs(subject)
    if known is None:
        return PLAIN.standing(subject, places)
    numbers = np.ravel_multi_index(tuple(places.T), subject.question.domain.sizes)
    found = []
    for number in numbers.tolist():
        right, wrong = bool(known.right[number]), bool(known.wrong[number])
        told = "Proved: wrong." if wrong else "Left open by the proof: not counted as right."
        if right:
            told = f"Proved: right, with a lead of at least {lead(known.margins[number])}."
        found.append(Standing(right=right, wrong=wrong, told=told))
    return found


def chapters(summary: Summary) -> str:
    """Return what an auditor reads for a proof of sums."""
    if summary.statement["semantics"] == FLOAT32:
        return "sums/, float32/sums.py and float32/propagation.py"
    return "sums/"


PORTRAIT = Portrait(
    weak=weak,
    inside=inside,
    weakest=weakest,
    standing=standing,
    chapters=chapters,
    method=METHOD,
)
