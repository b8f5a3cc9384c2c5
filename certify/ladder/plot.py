"""What the pictures of all ladders share.  Needs matplotlib, imported only when a picture is asked for."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from certify.errors import Unsupported

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
