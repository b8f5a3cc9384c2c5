"""What the page shows of a proof of cells: groups by last and largest number, path matrices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from certify.cells.numbering import Numbering, numbering_of
from certify.cells.published import SOURCE, references
from certify.cells.show import Group, groups, sizes_of
from certify.certificate.show import Summary
from certify.columns import Columns
from certify.model.paths import decompose
from certify.question.domain import Domain, Places
from certify.question.float32 import NAME as FLOAT32
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
from certify.report.numbers import about, at_most, grouped, percent_down, percent_up
from certify.report.portrait import Block, Portrait, Published, Reference, Standing, Subject

MARKED = 5
LISTED = 10
SEARCHED, EACH = 12, 5000
"""So many groups are searched for wrong inputs, so many random inputs in each."""
SAMPLE = 20_000
FAINTEST = 1e-4
"""Smaller percentages have the same colour."""
UNSETTLED = "Not settled by the proof one by one: not counted as right."
METHOD = (
    "The questions are sorted into groups by their largest and their last number. For each group"
    " the checker computes the worst that can happen, once for all questions in it; only where that"
    " is not good enough are questions counted one by one."
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Part:
    """A group of the proof with its size, and the queries that it is about by place."""

    group: Group
    size: int
    queries: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Parts:
    """All groups of a proof, also by their maximum, how places are numbered, and what a place
    stands for.
    """

    numbering: Numbering
    found: tuple[_Part, ...]
    by_maximum: dict[int, list[_Part]]
    names: tuple[str, ...]

    def at(self, maximum: int, query: int) -> list[_Part]:
        """Return the groups that the inputs with this maximum and query may be in."""
        return [part for part in self.by_maximum.get(maximum, []) if query in part.queries]


def _parts(summary: Summary) -> _Parts:
    domain = summary.domain
    numbering = numbering_of(domain, summary.config.d_vocab_out)
    size_of = sizes_of(summary)
    found = [
        _Part(group, size_of(group.maximum, group.queries), frozenset(group.tokens))
        for group in groups(summary)
    ]
    by_maximum: dict[int, list[_Part]] = {}
    for part in found:
        by_maximum.setdefault(part.group.maximum, []).append(part)
    return _Parts(numbering, tuple(found), by_maximum, _names(domain, numbering))


def _names(domain: Domain, numbering: Numbering) -> tuple[str, ...]:
    """Return what each place stands for: context symbols, then the values of operands."""
    values = domain.values[domain.operands[0]] or ()
    context = (f"={token}" for token in numbering.tokens[: numbering.context])
    return (*context, *map(str, values))


def weak(subject: Subject) -> list[Block]:
    """Return the map of what may fail, the weakest groups, and the distribution of margins."""
    parts = _parts(subject.summary)
    ranked = _ranked(parts)
    blocks: list[Block] = []
    if len(parts.numbering.asked) > 1:
        blocks.append(_map(subject, parts, ranked))
    if ranked:
        blocks.append(_weakest_table(parts, ranked, subject.summary.scope))
    blocks.append(_margins(subject, parts))
    return blocks


def _ranked(parts: _Parts) -> list[_Part]:
    """Return the groups of which something may fail, the one with the most first."""
    failing = [part for part in parts.found if part.group.most]
    return sorted(failing, key=lambda part: -part.group.most)


def _map(subject: Subject, parts: _Parts, ranked: Sequence[_Part]) -> Drawn:
    asked, context = parts.numbering.asked, parts.numbering.context
    maxima = range(context, len(parts.names))
    columns = {query: column for column, query in enumerate(asked)}
    values = np.full((len(maxima), len(asked)), np.nan)
    for part in parts.found:
        chosen = [columns[query] for query in part.queries if query in columns]
        row = part.group.maximum - context
        share = 100 * part.group.most / part.size if part.size else np.nan
        values[row, chosen] = np.nan_to_num(values[row, chosen]) + share
    values = np.where(values > 100, 100, values)
    marks: dict[tuple[int, int], str] = {}
    for number, part in enumerate(ranked[:MARKED], 1):
        chosen = sorted(columns[query] for query in part.queries if query in columns)
        row = part.group.maximum - context
        place = (row, chosen[len(chosen) // 2])
        if not any(_meet(place, other, len(maxima)) for other in marks):
            marks[place] = str(number)
    some = values[values > 0]
    given = Map(
        values,
        Axis("last number of the question", [parts.names[query] for query in asked]),
        Axis("largest number of the question", [parts.names[m] for m in maxima]),
        "at most so many % are wrong",
        log=bool(np.nanmax(values, initial=0.0) > 0),
        ends=(max(FAINTEST, float(np.min(some, initial=100.0))), 100.0),
        marks=marks,
        nothing="no such question",
        zero="all proved right",
        upward=True,
    )
    clean = int(np.count_nonzero(values == 0))
    there = int(np.count_nonzero(~np.isnan(values)))
    alt = (
        f"Map with a square for each last number and each largest number, {grouped(there)} in all."
        f" In {grouped(clean)} of them every question is proved right. The squares where most"
        " may be wrong are listed in the table of weakest groups."
    )
    caption = (
        "Every square stands for all questions with that last and that largest number. Blank: all"
        " of them are proved right. Coloured: at most that share is wrong; darker is more. The"
        " digits mark the groups that the table lists first. Squares that the proof treats as one"
        " group have the same colour."
    )
    return Drawn(
        "Where mistakes can be",
        draw_map(f"{subject.key}-map", given),
        alt,
        caption,
        proved=True,
    )


def _meet(one: tuple[int, int], other: tuple[int, int], side: int) -> bool:
    """Return whether two digits would be written over one another."""
    return max(abs(one[0] - other[0]), abs(one[1] - other[1])) < 0.055 * side


def _weakest_table(parts: _Parts, ranked: Sequence[_Part], scope: str) -> Columns:
    unit = "questions" if scope == "uniform" else "weight"
    heads = ("", "largest number", "last number", unit, "wrong, at least", "wrong, at most")
    table = Columns("The weakest groups", (*heads, "share"))
    for number, part in enumerate(ranked[:LISTED], 1):
        least, most = part.group.failures or (0, 0)
        table.rows.append(
            (
                str(number),
                parts.names[part.group.maximum],
                _spelled(part, parts.names),
                about(part.size),
                about(least),
                at_most(most),
                percent_up(most, part.size),
            )
        )
    return table


def _spelled(part: _Part, names: Sequence[str]) -> str:
    texts = [
        names[first] if first == last else f"{names[first]} to {names[last]}"
        for first, last in part.group.queries
    ]
    return ", ".join(texts)


def _margins(subject: Subject, parts: _Parts) -> Drawn:
    """Return how large leads are: what the proof shows of groups, and a sample in float64."""
    shown = [
        (float(part.group.margin), part.size)
        for part in parts.found
        if part.group.margin is not None
    ]
    shown.sort(reverse=True)
    total = subject.summary.total
    generator = np.random.default_rng(0)
    sample = np.sort(subject.margins(subject.drawn_at_random(generator, SAMPLE)))
    name = f"{subject.key}-margins"
    with canvas(name, height=3.4) as (figure, axes):
        if shown:
            leads = [shown[0][0], *(lead for lead, _ in shown), 0.0]
            sizes = np.cumsum([0.0, *(100 * (size / total) for _, size in shown)])
            axes.step(leads, [*sizes, sizes[-1]], where="pre", color=BLUE, label="proved, at least")
        axes.plot(
            sample,
            100 * (1 - np.arange(len(sample)) / len(sample)),
            "--",
            color=VERMILION,
            label="sampled in float64: an estimate",
        )
        axes.set_xlabel("lead of the right answer over the next best")
        axes.set_ylabel("% of questions with such a lead")
        axes.set_ylim(0, 103)
        axes.set_xlim(min(0.0, float(sample[0])), float(sample[-1]) * 1.02)
        light_grid(axes)
        figure.legend(loc="outside lower center", ncols=2, fontsize=10)
        svg = svg_of(figure, name)
    covered = sum(size for _, size in shown)
    middle = float(np.median(sample))
    return Drawn(
        "How clear the right answers are",
        svg,
        f"Two falling curves. The proof shows a positive lead for {percent_down(covered, total)} of"
        f" the questions; in a sample, half of the questions have a lead of {middle:.2f} or more.",
        "The solid line is part of the proof: at least so many questions have at least that lead."
        " It takes the worst case of each group for all questions in it, so it lies far to the left"
        f" of the dashed line, an estimate from {grouped(SAMPLE)} random questions that was"
        " computed in float64 and is not part of the proof.",
        proved=True,
    )


# --- inside ------------------------------------------------------------------------


def inside(subject: Subject) -> list[Block]:
    """Return the QK circuit, the OV circuit and the direct path as maps."""
    paths = decompose(subject.model)
    domain = subject.question.domain
    numbering = numbering_of(domain, subject.model.config.d_vocab_out)
    names = _names(domain, numbering)
    asked = [numbering.tokens[query] for query in numbering.asked]
    asked_names = [names[query] for query in numbering.asked]
    tokens = list(numbering.tokens)
    outputs = list(domain.outputs)
    output_names = [str(answer) for answer in domain.answers]
    scaled = paths.EQKE / np.sqrt(paths.d_head)
    qk, ov = scaled[np.ix_(asked, tokens)], paths.EVOU[np.ix_(tokens, outputs)]
    direct = paths.EU[np.ix_(asked, outputs)]
    chosen: list[tuple[str, str, Floats, Axis, Axis, str, str]] = [
        (
            "qk",
            "Where it looks (QK circuit)",
            qk - qk.mean(axis=1, keepdims=True),
            Axis("number it may look at", names),
            Axis("last number", asked_names),
            "score, row mean taken off",
            _looking(qk, numbering),
        ),
        (
            "ov",
            "What it copies (OV circuit)",
            ov - ov.mean(axis=1, keepdims=True),
            Axis("answer", output_names),
            Axis("number it looks at", names),
            "push, row mean taken off",
            _copying(ov),
        ),
        (
            "direct",
            "What the last number does by itself (direct path)",
            direct - direct.mean(axis=1, keepdims=True),
            Axis("answer", output_names),
            Axis("last number", asked_names),
            "push, row mean taken off",
            f"Its entries spread over {np.ptp(direct):.1f}, those of the OV circuit over"
            f" {np.ptp(ov):.1f}: the smaller it is, the less the last number by itself decides.",
        ),
    ]
    return [
        Drawn(
            title,
            draw_map(f"{subject.key}-{key}", Map(values, across, down, scale), height=4.2),
            f"Map of {values.shape[0]} by {values.shape[1]} numbers. {told}",
            told,
            proved=False,
        )
        for key, title, values, across, down, scale, told in chosen
    ]


def _looking(qk: Floats, numbering: Numbering) -> str:
    operands = qk[:, numbering.context :]
    steps = np.diff(operands, axis=1)
    rising = float(np.mean(steps > 0)) if steps.size else 0.0
    return (
        "Each row is one last number; lighter is less, darker is more attention. Going one number"
        f" up, attention rises in {100 * rising:.0f} % of all steps: the program looks for large"
        " numbers."
        if rising > 0.5
        else "Each row is one last number; darker is more attention."
    )


def _copying(ov: Floats) -> str:
    if ov.shape[0] > ov.shape[1]:
        return "Each row is a number that is looked at; darker columns are pushed up."
    own = ov[:, : ov.shape[0]].diagonal() if ov.shape[0] == ov.shape[1] else ov.max(axis=1)
    best = float(np.mean(own >= ov.max(axis=1)))
    return (
        "Each row is a number that is looked at; the darker a column, the more that answer is"
        f" pushed up. In {100 * best:.0f} % of the rows the darkest place is on the diagonal: what"
        " is looked at is copied to the answer."
    )


# --- single inputs -----------------------------------------------------------------


def weakest(subject: Subject) -> Places:
    """Return inputs of the groups where most may be wrong, or where leads are smallest."""
    parts = _parts(subject.summary)
    generator = np.random.default_rng(1)
    batches = [
        batch for part in _searched(parts) for batch in _members(part, parts, subject, generator)
    ]
    columns = len(subject.counting)
    return np.concatenate(batches) if batches else np.zeros((0, columns), dtype=np.int64)


def _searched(parts: _Parts) -> list[_Part]:
    """Return the groups that are searched: the largest shares of failures and the most of them, or
    the smallest margins.
    """
    ranked = _ranked(parts)
    if ranked:
        by_share = sorted(ranked, key=lambda part: -Fraction(part.group.most, part.size or 1))
        return [*by_share[: SEARCHED // 2], *ranked[: SEARCHED // 2]]
    known = [part for part in parts.found if part.group.margin is not None and part.size]
    return sorted(known, key=lambda part: part.group.margin or Fraction(0))[:SEARCHED]


def _members(
    part: _Part, parts: _Parts, subject: Subject, generator: np.random.Generator
) -> Iterator[Places]:
    """Yield random inputs of a group, all of them with its maximum and one of its queries."""
    context, largest = parts.numbering.context, part.group.maximum - parts.numbering.context
    operands = subject.question.domain.operands
    last = len(subject.counting) - 1
    columns = []
    for position, counting in enumerate(subject.counting):
        fit = counting
        if position in operands:
            fit = counting[counting <= largest]
            if position == last:
                fit = fit[np.isin(fit + context, list(part.queries))]
        if not len(fit):
            return
        columns.append(generator.choice(fit, size=EACH))
    places = np.stack(columns, axis=1)
    able = [
        position
        for position in operands
        if largest in subject.counting[position]
        and (position != last or largest + context in part.queries)
    ]
    if not able:
        return
    rows = np.arange(EACH)
    places[rows, generator.choice(able, size=EACH)] = largest
    yield places


def standing(subject: Subject, places: Places) -> list[Standing]:
    """Return what the groups of a proof say of inputs."""
    parts = _parts(subject.summary)
    context, operands = parts.numbering.context, list(subject.question.domain.operands)
    last = subject.question.domain.operands[-1] == len(subject.counting) - 1
    asked = parts.numbering.asked
    uniform = subject.summary.scope == "uniform"
    found = []
    for row in places:
        maximum = int(row[operands].max()) + context
        query = int(row[-1]) + context if last else asked[0]
        found.append(_standing(parts.at(maximum, query), parts, uniform=uniform))
    return found


def _standing(found: Sequence[_Part], parts: _Parts, *, uniform: bool) -> Standing:
    most = sum(part.group.most for part in found)
    if found and most == 0:
        return Standing(right=True, wrong=False, told="Proved: right.")
    if len(found) != 1:
        return Standing(right=False, wrong=False, told=UNSETTLED)
    part = found[0]
    least = (part.group.failures or (0, 0))[0]
    if least == part.size:
        return Standing(right=False, wrong=True, told="Proved: wrong.")
    number = f"exactly {about(most)}" if least == most else f"at most {at_most(most)}"
    those = "questions" if uniform else "units of weight of questions"
    told = (
        f"Proved: of the {about(part.size)} {those} with largest number"
        f" {parts.names[part.group.maximum]} and last number {_spelled(part, parts.names)},"
        f" {number} are wrong."
    )
    return Standing(right=False, wrong=False, told=told)


# --- beside others -----------------------------------------------------------------


def reference(subject: Subject) -> Reference | None:
    """Return the published rows, where the sizes, the inputs and the arithmetic are theirs."""
    config, domain = subject.model.config, subject.question.domain
    if domain.unusual or subject.summary.scope != "uniform":
        return None
    rows = tuple(
        Published(row.group, row.accuracy, row.deviation * row.true_accuracy, row.flops)
        for row in references(config.n_ctx, config.d_vocab).values()
        if row.mean < 1
    )
    caveat = (
        "Numbered squares are the results published for 151 other models of the same size and"
        f" recipe ({SOURCE}; Gross et al., Compact Proofs of Model Performance via Mechanistic"
        " Interpretability, NeurIPS 2024): the best of each kind, the mean of all models. They"
        " count floating-point operations, we count every operation of the checker; their bounds"
        " were computed in floating point without an allowance for rounding, and the derivation of"
        " all but the cubic ones has an error of sign: they are not proofs in the sense of this"
        " page."
    )
    return Reference(rows, SOURCE, caveat) if rows else None


def chapters(summary: Summary) -> str:
    """Return what an auditor reads for a proof of cells."""
    if summary.statement["semantics"] == FLOAT32:
        return "cells/, float32/cells.py and float32/propagation.py"
    return "cells/, and Slack in float32/cells.py"


PORTRAIT = Portrait(weak, inside, weakest, standing, reference, chapters, METHOD)
