"""The command that summarises a certificate."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from certify.certificate.show import Summary, lost, summarise
from certify.command.console import (
    share,
)
from certify.command.group import main
from certify.command.options import (
    EXISTING,
)
from certify.errors import Unsupported
from certify.leaves.draft import STRATEGY as EXHAUSTIVE


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
    summary = summarise(certificate)
    if wrong:
        if not summary.runs:
            raise Unsupported(
                f"{certificate}: only a proof of leaves (strategy {EXHAUSTIVE}) names single inputs"
            )
        for tokens in summary.wrong():
            click.echo(" ".join(map(str, tokens)))
        return
    total = int(summary.statement["total"])
    lower, upper = int(summary.statement["correct_lower"]), int(summary.statement["correct_upper"])
    scope = summary.statement["scope"] if isinstance(summary.statement["scope"], str) else "product"
    click.echo(f"claim       {lower} <= correct <= {upper} of {total}")
    click.echo(f"accuracy    {share(lower, total)} to {share(upper, total)}")
    click.echo(f"model       {summary.statement['model']}")
    exp = "".join(
        f", {key} {summary.statement[key]}"
        for key in ("eps_exp", "eta_exp")
        if key in summary.statement
    )
    click.echo(
        f"task        {summary.task()}, scope {scope}, semantics {summary.statement['semantics']}{exp}"
    )
    click.echo(f"proof       strategy {summary.strategy}, {summary.operations} operations")
    console = Console(width=100)
    if summary.runs:
        if against is not None:
            raise Unsupported(f"{certificate}: --against compares proofs of cells")
        _print_runs(summary, console)
        return
    methods = Table("method", "groups", "possible failures", "smallest margin", title="groups")
    for method in dict.fromkeys(group.method for group in summary.groups):
        chosen = [group for group in summary.groups if group.method == method]
        failures = sum(group.failures[1] for group in chosen if group.failures)
        margin = min((group.margin for group in chosen if group.margin is not None), default=None)
        shown = "" if margin is None else f"{float(margin):.6f}"
        methods.add_row(
            method, str(len(chosen)), str(failures) if method != "extreme" else "0", shown
        )
    console.print(methods)
    failing = sorted(
        (g for g in summary.groups if g.failures and g.failures[1]),
        key=lambda g: -(g.failures or (0, 0))[1],
    )
    if weakest and failing:
        table = Table(
            "maximum",
            "queries",
            "method",
            "failures at least",
            "at most",
            "share",
            title="weakest groups",
        )
        for group in failing[:weakest]:
            least, most = group.failures or (0, 0)
            row = (group.maximum, group.spelled(), group.method, least, most, f"{most / total:.3e}")
            table.add_row(*map(str, row))
        console.print(table)
    if against is not None:
        _print_lost(summary, summarise(against), against, console)


def _print_runs(summary: Summary, console: Console) -> None:
    """Print what is claimed of how many inputs."""
    table = Table("inputs are", "leaves", "inputs", "smallest margin", title="leaves")
    for method in dict.fromkeys(run.method for run in summary.runs):
        chosen = [run for run in summary.runs if run.method == method]
        margin = min((run.margin for run in chosen if run.margin is not None), default=None)
        shown = "" if margin is None else f"{float(margin):.6f}"
        name = {"skip": "undecided", "either": "right or wrong"}.get(method, method)
        table.add_row(name, str(len(chosen)), str(sum(run.inputs for run in chosen)), shown)
    console.print(table)


def _print_lost(summary: Summary, other: Summary, against: Path, console: Console) -> None:
    """Print the groups in which more may fail than in the other certificate."""
    rows = lost(summary, other)
    click.echo(
        f"{len(rows)} groups prove less than in {against} (semantics {other.statement['semantics']})"
    )
    table = Table("maximum", "queries", "possible failures", "there", title="groups that lose")
    for group, here, there in sorted(rows, key=lambda row: row[2] - row[1]):
        table.add_row(str(group.maximum), group.spelled(), str(here), str(there))
    if rows:
        console.print(table)
