"""Print (or write) tables of the shipped models and certificates.

    python -m benchmarks                 prove and check every shipped model with every strategy
    that ships, side by side
    python -m benchmarks --effort 1,10   the same for 'count' at several efforts
    python -m benchmarks --table         check every shipped certificate and rewrite
    certificates/README.md

Times are wall-clock on whatever machine this runs on; compare them within one run, and quote
ratios.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from certify.cells.draft import prove
from certify.certificate.client import run_checker
from certify.certificate.finish import Options
from certify.files import write_bytes
from certify.leaves.draft import prove_leaves
from certify.question.float32 import Float32
from certify.question.question import read_question
from certify.question.scope import UNIFORM
from certify.sums.draft import prove as prove_addition

CERTIFICATES = Path(__file__).parent.parent / "certificates"
HEAD = """# Certificates

Every file here was checked to make this table. To check one again, with nothing but Python:

    python3 -S -m checker certificates/max-of-4-seed-0/model.safetensors certificates/max-of-4-seed-0/exact.json

or all of them: `make certificates`. Models were trained by the project's own commands (recipes: `benchmarks/recipes.py`),
for example `certify train max-of-k --k K --vocab 64 --d-model 32 --seed S --out model.safetensors`, and each certificate
made by `certify prove model.safetensors --task TASK --strategy STRATEGY --effort EFFORT --out STRATEGY.json`, with
`--semantics float32:any-order` where the name of the file ends in `-float32`. The task is `max-of-k`, `modular-addition`
(modadd) or `balanced-brackets` (brackets). The effort is 1, but for `cascade` 10 at k = 4 and 0.3 at k = 10 and 20. The
claim is about all inputs, ties counting as wrong: in real arithmetic, or of every execution in float32 with sums in any
order, eps_exp = 2^-22, eta_exp = 2^-126. Proof length is in scalar operations (SPEC 8.1, 13, 14.8); the check time is one
core of one machine, bare Python, and only good for comparison within this table.

| model | strategy | correct, at least | correct, at most | undecided share | bytes | proof length | check |
|---|---|---|---|---|---|---|---|
"""


EFFORTS = {
    ("cascade", "max-of-4"): 10.0,
    ("cascade", "max-of-10"): 0.3,
    ("cascade", "max-of-20"): 0.3,
}
"""The effort with which a certificate was made, where it is not 1, by strategy and model."""

FLOAT32_SUFFIX = "-float32"


def _order(folder: Path) -> list[str | int]:
    """Return a key that sorts numbers in a name as numbers."""
    return [
        int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", folder.name))
    ]


def _certificates() -> Iterator[tuple[str, Path, Path]]:
    folders = (path for path in CERTIFICATES.iterdir() if path.is_dir())
    for folder in sorted(folders, key=_order):
        for file in sorted(folder.glob("*.json")):
            yield folder.name, folder / "model.safetensors", file


def _decimal(part: int, total: int) -> str:
    return f"{part * 10**10 // total / 10**10:.10f}" if part < total else "1"


def write_table() -> None:
    """Check every shipped certificate and rewrite the table beside them."""
    rows = []
    for name, model, file in _certificates():
        ended = run_checker([str(model), str(file), "--json"])
        facts = json.loads(ended.stdout)
        if ended.returncode != 0 or facts["verdict"] != "VERIFIED":
            raise SystemExit(f"{file}: {ended.stdout.strip()}")
        lower, upper, total = (
            int(facts[key]) for key in ("correct_lower", "correct_upper", "total")
        )
        width = "0 (exact)" if lower == upper else f"{(upper - lower) / total:.1e}"
        cells = [name, f"`{file.stem}`", _decimal(lower, total), _decimal(upper, total), width]
        cells += [
            str(file.stat().st_size),
            f"{facts['operations']['total']:,}",
            f"{facts['seconds']} s",
        ]
        rows.append("| " + " | ".join(cells) + " |\n")
        click.echo(rows[-1], nl=False)
    write_bytes(CERTIFICATES / "README.md", (HEAD + "".join(rows)).encode())


def compare(effort: float) -> None:
    """Prove and check every shipped model as its certificates were made, at this effort times
    theirs, and print one table.
    """
    table = Table(
        "model",
        "proof",
        "effort",
        "lower",
        "upper",
        "width",
        "prover s",
        "checker s",
        "operations",
        "bytes",
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, model, file in _certificates():
            out = Path(folder) / "certificate.json"
            strategy = file.stem.removesuffix(FLOAT32_SUFFIX)
            own = effort * EFFORTS.get((strategy, model.parent.name.split("-seed")[0]), 1.0)
            options = Options(
                own, float32=Float32() if file.stem.endswith(FLOAT32_SUFFIX) else None
            )
            if name.startswith("brackets"):
                proved = prove_leaves(
                    model, read_question("balanced-brackets"), UNIFORM, out, lambda _share: None
                )
            else:
                chosen = prove_addition if name.startswith("modadd") else prove
                proved = chosen(model, UNIFORM, strategy, out, options, lambda _done, _note: None)
            lower, upper, total = (
                int(proved.facts[key]) for key in ("correct_lower", "correct_upper", "total")
            )
            row = [name, file.stem, f"{own:g}", _decimal(lower, total), _decimal(upper, total)]
            row += [
                f"{(upper - lower) / total:.2e}",
                f"{proved.prover_seconds:.2f}",
                f"{proved.checker_seconds:.2f}",
            ]
            table.add_row(*row, f"{proved.facts['operations']['total']:,}", f"{proved.size:,}")
            print(f"{name} {file.stem} done", file=sys.stderr)
    Console(width=140).print(table)


@click.command(help=__doc__)
@click.option(
    "--table",
    is_flag=True,
    help="Check the shipped certificates and rewrite certificates/README.md.",
)
@click.option(
    "--effort",
    type=click.FloatRange(0.001, 100),
    default=1.0,
    show_default=True,
    help="Times that of the certificates.",
)
def main(*, table: bool, effort: float) -> None:
    """Run one of the two measurements."""
    if table:
        write_table()
    else:
        compare(effort)


if __name__ == "__main__":
    main()
