"""The command that audits exp."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import click

from certify.audit.record import Record, parse_fraction
from certify.audit.record import as_json as records_as_json
from certify.audit.scan import LIBRARIES, functions, scan
from certify.command.console import (
    progress_bar,
    require_folder,
)
from certify.command.group import main
from certify.command.options import (
    NEW_FILE,
)
from certify.files import write_bytes


@main.command("audit-exp")
@click.option(
    "--library",
    type=click.Choice([*LIBRARIES, "all"]),
    default="all",
    show_default=True,
    help="'all': those installed.",
)
@click.option(
    "--sample",
    type=click.IntRange(2),
    metavar="N",
    help="Scan N evenly spread inputs only; this bounds nothing.",
)
@click.option("--out", type=NEW_FILE, required=True, help="The JSON record to write.")
def audit_exp(library: str, sample: int | None, out: Path) -> None:
    """Measure the float32 exp of the installed libraries over every input d <= 0.

    A claim about float32 assumes |exp(d) - e^d| <= eps_exp e^d + eta_exp. This
    finds both numbers for this build on this processor, PyTorch's softmax
    kernel included, which need not use the exp of torch.exp. About a minute
    for each function.

    \b
      certify audit-exp --out exp.json
      certify audit-exp --library numpy --sample 1000000 --out quick.json
    """
    require_folder(out)
    records: list[Record] = []
    for function in functions(library):
        with progress_bar(f"scanning {function.name}") as advance:
            records.append(scan(function, sample, advance))
    write_bytes(out, records_as_json(records))
    for record in records:
        _print_record(record)
    click.echo(f"wrote {out}")


def _print_record(record: Record) -> None:
    """Print one scan for a reader."""
    eps, eta = (float(Fraction(*parse_fraction(text))) for text in (record.eps_exp, record.eta_exp))
    click.echo(f"{record.called}, version {record.version}, on {record.device}")
    kind = "every one" if record.is_exhaustive() else "a sample, which bounds nothing"
    click.echo(
        f"  inputs          {record.inputs} in [-104, 0] and {record.inputs_below} below: {kind}"
    )
    click.echo(
        f"  relative error  {record.relative_error:.6g} at {record.relative_at!r}, where e^d >="
        " 2^-126"
    )
    click.echo(
        f"  absolute error  {record.absolute_error:.6g} * 2^-149 at {record.absolute_at!r},"
        " elsewhere"
    )
    click.echo(f"  below -104      at most {record.largest_below:g}")
    click.echo(f"  eps_exp         {record.eps_exp} = 2^{math.log2(eps):.3f}")
    click.echo(f"  eta_exp         {record.eta_exp} = 2^{math.log2(eta):.3f}")
