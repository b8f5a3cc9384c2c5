"""Plant soundness bugs in a copy of the Python checker; the comparison must find each.

    python formal/mutants.py [--checker ROOT]

A bug is a text of one file and what stands in its place.  Where a file may be written in two ways
the first text that occurs exactly once is taken; a bug that cannot be planted fails, so that the
list follows the code.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Bug:
    """What a bug does, and the ways of planting it: a file of checker/cells, a text, another."""

    what: str
    ways: tuple[tuple[str, str, str], ...]


BUGS = (
    Bug(
        "upper terms take the lower end of the weight",
        (
            ("terms", "bracket * (high if bracket > 0 else low)", "bracket * low"),
            ("terms", "{b: (high, low) for b, (low, high)", "{b: (low, low) for b, (low, high)"),
        ),
    ),
    Bug(
        "a screen takes one position less",
        (
            ("screen", "bound = (n - 1) * largest + own", "bound = (n - 2) * largest + own"),
            ("screen", "if (n - 1) * largest < need:", "if (n - 2) * largest < need:"),
        ),
    ),
    Bug(
        "a screen removes blocks as if they stood alone",
        (
            ("screen", "need = -own - max(n - 2, 0) * largest", "need = -own"),
            ("screen", "need -= max(n - 2, 0) * largest", "need -= 0"),
        ),
    ),
    Bug(
        "the extreme test puts the maximum where it costs most",
        (
            ("extreme", "best = max(gains,", "best = min(gains,"),
            (
                "terms",
                "if not ordered or total + gains[ordered[0]] < 0:",
                "if not ordered or total + min(gains.values()) < 0:",
            ),
        ),
    ),
    Bug(
        "positions reach no higher than their lowest score",
        (
            ("weights", "(min(column), max(column))", "(min(column), min(column))"),
            ("terms", "(min(scores), max(scores))", "(min(scores), min(scores))"),
        ),
    ),
    Bug(
        "the direct path is that of the best query", (("terms", "direct = max(", "direct = min("),)
    ),
    Bug(
        "the maximum's own value is its largest in a block",
        (
            ("terms", "self.floors = [min(one[m], two[m])", "self.floors = [max(one[m], two[m])"),
            ("terms", "self.floors = [min(", "self.floors = [max("),
        ),
    ),
    Bug(
        "a tie is right",
        (
            (
                "ties",
                "if not sums:  # the tie rule\n        return 0",
                "if not sums:\n        return -1",
            ),
            ("ties", "if not sums:\n        return 0", "if not sums:\n        return -1"),
            ("enumeration", "if not sums:\n        return 0", "if not sums:\n        return -1"),
        ),
    ),
    Bug(
        "a sum of zero is beaten in an enumeration",
        (
            ("enumeration", "bisect_left(sums, -total)", "bisect_left(sums, 1 - total)"),
            ("enumeration", "bisect_left(values, -total)", "bisect_left(values, 1 - total)"),
        ),
    ),
    Bug(
        "a count leaves out its last coefficient",
        (("counting", "total // step", "total // step - 1"),),
    ),
    Bug(
        "copies change fewer positions than they say",
        (("copies", "gains[:copies]", "gains[1:copies]"),),
    ),
    Bug(
        "a margin is that of the sum, undivided",
        (
            ("derive", "-removed // heaviest", "-removed"),
            ("derive", "-bound // heaviest", "-bound"),
        ),
    ),
)


def plant(bug: Bug, root: Path) -> bool:
    """Plant a bug in the checker below ``root``, and return whether its text was there."""
    for name, text, other in bug.ways:
        file = root / "checker" / "cells" / f"{name}.py"
        if file.is_file() and file.read_text().count(text) == 1:
            file.write_text(file.read_text().replace(text, other))
            return True
    return False


def main() -> int:
    """Run the comparison with each bug, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checker", type=Path, default=HERE.parent)
    options = parser.parse_args()
    found = 0
    for bug in BUGS:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            shutil.copytree(options.checker / "checker", root / "checker")
            if not plant(bug, root):
                print(f"NOT PLANTED {bug.what}")
                continue
            command = [
                sys.executable,
                HERE / "test_formal.py",
                "--quick",
                "--stop",
                "--checker",
                root,
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            seen = [line for line in done.stdout.splitlines() if line.startswith("DIFFERENT")]
            found += bool(seen)
            print(
                f"{'found' if seen else 'MISSED'}: {bug.what}"
                + (f": {seen[0][:110]}" if seen else done.stderr[-300:]),
                flush=True,
            )
    print(f"mutants={len(BUGS)} found={found}")
    return 0 if found == len(BUGS) else 1


if __name__ == "__main__":
    sys.exit(main())
