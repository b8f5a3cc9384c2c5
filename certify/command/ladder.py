"""The command that climbs a ladder."""

from __future__ import annotations

from pathlib import Path

import click

from certify import families
from certify.command.console import print_columns, progress_bar, require_folder
from certify.command.group import main
from certify.command.options import (
    EXISTING,
    NEW_FILE,
    Texts,
    domain_options,
    jobs_option,
    task_option,
)
from certify.decimals import cut
from certify.errors import BadInput, CertifyError
from certify.files import write_bytes
from certify.ladder.climb import Ladder, climb
from certify.ladder.file import as_csv, as_json
from certify.ladder.form import Form
from certify.ladder.plot import require_matplotlib
from certify.ladder.rung import Level
from certify.model.file import load_model
from certify.question.domain import read_domain
from certify.question.question import read_question

WIDTH = 150
LIMITS = {"quick": 120.0, "default": 600.0, "all": 7200.0}
"""Seconds for each rung, by level."""


@main.command()
@click.argument("model_file", metavar="MODEL.safetensors", type=EXISTING)
@task_option
@domain_options
@click.option(
    "--quick",
    "level",
    flag_value="quick",
    help="One proof for each published row, or strategy: some minutes at most.",
)
@click.option(
    "--all",
    "level",
    flag_value="all",
    help="Every sub-cubic configuration and brute force too, or every input.",
)
@click.option("--out", type=NEW_FILE, required=True, help="The JSON file to write.")
@click.option("--csv", "csv_file", type=NEW_FILE, help="A table to write, one line a rung.")
@click.option(
    "--plot",
    "plot_file",
    type=NEW_FILE,
    help="A picture to write: .svg, .png or .pdf (needs matplotlib).",
)
@click.option("--folder", type=EXISTING, help="An existing folder to keep the certificates in.")
@click.option(
    "--time-limit",
    type=click.FloatRange(1),
    metavar="S",
    help="Seconds after which a rung is given up: 120 with --quick, 7200 with --all, else 600.",
)
@jobs_option
def ladder(
    model_file: Path,
    task: str,
    asked: Texts,
    level: Level | None,
    out: Path,
    csv_file: Path | None,
    plot_file: Path | None,
    folder: Path | None,
    time_limit: float | None,
    jobs: int,
) -> None:
    """Prove one model in many ways: how long a proof is against how much it proves.

    Every rung is proved and checked on its own; one that is refused, fails or
    takes too long becomes a row with the reason. One that proves nothing has
    the bound 0. Bounds are the checker's. For max-of-k, published rows are
    shown beside ours; for modular-addition, margins.

    \b
      certify ladder model.safetensors --task max-of-k --quick --out ladder.json
      certify ladder model.safetensors --task max-of-k --out ladder.json --csv ladder.csv
      certify ladder model.safetensors --task modular-addition --out l.json --plot ladder.svg
    """
    if task.partition(":")[0] not in families.tasks_with_ladders():
        able = " and ".join(families.tasks_with_ladders())
        raise click.BadParameter(f"{task!r} has no ladder, {able} have.", param_hint="'--task'")
    level = level or "default"
    for path in (out, csv_file, plot_file):
        if path is not None:
            require_folder(path)
    if folder is not None and not folder.is_dir():
        raise BadInput(f"{folder}: no such folder")
    if plot_file is not None:
        require_matplotlib(plot_file)
    model = load_model(model_file)
    question = read_question(task, model.config, read_domain(model.config, **asked))
    family, form = families.ladder_for(question, model.config)
    family.require(model.config, question, str(model_file))
    given = {"task": task, **asked}
    words = [
        word for name, text in given.items() if text is not None for word in (f"--{name}", text)
    ]
    run, listed = form.rungs(level)
    limit = time_limit or LIMITS[level]
    with progress_bar("climbing") as advance:
        climbed = climb(
            model, question, words, run, listed, limit, form.details, folder, jobs, advance
        )
    write_bytes(out, as_json(climbed, form))
    if csv_file is not None:
        write_bytes(csv_file, as_csv(climbed, form))
    if plot_file is not None:
        write_bytes(plot_file, form.draw(climbed, plot_file.suffix))
    _print_ladder(climbed, form)
    written = ", ".join(str(path) for path in (out, csv_file, plot_file) if path is not None)
    click.echo(f"{len(climbed.proved())} of {len(climbed.rows)} rungs verified; wrote {written}")
    if not climbed.proved():
        raise CertifyError("no rung was verified")


def _print_ladder(climbed: Ladder, form: Form) -> None:
    """Print the verified rungs for a reader, the reasons of the others, and what no proof can
    pass.
    """
    table = form.table(climbed)
    print_columns(table, WIDTH, right=True)
    if table.note:
        click.echo(table.note)
    for row in climbed.rows:
        if row.proof is None:
            click.echo(f"{row.verdict:<10}{row.rung.group}: {row.rung.spelled()}: {row.reason}")
    best, total = climbed.best_upper(), climbed.total
    click.echo(f"best upper bound: {best} of {total} right ({cut(best, total)})")
