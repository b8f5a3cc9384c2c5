"""The ladder as a picture: proof length against certified accuracy, and against certified error.

Needs matplotlib, which nothing else here does; it is imported only when a picture is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from certify.cells.published import BRUTE_FORCE, GROUPS, SOURCE, Reference, references_for
from certify.cells.rungs import OWN_GROUPS
from certify.ladder.climb import Ladder
from certify.ladder.labels import Labels, LogScale, Point, Scale
from certify.ladder.plot import GREY, STYLE, fix_axes, saved, write_corner
from certify.model.config import Config

MARKS = (1.0, 2.0, 5.0)
COLOURS = {
    "brute force": "#555555",
    "cubic": "#8c564b",
    "sub-cubic": "#1f77b4",
    "low-rank QK": "#17a2a2",
    "low-rank direct": "#7b6fd0",
    "low-rank QK and direct": "#b05cb0",
    "quadratic QK": "#e08214",
    "quadratic QK and direct": "#a8861a",
    "exact": "#000000",
    "count": "#6b8e23",
    "cascade": "#d62728",
    "low-rank cascade": "#e77c7c",
    "chain": "#2ca02c",
}


def asked(config: Config) -> str:
    """Return what the ladder is about, for a reader."""
    sizes = f"max-of-{config.n_ctx}, vocabulary {config.d_vocab}"
    heads = f", {config.n_heads} heads" if config.n_heads > 1 else ""
    neurons = f", {config.d_mlp} neurons" if config.d_mlp else ""
    norm = f", {config.normalization_type}" if config.normalization_type else ""
    return f"{sizes}{heads}{neurons}{norm}"


def draw(ladder: Ladder, ending: str) -> bytes:
    """Return the two panels as a picture of the given format (``.svg``, ``.png`` or ``.pdf``).

    Requires: matplotlib is installed (``require_matplotlib``).
    Ensures:  every verified rung but brute force is a dot in both panels, every published row with
              known FLOPs a
              square with its spread; brute force is written, for it would squeeze the rest into a
              corner.  The same
              ladder gives the same SVG.
    """
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    config = ladder.config
    title = f"{asked(config)}, model {ladder.model_sha256[:12]}"
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(13, 6.8), layout="constrained")
        figure.suptitle(f"What a proof of a given length certifies: {title}")
        left, right = figure.subplots(1, 2)
        _draw_panel(left, ladder, _accuracies(ladder))
        _draw_panel(right, ladder, _errors(ladder))
        left.set_ylabel("certified accuracy, at least")
        right.set_ylabel("certified error, at most (log scale, upside down: better is higher)")
        handles, labels = left.get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=9
        )
        if references_for(config):
            left.set_title(f"squares: {SOURCE}", fontsize=9, color=GREY, loc="left")
        right.set_title(
            "dots: certificates of this model, each checked", fontsize=9, color=GREY, loc="left"
        )
        return saved(figure, ending)


@dataclass(frozen=True, slots=True)
class _Accuracies:
    """The panel of certified accuracies."""

    scale: Scale

    def height(self, lower: int, total: int) -> float:
        """Return where a proved bound is drawn."""
        return lower / total

    def published_height(self, accuracy: float) -> float:
        """Return where a published accuracy is drawn."""
        return accuracy


@dataclass(frozen=True, slots=True)
class _Errors:
    """The panel of certified errors; ``floor`` is where no error is drawn."""

    scale: Scale
    floor: float

    def height(self, lower: int, total: int) -> float:
        """Return where a proved bound is drawn."""
        return max((total - lower) / total, self.floor)

    def published_height(self, accuracy: float) -> float:
        """Return where a published accuracy is drawn."""
        return max(1 - accuracy, self.floor)


_Panel = _Accuracies | _Errors


def _lengths(ladder: Ladder) -> Point:
    """Return the ends of the axis of lengths: all but brute force fits, with room for labels on the
    right.
    """
    published = references_for(ladder.config)
    lengths = [
        float(proof.operations) for rung, proof in ladder.proved() if rung.group != BRUTE_FORCE
    ]
    for group, found in published.items():
        lengths += found.flops or () if group != BRUTE_FORCE else ()
    return min(lengths, default=1.0) / 1.5, max(lengths, default=10.0) * 2.5


def _accuracies(ladder: Ladder) -> _Accuracies:
    return _Accuracies(Scale(_lengths(ladder), (-0.02, 1.06)))


def _errors(ladder: Ladder) -> _Errors:
    total, floor = ladder.total, 0.5 / ladder.total
    bounds = [ladder.best_upper(), *(proof.lower for _, proof in ladder.proved())]
    least = min(max((total - lower) / total, floor) for lower in bounds)
    return _Errors(LogScale(_lengths(ladder), (2.5, least / 2.2)), floor)


def _draw_panel(axes: Any, ladder: Ladder, panel: _Panel) -> None:
    """Draw rungs, published rows, the frontier, and the limit that no proof can pass."""
    labels = Labels(axes, panel.scale)
    frontier = [
        (proof.operations, panel.height(proof.lower, ladder.total))
        for _, proof in ladder.frontier()
    ]
    if frontier:
        axes.step(
            *zip(*frontier, strict=True),
            where="post",
            color="#d62728",
            lw=1.2,
            alpha=0.6,
            label="our Pareto frontier",
        )
    top = panel.height(ladder.best_upper(), ladder.total)
    axes.axhline(top, color="#999999", lw=1, ls=":", label="best upper bound: no proof can pass")
    published = references_for(ladder.config)
    squares: dict[str, tuple[float, float]] = {}
    for group, found in published.items():
        if group != BRUTE_FORCE and found.flops is not None:
            squares[group] = _draw_published(axes, found, panel)
            labels.occupy(*squares[group])
    if published:
        known = "published: mean, ± 1 std, FLOP range"
        axes.plot([], [], "s", ms=7, mfc="none", mec=GREY, label=known)
    chosen: dict[str, tuple[float, float]] = {}
    for group in (*GROUPS[1:], *OWN_GROUPS):
        dots = [
            (float(proof.operations), panel.height(proof.lower, ladder.total))
            for rung, proof in ladder.proved()
            if rung.group == group
        ]
        if dots:
            axes.plot(
                *zip(*dots, strict=True),
                "o",
                ms=7,
                color=COLOURS[group],
                mec="white",
                mew=0.6,
                label=group,
            )
            chosen[group] = max(dots, key=lambda dot: panel.scale.share(*dot)[1])
        for dot in dots:
            labels.occupy(*dot)
    for group, dot in (squares | chosen).items():
        labels.write(group, dot, COLOURS[group])
    length = "proof length: operations of the checker"
    fix_axes(axes, panel.scale, f"{length} (published: FLOPs)" if published else length, MARKS)
    write_corner(axes, "\n".join(_brute_force(ladder)))


def _brute_force(ladder: Ladder) -> Iterator[str]:
    """Yield what is known of the length of brute force, which is far off the panel."""
    yield "brute force, far off to the right:"
    found = references_for(ladder.config).get(BRUTE_FORCE)
    for rung, proof in ladder.proved():
        if rung.group == BRUTE_FORCE:
            yield f"{proof.operations:.1e} operations, checked here"
    if found is not None and found.flops is not None:
        yield f"{found.flops[0]:.1e} to {found.flops[1]:.1e} FLOPs, published"
    yield f"{ladder.config.d_vocab}^{ladder.config.n_ctx} = {ladder.total:.1e} inputs"


def _draw_published(axes: Any, found: Reference, panel: _Panel) -> tuple[float, float]:
    """Draw a published row, a hollow square at the middle of its FLOP range, and return where."""
    low, high = found.flops or (1.0, 1.0)
    middle, height, colour = (
        math.sqrt(low * high),
        panel.published_height(found.accuracy),
        COLOURS[found.group],
    )
    spread = [panel.published_height(found.accuracy + side * found.deviation) for side in (-1, 1)]
    axes.plot([low, high], [height, height], color=colour, lw=1.2, alpha=0.7)
    axes.plot([middle, middle], spread, color=colour, lw=1.2, alpha=0.7)
    axes.plot([middle], [height], "s", ms=7, mfc="white", mec=colour, mew=1.4)
    return middle, height
