"""Compare the verified checker with the Python checker: the same verdict and the same numbers.

    python formal/test_formal.py [--forests N] [--quick] [--checker ROOT]

Cases are the shipped certificates, the vectors, and random forests over random models.  The last
line says how many were compared, equal, declined by name, and different; the exit code is 1 if any
is different.
``--checker`` takes the Python side from another tree (see mutants.py).
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BINARY = HERE / "build" / "certify-verified"
# Refusals that the verified checker does not know: budgets and memory, never soundness.
BUDGETS = ("SPEC-3.5", "SPEC-8.2")


@dataclass(frozen=True)
class Case:
    """A model and a certificate, as bytes."""

    name: str
    model: bytes
    certificate: bytes


def shipped() -> Iterator[Case]:
    """Yield every certificate that is shipped, with its model."""
    for path in sorted((ROOT / "certificates").glob("*/*.json")):
        if path.name == "manifest.json":
            continue
        model = path.with_name("model.safetensors")
        yield Case(f"{path.parent.name}/{path.name}", model.read_bytes(), path.read_bytes())


def vectors() -> Iterator[Case]:
    """Yield every vector that is a pair of files."""
    for table in sorted((ROOT / "tests" / "vectors").glob("*/expect.json")):
        for name, expect in json.loads(table.read_text("ascii")).items():
            folder, own = table.parent.parent, f"{table.parent.name}/{name}"
            model = folder / expect.get("model", f"{own}.safetensors")
            certificate = folder / expect.get("certificate", f"{own}.json")
            if model.is_file() and certificate.is_file():
                yield Case(own, model.read_bytes(), certificate.read_bytes())


def forests(count: int) -> Iterator[Case]:
    """Yield random forests: proofs that nobody would write, over models that nobody trained."""
    sys.path.insert(0, str(ROOT / "tests" / "generators"))
    import forests as generator
    import models

    kinds = [models.random_model, models.good_model, models.spiky_model, models.cancelling_model]
    for number in range(count):
        rng = random.Random(number)
        model = kinds[number % len(kinds)](rng)
        choose = models.Seeded(rng)
        weights = models.build_token_weights(choose, model.config) if number % 3 == 0 else None
        certificate = generator.build_forest(choose, model, weights, exact=number % 5 == 0)
        yield Case(f"forest {number}", model.bytes, certificate)


class Comparison:
    """Both checkers, side by side."""

    def __init__(self, root: Path) -> None:
        """Take the Python side from ``root``."""
        sys.path.insert(0, str(root))
        from checker.__main__ import facts
        from checker.check import check
        from checker.ground.errors import Refusal, Rejected

        sys.path.insert(0, str(HERE))
        import dump

        self.dump, self.facts, self.check = dump, facts, check
        self.refusal, self.rejected = Refusal, Rejected
        self.counts: Counter[str] = Counter()
        self.declined: Counter[str] = Counter()
        self.differences: list[str] = []

    def python(self, parsed: object) -> tuple[str, str]:
        """Return the word and the verdict line, or the clause, of the Python checker."""
        try:
            facts = self.facts(self.check(parsed, lambda done, declared: None))
        except self.refusal as refusal:
            return ("REJECTED" if isinstance(refusal, self.rejected) else "DECLINED"), refusal.rule
        return "VERIFIED", " ".join(f"{key}={value}" for key, value in facts.items())

    @staticmethod
    def verified(text: str) -> tuple[str, str]:
        """Return the word and the rest of the line of the verified checker."""
        done = subprocess.run([BINARY, "-"], input=text.encode(), capture_output=True, check=False)
        line = done.stdout.decode().strip()
        if not line.startswith("s ") or done.stderr:
            raise RuntimeError(f"exit code {done.returncode}: {done.stderr.decode()[-300:]}")
        _, word, rest = line.split(" ", 2)
        if {"VERIFIED": 0, "REJECTED": 10, "DECLINED": 20}[word] != done.returncode:
            raise RuntimeError(f"exit code {done.returncode} of {line[:200]}")
        return word, rest.removesuffix(" checker=verified files=unread")

    def compare(self, case: Case) -> None:
        """Count one case."""
        try:
            parsed = self.dump.parse(case.model, case.certificate)
        except self.refusal:
            self.counts["unparsed"] += 1  # by the parser that both share
            return
        try:
            text = self.dump.dump(parsed, case.certificate)
        except self.refusal as refusal:
            self.counts["declined"] += 1
            self.declined[refusal.why] += 1
            return
        known = self.python(parsed)
        if known[0] == "DECLINED" and known[1] in BUDGETS:
            self.counts["declined"] += 1
            self.declined[f"by the Python checker, {known[1]}"] += 1
            return
        found = self.verified(text)
        self.counts["compared"] += 1
        if found == known or (found[0] == known[0] == "REJECTED"):
            self.counts["equal"] += 1
        else:
            self.counts["different"] += 1
            self.differences.append(f"{case.name}: python {known}, verified {found}")


def main() -> int:
    """Compare everything, print the counts, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--forests", type=int, default=600)
    parser.add_argument("--quick", action="store_true", help="leave out what takes seconds")
    parser.add_argument("--checker", type=Path, default=ROOT)
    parser.add_argument("--stop", action="store_true", help="stop at the first difference")
    options = parser.parse_args()
    comparison = Comparison(options.checker.resolve())

    def cases() -> Iterator[Case]:
        yield from vectors()
        yield from forests(options.forests)
        for case in shipped():
            if not options.quick or case.name.startswith("max-of-4-seed-0/"):
                yield case

    for case in cases():
        comparison.compare(case)
        if options.stop and comparison.differences:
            break
    for why, number in sorted(comparison.declined.items()):
        print(f"declined {number}: {why}")
    for difference in comparison.differences:
        print(f"DIFFERENT {difference}")
    counts = comparison.counts
    print(f"not well formed for either: {counts['unparsed']}")
    words = (f"{name}={counts[name]}" for name in ("compared", "equal", "declined", "different"))
    print(*words)
    return 1 if counts["different"] or not counts["compared"] else 0


if __name__ == "__main__":
    sys.exit(main())
