"""Files that a page of the documentation speaks of and that the repository does not have: others of
the same form under the same names.
"""

from __future__ import annotations

from pathlib import Path


def for_page(page: str, folder: Path) -> None:
    """Write what a page needs besides a clone."""
