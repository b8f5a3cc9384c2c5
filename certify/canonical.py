"""The one encoding of JSON in every file of this project: sorted keys, no spaces, ASCII."""

from __future__ import annotations

import json


def canonical_text(value: object) -> str:
    """Return a value as canonical JSON on no line of its own.

    Errors: ``ValueError`` or ``RecursionError`` for what JSON cannot hold: NaN, infinity, circles.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical(value: object) -> bytes:
    """Return the bytes of a canonical file: the text, and one newline at the end."""
    return canonical_text(value).encode("ascii") + b"\n"
