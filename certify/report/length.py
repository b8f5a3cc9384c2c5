"""How long a proof is against how much it proves: all certificates of the page, and what was
published.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from certify.columns import Columns
from certify.report.figure import (
    BLUE,
    GREEN,
    INK,
    PAPER,
    QUIET,
    VERMILION,
    Drawn,
    canvas,
    light_grid,
    svg_of,
)
from certify.report.numbers import grouped, percent_down
from certify.report.portrait import Reference
from certify.report.run import Proof
from certify.report.statement import is_float32


def length_figure(
    key: str, proofs: Sequence[tuple[str, Proof]], reference: Reference | None
) -> Drawn:
    """Return the picture for certificates with their letters.

    Ensures: where no certificate leaves anything open, heights are margins: that is what they
             differ in.
    """
    everything = all(one.verdict.correct_lower == one.verdict.total for _, one in proofs)
    heights = [_margin(one) if everything else _share(one) for _, one in proofs]
    lengths = [one.verdict.operations for _, one in proofs]
    rows = () if everything or reference is None else reference.rows
    drawn = [row for row in rows if row.lengths is not None]
    name = f"{key}-length"
    with canvas(name) as (figure, axes):
        for row in drawn:
            low, high = row.lengths or (1.0, 1.0)
            middle, missing = math.sqrt(low * high), 100 * (1 - row.accuracy)
            axes.plot([low, high], [missing] * 2, color=GREEN, lw=1.2)
            axes.plot([middle], [missing], "s", ms=6, mfc=PAPER, mec=GREEN, mew=1.4)
            axes.annotate(
                row.name,
                (high, missing),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
                color=QUIET,
            )
        for (letter, one), x, y in zip(proofs, lengths, heights, strict=True):
            rounded = is_float32(one)
            mark, colour = ("D", VERMILION) if rounded else ("o", BLUE)
            axes.plot([x], [y], mark, ms=7, color=colour, mec=PAPER, mew=0.8)
            axes.annotate(
                letter,
                (x, y),
                xytext=(0, -13 if rounded else 7),
                textcoords="offset points",
                ha="center",
                fontsize=11,
                fontweight="bold",
                color=INK,
            )
        axes.plot([], [], "o", color=BLUE, label="without rounding")
        if any(is_float32(one) for _, one in proofs):
            axes.plot([], [], "D", color=VERMILION, label="in float32")
        if drawn:
            axes.plot([], [], "s", mfc=PAPER, mec=GREEN, label="published")
        axes.set_xscale("log")
        axes.set_xlabel("length: operations to check the proof" + _unit(drawn))
        if everything:
            axes.set_ylabel("smallest lead that is proved")
            axes.set_ylim(0, 1.15 * max(heights, default=1.0) or 1.0)
        else:
            axes.set_yscale("log")
            axes.set_ylabel("not proved right, % (higher is better)")
            axes.invert_yaxis()
            _percent_ticks(axes)
        spread = [*lengths, *(end for row in drawn for end in row.lengths or ())]
        axes.set_xlim(min(spread) / 1.6, max(spread) * (4.5 if drawn else 1.6))
        axes.margins(y=0.12)
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


def _unit(drawn: Sequence[object]) -> str:
    return " (published: FLOPs)" if drawn else ""


def _percent_ticks(axes: object) -> None:
    from matplotlib import ticker  # noqa: PLC0415

    axis = axes.yaxis  # type: ignore[attr-defined]
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(ticker.NullFormatter())


def _share(one: Proof) -> float:
    """Return what is not proved right, in percent; half an input where everything is."""
    verdict = one.verdict
    missing = max(Fraction(verdict.total - verdict.correct_lower), Fraction(1, 2))
    return 100 * float(missing / verdict.total)


def _margin(one: Proof) -> float:
    return float(one.verdict.fields["margin_lower"])


def _alt(proofs: Sequence[tuple[str, Proof]], everything: bool, drawn: Sequence[object]) -> str:  # noqa: FBT001
    ends = sorted(one.verdict.operations for _, one in proofs)
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


def _table(proofs: Sequence[tuple[str, Proof]], reference: Reference | None) -> Columns:
    found = Columns("", ("", "proof", "operations", "proved right, at least", "smallest lead"))
    for letter, one in proofs:
        verdict = one.verdict
        share = percent_down(verdict.correct_lower, verdict.total)
        lead = f"{_margin(one):.4f}"
        operations = grouped(verdict.operations)
        name = f"{one.summary.strategy}{', float32' if is_float32(one) else ''}"
        found.rows.append((letter, name, operations, share, lead))
    for row in reference.rows if reference else ():
        lengths = "not known"
        if row.lengths is not None:
            low, high = (grouped(round(end)) for end in row.lengths)
            lengths = f"{low} FLOPs" if low == high else f"{low} to {high} FLOPs"
        share = f"{100 * row.accuracy:.2f} ± {100 * row.deviation:.2f} %"
        found.rows.append(("", f"published: {row.name}", lengths, share, ""))
    return found
