"""Wait for what another process does; a backstop ends what never comes."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

PAUSE = 0.02
BACKSTOP = 15_000
"""So many looks: five minutes at least, more on a machine that is busy."""


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Return as soon as something holds."""
    for _ in range(BACKSTOP):
        if holds():
            return
        time.sleep(PAUSE)
    pytest.fail(f"waited in vain: {what}")
