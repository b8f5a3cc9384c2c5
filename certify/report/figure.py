"""Figures that stand in the page itself: SVG with real text, in the colours of the page.

Needs matplotlib, imported only when something is drawn.  Ink, paper and grid are written as
colours that no palette has and then replaced by the page's own, so that a figure is readable on a
dark page and on paper too.  Series differ by mark and line as well as by colour (Okabe and Ito's
eight colours); a map has one scale whose lightness only falls, so that it survives grey print.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from certify.columns import Columns
from certify.report.numbers import grouped

Array = NDArray[np.float64]

INK, QUIET, LINE, PAPER = "#0a0b0c", "#0a0b0d", "#0a0b0e", "#0a0b0f"
"""Stand-ins for the page's text, its quieter text, its thin lines and its ground."""
_PAGE = {INK: "var(--ink)", QUIET: "var(--quiet)", LINE: "var(--line)", PAPER: "var(--paper)"}
BLUE, VERMILION, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
SERIES = ((BLUE, "o", "-"), (VERMILION, "s", "--"), (GREEN, "^", "-."), (PURPLE, "D", ":"))
"""Colour, mark and line of one series after the other."""
WIDTH, HEIGHT = 5.6, 3.9
"""Inches: on a phone the text is then about as large as the page's small print."""
MILLION = 1_000_000
NONE = "#f3f3f1"
"""The ground of a map: nothing is wrong here."""
_STYLE: dict[str, Any] = {
    "font.size": 11,
    "axes.axisbelow": True,
    "axes.edgecolor": LINE,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "figure.facecolor": "none",
    "hatch.color": QUIET,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.color": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure of the page: what it shows in words for who cannot see it, and a caption.

    ``proved``: whether it shows what the checker verified; if not, the page says so beside it.
    ``table``:  the numbers behind it, where they are few.
    """

    title: str
    svg: str
    alt: str
    caption: str
    proved: bool
    table: Columns | None = None


@contextmanager
def canvas(name: str, width: float = WIDTH, height: float = HEIGHT) -> Iterator[tuple[Any, Any]]:
    """Yield an empty figure with one panel, in the style of the page.

    Requires: matplotlib is installed; ``name`` is different for each figure of a page.
    """
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    settings: Any = {**_STYLE, "svg.hashsalt": name}
    with mpl.rc_context(settings):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots()


def svg_of(figure: Any, name: str) -> str:
    """Return a figure as an SVG element for a page that has others: its own identifiers, no
    metadata, the colours of the page.

    Requires: called within the ``canvas`` of the same name.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = buffer.getvalue().decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    text = text.replace("xlink:href=", "href=")
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    # The view box says the proportions, the page the width.
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    for stand_in, own in _PAGE.items():
        text = text.replace(stand_in, own)
    text = re.sub(r"\s*\n\s*", "\n", text)
    return text.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1)


@dataclass(frozen=True, slots=True)
class Axis:
    """One side of a map: what it counts, and what its first and last row or column stand for."""

    label: str
    names: Sequence[str]


@dataclass(frozen=True, slots=True)
class Map:
    """A matrix to draw: rows from the top, [rows, columns]; NaN where there is nothing.

    ``across``, ``down``: its sides.  ``scale``: what the colours stand for.  ``log``: whether they
    go by powers of ten.  ``marks``: texts to write at (row, column).  ``nothing``: what a hatched
    place means.  ``zero``: what a blank one does; without it, an entry of 0 has a colour too.
    ``upward``: whether rows go from the bottom up.  ``ends``: the least and the largest number of
    the scale, those of the values if left out.
    """

    values: Array
    across: Axis
    down: Axis
    scale: str
    log: bool = False
    marks: Mapping[tuple[int, int], str] | None = None
    nothing: str = ""
    zero: str = ""
    upward: bool = False
    ends: tuple[float, float] = (math.nan, math.nan)


