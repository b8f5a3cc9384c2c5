"""What the pictures of all ladders share.  Needs matplotlib, imported only when a picture is asked
for.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from certify.errors import Unsupported
from certify.ladder.labels import Scale

FORMATS = (".svg", ".png", ".pdf")
GREY = "#777777"
STYLE: dict[Any, Any] = {"svg.hashsalt": "certify", "font.size": 10, "axes.axisbelow": True}


def require_matplotlib(path: Path) -> None:
    """Refuse, before any time is spent, a picture that could not be drawn."""
    if path.suffix.lower() not in FORMATS:
        raise Unsupported(f"{path}: a plot ends in {', '.join(FORMATS)}")
    try:
        import matplotlib  # noqa: F401, PLC0415  (optional, and slow to import)
    except ImportError as error:
        raise Unsupported(
            "--plot needs matplotlib: pip install matplotlib (the extra certify[plot])"
        ) from error


def saved(figure: Any, ending: str) -> bytes:
    """Return a figure as a file of the given format, the same bytes on every day."""
    buffer = io.BytesIO()
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(ending.lower(), {})
    figure.savefig(buffer, format=ending[1:].lower(), dpi=130, metadata=undated)
    return buffer.getvalue()


def fix_axes(axes: Any, scale: Scale, label: str, marks: tuple[float, ...]) -> None:
    """Set scales, ends, the label of the lengths and the grid; ``marks`` are where a short axis of
    lengths is numbered, within each power of ten.
    """
    from matplotlib import ticker  # noqa: PLC0415

    axes.set_xscale("log")
    axes.set_yscale(scale.vertical)
    axes.set_xlim(scale.x)
    axes.set_ylim(scale.y)
    if scale.x[1] < scale.x[0] * 1000:
        axes.xaxis.set_major_locator(ticker.LogLocator(subs=marks))
        axes.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))
        axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes.set_xlabel(label)
    axes.grid(visible=True, which="major", color="#e4e4e4", lw=0.8)


def write_corner(axes: Any, text: str) -> None:
    """Write what does not fit into a panel in its lower right corner."""
    place = {"transform": axes.transAxes, "ha": "right", "va": "bottom"}
    axes.text(0.985, 0.02, text, fontsize=8, color=GREY, **place)
