"""Put the repository and the folders of oracles and generators on the path: tests run from a bare
checkout.
"""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent

# The repository comes first: `tests/certify` and `tests/checker` must never stand in for the
# packages.
for folder in (
    *(TESTS / name for name in ("certify", "checker", "gates", "generators", "oracles")),
    TESTS.parent,
):
    if str(folder) in sys.path:
        sys.path.remove(str(folder))
    sys.path.insert(0, str(folder))
