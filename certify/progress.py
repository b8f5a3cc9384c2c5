"""How long work reports what is done: the same for proofs, evaluations, audits and ladders."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Called with what is done, of how much, and a short note, now and then; the last call has both
equal.
"""


def silent(done: int, of: int, note: str) -> None:
    """Report nothing."""
