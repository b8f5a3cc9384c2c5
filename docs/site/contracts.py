"""Docstrings of this project as Markdown: each part of a contract is a paragraph.  (griffe)

``Requires:``, ``Ensures:`` and the like begin a line, what belongs to them is indented below.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

PART = re.compile(
    r"^(Requires|Ensures|Raises|Errors|Cost|Source|Beware|Defaults): *(.*(?:\n[ ]{2,}\S.*)*)", re.M
)


def as_markdown(text: str) -> str:
    """Return a docstring as Markdown."""
    parted = PART.sub(
        lambda part: f"\n**{part[1]}**: " + re.sub(r"\n\s+", "\n", part[2]) + "\n", text
    )
    # Two colons on a line of their own begin code; Markdown knows it by its indentation.
    return re.sub(r"^::$", "", parted, flags=re.M)


class Contracts(griffe.Extension):
    """Rewrites every docstring as it is read."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        """Rewrite one docstring."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