def draw_map(name: str, given: Map, height: float = 4.4, width: float = WIDTH) -> str:
    """Return a map as SVG.

    Cost: one pixel for each entry, so a map of 128 by 128 takes some 10 kB.
    """
    from matplotlib import colormaps, colors  # noqa: PLC0415
    from matplotlib.patches import Patch, Rectangle  # noqa: PLC0415

    with canvas(name, width, height) as (figure, axes):
        values = np.ma.masked_invalid(given.values)
        rows, columns = given.values.shape
        missing = np.ma.getmaskarray(values)
        for row, first, last in _runs(missing):
            box = Rectangle((first - 0.5, row - 0.5), last - first + 1, 1)
            box.set(fill=False, hatch="////", linewidth=0, edgecolor=QUIET)
            axes.add_patch(box)
        shades = colormaps["cividis"].reversed()
        ground = np.where(missing, np.nan, 0.0)
        axes.imshow(
            np.ma.masked_invalid(ground), cmap=colors.ListedColormap([NONE]), interpolation="none"
        )
        least, most = (None if math.isnan(end) else end for end in given.ends)
        norm: Any = colors.Normalize(least, most)
        if given.zero:
            values = np.ma.masked_less_equal(values, 0.0)
        if given.log:
            norm = colors.LogNorm(least, most)
        if values.count():
            image = axes.imshow(values, cmap=shades, norm=norm, interpolation="none", aspect="auto")
            bar = figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02)
            bar.set_label(given.scale)
            bar.outline.set_edgecolor(LINE)
            if given.log:
                plain_numbers(bar.ax.yaxis)
        axes.set_aspect("equal" if 0.4 < rows / columns < 2.5 else "auto")
        if given.upward:
            axes.invert_yaxis()
        _name_ticks(axes.xaxis, given.across)
        _name_ticks(axes.yaxis, given.down)
        for (row, column), text in (given.marks or {}).items():
            _halo(axes, column, row, text)
        told: list[tuple[str, dict[str, Any]]] = [
            (given.nothing, {"fill": False, "hatch": "////", "edgecolor": QUIET})
        ]
        told.append((given.zero, {"facecolor": NONE, "edgecolor": QUIET}))
        handles: list[Any] = [Patch(label=text, **look) for text, look in told if text]
        if handles:
            figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=10)
        return svg_of(figure, name)


def _halo(axes: Any, x: float, y: float, text: str) -> None:
    """Write a text that is readable on any colour."""
    from matplotlib import patheffects  # noqa: PLC0415

    outline = [patheffects.withStroke(linewidth=2.5, foreground="#ffffff")]
    place = {"ha": "center", "va": "center", "fontsize": 11, "fontweight": "bold"}
    axes.text(x, y, text, color="#000000", path_effects=outline, **place)


def _runs(missing: NDArray[np.bool_]) -> Iterator[tuple[int, int, int]]:
    """Yield row, first and last column of every stretch of missing entries."""
    for row, line in enumerate(missing):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(np.int8), [0]])))
        for first, stop in edges.reshape(-1, 2).tolist():
            yield row, first, stop - 1


def _name_ticks(axis: Any, side: Axis) -> None:
    """Write some of the names along a side, its ends among them where there is room."""
    many = len(side.names)
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if many / step <= 8)
    places = list(range(0, many, step))
    axis.set_ticks(places, [side.names[place] for place in places])
    axis.set_label_text(side.label)


def plain_numbers(axis: Any, between: tuple[float, ...] = (1.0,)) -> None:
    """Number a logarithmic axis as anybody writes it: 0.1, 1, 10 000, 2 M; ``between`` are the
    places within each power of ten.
    """
    from matplotlib import ticker  # noqa: PLC0415

    def spelled(value: float, _: int) -> str:
        if value >= MILLION:
            return f"{value / MILLION:g} M"
        return grouped(round(value)) if value >= 1 else f"{value:g}"

    axis.set_major_locator(ticker.LogLocator(subs=between))
    axis.set_major_formatter(ticker.FuncFormatter(spelled))
    axis.set_minor_formatter(ticker.NullFormatter())


def light_grid(axes: Any) -> None:
    """Draw a thin grid behind a panel."""
    axes.grid(visible=True, which="major", color=LINE, linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
