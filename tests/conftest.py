"""Put the repository and this folder on the path: tests run from a bare checkout."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent

# The repository comes first: `tests/certify` must never stand in for the package.
for folder in (str(TESTS), str(TESTS.parent)):
    if folder in sys.path:
        sys.path.remove(folder)
    sys.path.insert(0, folder)
