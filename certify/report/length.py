"""How long a proof is against how much it proves: all certificates of the page, and what was
published.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

from certify.columns import Columns
from certify.ladder.labels import Labels, LogScale
from certify.report.figure import (
    BLUE,
    GREEN,
    INK,
    PAPER,
    VERMILION,
    Drawn,
    canvas,
    light_grid,
    plain_numbers,
    svg_of,
)
from certify.report.numbers import grouped, percent_down
from certify.report.numbers import lead as lead_of
from certify.report.portrait import Published, Reference
from certify.report.run import Proof
from certify.report.statement import is_float32

MARKS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
SHORT = 10
"""An axis of lengths that spans less has numbers between the powers of ten."""


def length_figure(key: str, proofs: Sequence[Proof], reference: Reference | None) -> Drawn:
    """Return the picture for certificates, each marked by its letter.

    Ensures: where no certificate leaves anything open, heights are margins: that is what they
             differ in.
    """
    everything = all(one.verdict.correct_lower == one.verdict.total for one in proofs)
    heights = [_margin(one) if everything else _share(one) for one in proofs]
    lengths = [one.verdict.operations for one in proofs]
    rows = () if everything or reference is None else reference.rows
    drawn = [row for row in rows if row.lengths is not None]
    name = f"{key}-length"
    with canvas(name) as (figure, axes):
        for row in drawn:
            low, high = row.lengths or (1.0, 1.0)
            middle, missing = math.sqrt(low * high), 100 * (1 - row.accuracy)
            axes.plot([low, high], [missing] * 2, color=GREEN, lw=1.2)
            axes.plot([middle], [missing], "s", ms=6, mfc=PAPER, mec=GREEN, mew=1.4)
        for one, x, y in zip(proofs, lengths, heights, strict=True):
            rounded = is_float32(one)
            mark, colour = ("D", VERMILION) if rounded else ("o", BLUE)
            axes.plot([x], [y], mark, ms=7, color=colour, mec=PAPER, mew=0.8)
            axes.annotate(
                one.letter,
                (x, y),
                xytext=(0, -13 if rounded else 7),
                textcoords="offset points",
                ha="center",
                fontsize=11,
                fontweight="bold",
                color=INK,
            )
        axes.plot([], [], "o", color=BLUE, label="without rounding")
        if any(is_float32(one) for one in proofs):
            axes.plot([], [], "D", color=VERMILION, label="in float32")
        if drawn:
            axes.plot([], [], "s", mfc=PAPER, mec=GREEN, label="published")
        axes.set_xscale("log")
        axes.set_xlabel("length: operations to check the proof, M: million")
        if everything:
            axes.set_ylabel("smallest lead that is proved")
            axes.set_ylim(0, 1.15 * max(heights, default=1.0) or 1.0)
        else:
            axes.set_yscale("log")
            axes.set_ylabel("not proved right, % (higher is better)")
            axes.invert_yaxis()
            plain_numbers(axes.yaxis)
        spread = [*lengths, *(end for row in drawn for end in row.lengths or ())]
        axes.set_xlim(min(spread) / 1.6, max(spread) * (2.5 if drawn else 1.6))
        axes.margins(y=0.12)
        short = max(spread) < SHORT * min(spread)
        plain_numbers(axes.xaxis, MARKS if short else (1.0,))
        if drawn:
            _number_published(axes, drawn, zip(lengths, heights, strict=True))
        light_grid(axes)
        figure.legend(loc="outside lower center", ncols=3, fontsize=10)
        svg = svg_of(figure, name)
    return Drawn(
        "How long each proof is, and how much it proves",
        svg,
        _alt(proofs, everything, drawn),
        _caption(everything, reference if drawn else None),
        proved=True,
        table=_table(proofs, reference if rows else None),
    )


class _Labels(Labels):
    """Names in the small panel of a page."""

    LETTER, LINE, GAP = 0.0185, 0.055, 0.02
    PAPER = "none"
    FURTHEST = 8


def _number_published(
    axes: Any, drawn: Sequence[Published], dots: Iterable[tuple[float, float]]
) -> None:
    """Write numbers beside the published results, where nothing else is; names are in the table."""
    bottom, top = axes.get_ylim()
    labels = _Labels(axes, LogScale(axes.get_xlim(), (bottom, top)))
    places = [
        (str(number), (math.sqrt(math.prod(row.lengths or (1.0, 1.0))), 100 * (1 - row.accuracy)))
        for number, row in enumerate(drawn, 1)
    ]
    for dot in (*dots, *(place for _, place in places)):
        labels.occupy(*dot)
    for number, place in places:
        labels.write(number, place, INK)


def _share(one: Proof) -> float:
    """Return what is not proved right, in percent; half an input where everything is."""
    verdict = one.verdict
    missing = max(Fraction(verdict.total - verdict.correct_lower), Fraction(1, 2))
    return 100 * float(missing / verdict.total)


def _margin(one: Proof) -> float:
    return float(one.verdict.fields["margin_lower"])


def _alt(proofs: Sequence[Proof], everything: bool, drawn: Sequence[Published]) -> str:  # noqa: FBT001
    ends = sorted(one.verdict.operations for one in proofs)
    told = f"{len(proofs)} certificates, from {grouped(ends[0])} to {grouped(ends[-1])} operations."
    what = "the smallest lead proved" if everything else "the share not proved right"
    also = f" {len(drawn)} published results are drawn beside them." if drawn else ""
    return f"Scatter plot of length against {what}: {told}{also} The table below has the numbers."


def _caption(everything: bool, reference: Reference | None) -> str:  # noqa: FBT001
    told = (
        "Each letter is a certificate. Further left is shorter: fewer steps to check, so more was"
        " understood of how the program works. "
    )
    told += (
        "All of them prove every answer right; further up, they show a larger lead of the right"
        " answer."
        if everything
        else "Further up, less is left unproved. Trying every question one by one would be the"
        " longest proof of all."
    )
    return told if reference is None else f"{told} {reference.caveat}"


def _table(proofs: Sequence[Proof], reference: Reference | None) -> Columns:
    clear = any(_margin(one) for one in proofs)
    heads = ("", "proof", "operations", "proved right, at least", "smallest lead")
    found = Columns("", heads if clear else heads[:-1])
    for one in proofs:
        verdict = one.verdict
        share = percent_down(verdict.correct_lower, verdict.total)
        lead = lead_of(Fraction(verdict.fields["margin_lower"]))
        operations = grouped(verdict.operations)
        name = f"{one.summary.strategy}{', float32' if is_float32(one) else ''}"
        found.rows.append((one.letter, name, operations, share, lead)[: len(found.heads)])
    numbers = iter(range(1, 1 + len(reference.rows if reference else ())))
    for row in reference.rows if reference else ():
        number = "" if row.lengths is None else str(next(numbers))
        lengths = "not known"
        if row.lengths is not None:
            low, high = (grouped(round(end)) for end in row.lengths)
            lengths = f"{low} FLOPs" if low == high else f"{low} to {high} FLOPs"
        share = f"{100 * row.accuracy:.2f} ± {100 * row.deviation:.2f} %"
        cells = (number, f"published: {row.name}", lengths, share, "")
        found.rows.append(cells[: len(found.heads)])
    return found
