"""The command that runs a sweep."""

from __future__ import annotations

from pathlib import Path

import click

from certify.columns import Columns
from certify.command.console import print_columns, progress_bar, report_failure
from certify.command.group import main
from certify.command.options import EXISTING, NEW_FILE
from certify.sweep.results import Sweep
from certify.sweep.run import LOCAL, run_sweep

WIDTH = 150
HEADS = ("proof", "semantics", "jobs", "verified", "accuracy at least, least and most")


@main.command()
@click.argument("file", metavar="FILE.toml", type=EXISTING)
@click.option(
    "--out", type=NEW_FILE, required=True, metavar="DIR", help="The folder to keep it in."
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="How many jobs run at a time, one core each; with Dask, how many are checked at a time.",
)
@click.option(
    "--engine",
    default=LOCAL,
    show_default=True,
    metavar="local|dask://HOST:PORT",
    help="Processes of this machine, or the workers of a Dask scheduler.",
)
@click.option("--retry", is_flag=True, help="Run again what failed or was out of time.")
@click.option("--parquet", is_flag=True, help="Write results.parquet too (needs pyarrow).")
def sweep(file: Path, out: Path, jobs: int, engine: str, *, retry: bool, parquet: bool) -> None:
    """Prove many things of many models: models x strategies x semantics.

    FILE.toml says which; docs/sweep.md explains it. Everything is kept in DIR:
    models and certificates by their hash, each result as soon as it is there,
    at the end results.json and results.csv. Killed at any time, the same
    command goes on: nothing is lost, and only what was at work runs again.
    Every certificate is checked once more here, whoever made it. Exit code 10:
    one was rejected; 20: a job failed, with its line.

    \b
      certify sweep study.toml --out study --jobs 2
      certify sweep study.toml --out study --engine dask://192.0.2.7:8786
    """
    try:
        with progress_bar("sweeping") as advance:
            found = run_sweep(
                file,
                out=out,
                jobs=jobs,
                engine=engine,
                retry=retry,
                parquet=parquet,
                progress=advance,
            )
    except KeyboardInterrupt:
        report_failure("interrupted: the same command goes on where this one stopped")
        click.get_current_context().exit(1)
    _print_sweep(found)
    for line in found.failures():
        report_failure(line)
    click.echo(f"wrote {out / 'results.json'}")
    if found.exit_code():
        click.get_current_context().exit(found.exit_code())


def _print_sweep(found: Sweep) -> None:
    """Print a line for each strategy: how many models it was verified of, least and most."""
    table = Columns("", HEADS)
    groups: dict[tuple[str, str], list[dict[str, object]]] = {}
    for row in found.rows:
        facts = row.facts()
        groups.setdefault((row.label, str(facts["semantics"])), []).append(facts)
    for (label, semantics), rows in sorted(groups.items()):
        bounds = sorted(str(one["accuracy_lower"]) for one in rows if one["accuracy_lower"])
        spread = f"{bounds[0]} to {bounds[-1]}" if bounds else ""
        table.rows.append((label, semantics, str(len(rows)), str(len(bounds)), spread))
    print_columns(table, WIDTH)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in found.counts().items())
    trained = f"{len(found.trainings)} models trained; " if found.trainings else ""
    click.echo(f"{trained}{len(found.rows)} jobs: {counts}")
