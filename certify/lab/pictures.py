"""Pictures of experiments, as SVG and PNG: readable without the text beside them.

Needs matplotlib, imported only when something is drawn.  Series differ by mark and line as well as
by colour (``certify.report.figure``).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from certify.errors import Unsupported
from certify.files import write_bytes

WIDTH, HEIGHT = 8.0, 5.0
"""Inches."""
DOTS = 120
"""Dots per inch of a PNG."""
LINE, QUIET = "#d9d9d9", "#555555"
_STYLE: dict[str, Any] = {
    "font.size": 11,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 12,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.facecolor": "white",
}


def require_matplotlib() -> None:
    """Refuse, before any time is spent, pictures that could not be drawn.

    Errors: ``Unsupported``.
    """
    try:
        import matplotlib as mpl  # noqa: F401, PLC0415  (optional, and slow to import)
    except ImportError as error:
        raise Unsupported(
            "pictures need matplotlib: pip install matplotlib (the extra certify[report])"
        ) from error


class Pictures:
    """The pictures of one experiment, in its folder."""

    def __init__(self, folder: Path) -> None:
        """Name the folder."""
        self.folder = folder

    @contextmanager
    def picture(
        self,
        name: str,
        title: str,
        *,
        panels: tuple[int, int] = (1, 1),
        width: float = WIDTH,
        height: float = HEIGHT,
    ) -> Iterator[tuple[Any, Any]]:
        """Yield an empty figure and its panels (one, or an array [rows, columns]); what is drawn is
        written as ``name.svg`` and ``name.png``, the same bytes each time.
        """
        require_matplotlib()
        import matplotlib as mpl  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415

        settings: Any = {**_STYLE, "svg.hashsalt": name}
        with mpl.rc_context(settings):
            figure = Figure(figsize=(width, height), layout="constrained")
            figure.suptitle(title, fontsize=13)
            yield figure, figure.subplots(*panels)
            for form, more in (("svg", {"metadata": {"Date": None}}), ("png", {"dpi": DOTS})):
                buffer = io.BytesIO()
                figure.savefig(buffer, format=form, **more)
                write_bytes(self.folder / f"{name}.{form}", buffer.getvalue())
