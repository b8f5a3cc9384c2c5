"""The ladder of modular addition as a picture: proof length against certified fraction, and against
margins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from certify.ladder.climb import Ladder, Proof
from certify.ladder.labels import Labels, Point, Scale
from certify.ladder.plot import GREY, STYLE, fix_axes, saved, write_corner
from certify.ladder.rung import Rung
from certify.sums.rungs import (
    BRUTE_FORCE,
    EXHAUSTIVE,
    GROUPS,
    LOW_RANK,
    OTHER_PHASES,
    OTHER_RANKS,
    OWN_FREQUENCY,
    QUADRATURE,
)

COLOURS = {
    BRUTE_FORCE: "#555555",
    LOW_RANK: "#1f77b4",
    OTHER_RANKS: "#17a2a2",
    OWN_FREQUENCY: "#e08214",
    QUADRATURE: "#d62728",
    OTHER_PHASES: "#b05cb0",
}
MARKS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)


def title(ladder: Ladder) -> str:
    """Return what the ladder is about, for a reader."""
    mix = ladder.config.mix
    attention = {0.0: "constant attention", 1.0: "softmax attention"}.get(
        mix, f"attention mix {mix:g}"
    )
    return f"{ladder.task}, {attention}, model {ladder.model_sha256[:12]}"


def draw(ladder: Ladder, ending: str) -> bytes:
    """Return the two panels as a picture of the given format (``.svg``, ``.png`` or ``.pdf``).

    Requires: matplotlib is installed (``require_matplotlib``).
    Ensures:  every verified rung but ``exhaustive`` is a dot on the left, and on the right if it
              proves an input right;
              ``exhaustive`` is written, for it would squeeze the rest into a corner.  A hollow dot
              certifies fewer
              inputs than some other.  The same ladder gives the same SVG.
    """
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(13, 6.8), layout="constrained")
        figure.suptitle(f"What a proof of a given length certifies: {title(ladder)}")
        left, right = figure.subplots(1, 2)
        drawn = _different(ladder)
        _draw_frontier(left, ladder)
        _draw_panel(
            left,
            ladder,
            [(rung, proof, proof.lower / ladder.total) for rung, proof in drawn],
            (-0.04, 1.16),
        )
        medians = [
            (rung, proof, float(proof.median)) for rung, proof in drawn if proof.median is not None
        ]
        top = max((median for _, _, median in medians), default=1.0) or 1.0
        _draw_whiskers(right, [proof for _, proof, _ in medians])
        _draw_panel(right, ladder, medians, (-0.04 * top, 1.1 * top))
        left.set_ylabel("certified fraction, at least")
        right.set_ylabel(
            "margin of certified inputs, at least: of half of them (dot), of all (end of the line)"
        )
        write_corner(left, "\n".join(_exhaustive(ladder)))
        handles, labels = left.get_legend_handles_labels()
        if handles:
            figure.legend(
                handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9
            )
        return saved(figure, ending)


def _different(ladder: Ladder) -> list[tuple[Rung, Proof]]:
    """Return what is drawn: two efforts may come to the same proof, which is drawn once."""
    first = {
        (proof.operations, proof.lower, proof.smallest, proof.median, rung.strategy): (rung, proof)
        for rung, proof in reversed(ladder.proved())
        if rung.group != EXHAUSTIVE
    }
    return list(first.values())[::-1]


def _draw_panel(
    axes: Any, ladder: Ladder, found: Sequence[tuple[Rung, Proof, float]], y: Point
) -> None:
    """Draw rungs at these heights, and which of them no other one beats."""
    lengths = [
        float(proof.operations) for rung, proof in ladder.proved() if rung.group != EXHAUSTIVE
    ]
    scale = Scale((min(lengths, default=1.0) / 1.12, max(lengths, default=10.0) * 1.45), y)
    labels = Labels(axes, scale)
    for group in GROUPS:
        dots = [
            (proof, (float(proof.operations), height))
            for rung, proof, height in found
            if rung.group == group
        ]
        if dots:
            axes.plot([], [], "o", ms=7, color=COLOURS[group], label=group)
        for proof, dot in dots:
            face = COLOURS[group] if proof.lower == ladder.best_lower() else "white"
            axes.plot(*dot, "o", ms=7, mfc=face, mec=COLOURS[group], mew=1.2)
            labels.occupy(*dot)
    axes.plot(
        [],
        [],
        "o",
        ms=7,
        mfc="white",
        mec=GREY,
        label="hollow: certifies fewer inputs than another",
    )
    for rung, proof, height in sorted(found, key=lambda point: (-point[2], point[1].operations)):
        labels.write(_name(rung, proof), (float(proof.operations), height), COLOURS[rung.group])
    fix_axes(axes, scale, "proof length: operations of the checker", MARKS)


def _draw_whiskers(axes: Any, proofs: Sequence[Proof]) -> None:
    """Draw a line from the margin that half of the certified inputs have to the one that all
    have.
    """
    for proof in proofs:
        if proof.smallest is not None and proof.median is not None:
            ends = [float(proof.smallest), float(proof.median)]
            axes.plot([proof.operations] * 2, ends, "_-", color="#bbbbbb", lw=1.2, ms=6)


def _draw_frontier(axes: Any, ladder: Ladder) -> None:
    """Draw a line through the rungs that no other one beats."""
    points = [
        (float(proof.operations), proof.lower / ladder.total)
        for rung, proof in ladder.frontier()
        if rung.group != EXHAUSTIVE
    ]
    if points:
        axes.step(
            *zip(*points, strict=True),
            where="post",
            color="#d62728",
            lw=1.2,
            alpha=0.4,
            label="Pareto frontier",
        )


def _name(rung: Rung, proof: Proof) -> str:
    """Return what to write beside a rung's dot: what tells it from the others of its colour."""
    rank, switches = (proof.details.get(name) for name in ("rank", "switches"))
    if switches is not None:
        return f"{switches} switches"
    return rung.name if rank is None or rung.group == OWN_FREQUENCY else f"rank {rank}"


def _exhaustive(ladder: Ladder) -> list[str]:
    """Return what is known of the proof that is far off the panel."""
    return [
        f"{EXHAUSTIVE}, far off to the right: {proof.operations:.1e} operations, {proof.lower} of"
        f" {ladder.total}"
        for rung, proof in ladder.proved()
        if rung.group == EXHAUSTIVE
    ]
