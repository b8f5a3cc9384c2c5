"""Print (or write) tables of the shipped models and certificates.

    python -m benchmarks               prove and check what ships again, and print one table
    python -m benchmarks --effort 10   the same at ten times the effort of the certificates
    python -m benchmarks --table       check what ships and rewrite certificates/README.md
    python -m benchmarks --manifests   check it and rewrite certificates/*/manifest.json
    python -m benchmarks --reproduce max-of-4-seed-0
                                       run the commands of a manifest again and compare verdicts

Times are wall-clock on whatever machine this runs on; compare them within one run, and quote
ratios.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks.manifests import (
    CERTIFICATES,
    certificates,
    effort_of,
    reproduce,
    write_manifests,
)
from certify import Certificate, Float32, families, prove
from certify.certificate.client import run_checker
from certify.certificate.job import EFFORT
from certify.certificate.show import Summary, read_certificate
from certify.decimals import cut
from certify.files import write_bytes
from certify.model.file import load_model
from certify.question.float32 import NAME as FLOAT32
from certify.question.question import read_question

HEAD = """# Certificates

Every file here was checked to make this table. To check one again, with nothing but Python:

    make checker.pyz
    python3 -I -S checker.pyz MODEL.safetensors CERTIFICATE.json

or all of them: `make certificates`. Models were trained by the project's own commands (recipes:
`benchmarks/recipes.py`), for example `certify train max-of-k --k K --vocab 64 --d-model 32 --seed S
--out model.safetensors`, and each certificate made by `certify prove model.safetensors --task TASK
--strategy STRATEGY --out STRATEGY.json`, with `--semantics float32:any-order` where the name of the
file ends in `-float32`. The task is `max-of-k`, `modular-addition:P` (modadd), `group:symmetric:5`
(s5) or `balanced-brackets` (brackets); modadd113-equals has the context `a b =`, so it takes
`--domain 0-112/0-112/@113`. The effort is 1, but for `cascade` 10 at k = 4 and 0.3 at k = 10 and
20. The claim is about all inputs, ties counting as wrong: in real arithmetic, or of every execution
in float32 with sums in any order, eps_exp = 2^-22, eta_exp = 2^-126. Proof length is in scalar
operations (SPEC-8.1); the check time is one core of one machine, bare Python, and only good for
comparison within this table.

"""
COLUMNS = (
    "model",
    "strategy",
    "correct, at least",
    "correct, at most",
    "undecided share",
    "bytes",
    "proof length",
    "check",
)


def _decimal(part: int, total: int) -> str:
    return cut(part, total) if part < total else "1"


def write_table() -> None:
    """Check every shipped certificate and rewrite the table beside them."""
    rows = []
    for name, model, file in certificates():
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
    heads = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n"
    readme = CERTIFICATES / "README.md"
    # The chapters below the table are kept.
    _, mark, below = readme.read_text("utf-8").partition("\n## ")
    write_bytes(readme, (HEAD + heads + "".join(rows) + mark + below).encode())


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
        for name, model, file in certificates():
            out = Path(folder) / "certificate.json"
            shipped = read_certificate(file)
            own = effort * effort_of(name, shipped)
            found = _again(model, shipped, own, out)
            verdict = found.verdict
            lower, upper, total = verdict.correct_lower, verdict.correct_upper, verdict.total
            row = [name, file.stem, f"{own:g}", _decimal(lower, total), _decimal(upper, total)]
            row += [
                f"{(upper - lower) / total:.2e}",
                f"{found.prover_seconds:.2f}",
                f"{verdict.seconds:.2f}",
            ]
            table.add_row(*row, f"{verdict.operations:,}", f"{len(found.data):,}")
            print(f"{name} {file.stem} done", file=sys.stderr)
    Console(width=140).print(table)


def _again(model: Path, shipped: Summary, effort: float, out: Path) -> Certificate:
    """Return the certificate of a shipped one's statement by its strategy, at this effort if the
    strategy takes one.
    """
    strategy = families.of_proof(shipped.proof).strategies[shipped.strategy]
    loaded = load_model(model)
    return prove(
        loaded,
        task=read_question(shipped.task, loaded.config, shipped.domain),
        strategy=strategy.name,
        effort=effort if EFFORT in strategy.takes else None,
        float32=Float32() if shipped.statement["semantics"] == FLOAT32 else None,
        jobs=1,
        out=out,
    )


@click.command(help=__doc__)
@click.option(
    "--table",
    is_flag=True,
    help="Check the shipped certificates and rewrite certificates/README.md.",
)
@click.option(
    "--manifests",
    is_flag=True,
    help="Check the shipped certificates and rewrite certificates/*/manifest.json.",
)
@click.option(
    "--reproduce",
    "name",
    metavar="NAME",
    help="Prove those of one folder again; fail where a verdict is not that of its manifest.",
)
@click.option(
    "--effort",
    type=click.FloatRange(0.001, 100),
    default=1.0,
    show_default=True,
    help="Times that of the certificates.",
)
def main(*, table: bool, manifests: bool, name: str | None, effort: float) -> None:
    """Run what was asked for."""
    if table:
        write_table()
    elif manifests:
        write_manifests()
    elif name is not None:
        sys.exit(0 if reproduce(name) else 1)
    else:
        compare(effort)


if __name__ == "__main__":
    main()
