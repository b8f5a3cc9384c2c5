"""The command that summarises a certificate."""

from __future__ import annotations

from pathlib import Path

import click

from certify import families
from certify.certificate.show import Summary, read_certificate, reading
from certify.command.console import print_columns
from certify.command.group import main
from certify.command.options import EXISTING
from certify.decimals import cut
from certify.errors import Unsupported
from certify.family import Family

WIDTH = 100


@main.command()
@click.argument("certificate", metavar="CERTIFICATE.json", type=EXISTING)
@click.option(
    "--weakest",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="How many of the weakest groups.",
)
@click.option(
    "--wrong", is_flag=True, help="List the inputs that are claimed to be wrong, one on a line."
)
@click.option(
    "--against",
    type=EXISTING,
    metavar="OTHER.json",
    help="Name the groups that prove less than in this certificate.",
)
def show(certificate: Path, weakest: int, against: Path | None, *, wrong: bool) -> None:
    """Summarise what a certificate claims: statement, groups, and where the model is weak.

    Nothing is verified here; 'certify verify' does that.

    \b
      certify show exact.json
      certify show float32.json --against real.json     # what is lost under float32
      certify show every-input.json --wrong             # the inputs that are wrong
    """
    summary = read_certificate(certificate)
    showing = families.of_proof(summary.proof).showing
    with reading(certificate):
        tables = showing.tables(summary, weakest)
        _ = summary.bounds, summary.total, summary.domain, summary.task
    if wrong:
        if showing.wrong is None:
            able = _kinds([family for family in families.FAMILIES if family.showing.wrong])
            raise Unsupported(f"{certificate}: only a proof of {able} names single inputs")
        for tokens in showing.wrong(summary):
            click.echo(" ".join(map(str, tokens)))
        return
    if against is not None and showing.lost is None:
        able = ", ".join(family.kind for family in families.FAMILIES if family.showing.lost)
        raise Unsupported(f"{certificate}: --against compares proofs of {able}")
    _print_statement(summary)
    for table in tables:
        print_columns(table, WIDTH)
    if against is not None and showing.lost is not None:
        lost = showing.lost(summary, read_certificate(against))
        click.echo(lost.note)
        if lost.rows:
            print_columns(lost, WIDTH)


def _kinds(able: list[Family]) -> str:
    return " or ".join(f"{family.kind} (strategy {family.usual})" for family in able)


def _print_statement(summary: Summary) -> None:
    """Print what is claimed of which model."""
    (lower, upper), total, said = summary.bounds, summary.total, summary.statement
    click.echo(f"claim       {lower} <= correct <= {upper} of {total}")
    click.echo(f"accuracy    {cut(lower, total)} to {cut(upper, total)}")
    click.echo(f"model       {said['model']}")
    exp = "".join(f", {key} {said[key]}" for key in ("eps_exp", "eta_exp") if key in said)
    scope = f"scope {summary.scope}, semantics {said['semantics']}{exp}"
    click.echo(f"task        {summary.task}, {scope}")
    if summary.domain.unusual:
        click.echo(f"domain      {summary.domain.words()}")
    click.echo(f"proof       strategy {summary.strategy}, {summary.operations} operations")
