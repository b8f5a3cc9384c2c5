"""audit.py ASSUMPTIONS COQCHK: refuse what coqchk lists beyond the known axioms."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def known_axioms(text: str) -> set[str]:
    """Return the last names of the axioms that `Print Assumptions` lists."""
    return {
        line.split()[0].split(".")[-1]
        for line in text.splitlines()
        if re.match(r"[A-Z]\w*\.", line)
    }


def sections(text: str) -> dict[str, list[str]]:
    """Return coqchk's context summary, by heading."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in text.partition("CONTEXT SUMMARY")[2].splitlines():
        if line.startswith("* "):
            heading, _, rest = line[2:].partition(":")
            found[heading] = [rest.strip()] if rest.strip() else []
        elif heading and line.strip():
            found[heading].append(line.strip())
    return found


def main(assumptions: str, coqchk: str) -> int:
    """Compare, print what is wrong, and return the exit code."""
    known = known_axioms(Path(assumptions).read_text())
    found = sections(Path(coqchk).read_text())
    axioms = {name.split(".")[-1] for name in found.get("Axioms", ["no summary"])}
    wrong = [] if axioms == known else [f"axioms {sorted(axioms)}, not {sorted(known)}"]
    empty = [heading for heading in found if heading not in ("Theory", "Axioms")]
    wrong += [f"{heading}: {found[heading]}" for heading in empty if found[heading] != ["<none>"]]
    if len(empty) < 3:
        wrong.append("coqchk's summary is not of the known form")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
