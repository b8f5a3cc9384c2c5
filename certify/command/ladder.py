"""The command that climbs a ladder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from certify.cells.picture import draw
from certify.cells.published import references
from certify.cells.rungs import rungs
from certify.command.console import (
    cut,
    progress_bar,
    require_folder,
    share,
)
from certify.command.group import main
from certify.command.options import (
    CELLS,
    EXISTING,
    NEW_FILE,
    STRATEGIES_OF,
    task_option,
)
from certify.errors import BadInput, CertifyError
from certify.files import write_bytes
from certify.ladder.climb import Ladder, climb
from certify.ladder.file import as_csv, as_json, normalised
from certify.ladder.plot import require_matplotlib
from certify.ladder.rung import Level, Rung
from certify.model.config import Config, require_one_layer
from certify.model.file import load_model
from certify.sums import picture as plot_addition
from certify.sums import rungs as ladder_addition
from certify.sums.draft import require_supported as require_addition


@main.command()
@click.argument("model_file", metavar="MODEL.safetensors", type=EXISTING)
@task_option(STRATEGIES_OF)
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
def ladder(
    model_file: Path,
    task: str,
    level: Level | None,
    out: Path,
    csv_file: Path | None,
    plot_file: Path | None,
    folder: Path | None,
    time_limit: float | None,
) -> None:
    """Prove one model in many ways: how long a proof is against how much it proves.

    Every rung is proved and checked on its own; one that is refused, fails or
    takes too long becomes a row with the reason. Bounds are the checker's. For
    max-of-k, published rows are shown beside ours; for modular-addition, margins.

    \b
      certify ladder model.safetensors --task max-of-k --quick --out ladder.json
      certify ladder model.safetensors --task max-of-k --out ladder.json --csv ladder.csv --plot
      ladder.svg
      certify ladder model.safetensors --task modular-addition --out ladder.json --plot ladder.svg
    """
    level = level or "default"
    for path in (out, csv_file, plot_file):
        if path is not None:
            require_folder(path)
    if folder is not None and not folder.is_dir():
        raise BadInput(f"{folder}: no such folder")
    if plot_file is not None:
        require_matplotlib(plot_file)
    model = load_model(model_file)
    forms = _forms(task)
    forms.require(model.config, model_file)
    run, listed = forms.rungs(level)
    limit = time_limit or {"quick": 120.0, "default": 600.0, "all": 7200.0}[level]
    with progress_bar("climbing", len(run)) as advance:
        climbed = climb(model_file, model, run, listed, limit, folder, advance, task)
    write_bytes(out, forms.as_json(climbed))
    if csv_file is not None:
        write_bytes(csv_file, forms.as_csv(climbed))
    if plot_file is not None:
        write_bytes(plot_file, forms.draw(climbed, plot_file.suffix))
    forms.show(climbed)
    written = ", ".join(str(path) for path in (out, csv_file, plot_file) if path is not None)
    click.echo(f"{len(climbed.proved())} of {len(climbed.rows)} rungs verified; wrote {written}")
    if not climbed.proved():
        raise CertifyError("no rung was verified")


@dataclasses.dataclass(frozen=True, slots=True)
class _Forms:
    """What the ladder of a task consists of, and how it is written."""

    require: Callable[[Config, Path], None]
    rungs: Callable[[Level], tuple[tuple[Rung, ...], tuple[Rung, ...]]]
    as_json: Callable[[Ladder], bytes]
    as_csv: Callable[[Ladder], bytes]
    draw: Callable[[Ladder, str], bytes]
    show: Callable[[Ladder], None]


def _forms(task: str) -> _Forms:
    """Return the forms of one task."""
    if task == CELLS:
        return _Forms(
            lambda config, file: require_one_layer(config, str(file)),
            rungs,
            as_json,
            as_csv,
            draw,
            _print_ladder,
        )
    own = ladder_addition
    return _Forms(
        lambda config, _: require_addition(config),
        own.rungs,
        own.as_json,
        own.as_csv,
        plot_addition.draw,
        _print_additions,
    )


def _print_additions(climbed: Ladder) -> None:
    """Print the verified rungs of modular addition for a reader, then the reasons of the others."""
    frontier = climbed.frontier()
    numbers = (
        "operations",
        "multiplications",
        "certified",
        "smallest",
        "median",
        "bytes",
        "prover s",
        "checker s",
    )
    table = Table(
        "rung",
        *numbers,
        title="* on the frontier: no other rung is both shorter and certifies more",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for rung, proof in climbed.proved():
        certified = (
            str(proof.lower) if proof.lower == proof.upper else f"{proof.lower} to {proof.upper}"
        )
        margins = ["" if found is None else cut(found) for found in (proof.smallest, proof.median)]
        costs = [f"{proof.bytes:,}", f"{proof.prover_seconds:.1f}", f"{proof.checker_seconds:.1f}"]
        star = " *" if (rung, proof) in frontier else "  "
        table.add_row(
            rung.spelled(),
            f"{proof.operations:,}{star}",
            f"{proof.multiplications:,}",
            certified,
            *margins,
            *costs,
        )
    Console(width=150).print(table)
    click.echo(
        "smallest, median: margins that all, and at least half, of the inputs proved right have"
    )
    _print_unproved(climbed)


def _print_unproved(climbed: Ladder) -> None:
    """Print the reasons of the rungs without a proof, and what no proof can pass."""
    total = climbed.total
    for row in climbed.rows:
        if row.proof is None:
            click.echo(f"{row.verdict:<10}{row.rung.group}: {row.rung.spelled()}: {row.reason}")
    click.echo(
        f"best upper bound: {climbed.best_upper()} of {total} right ({share(climbed.best_upper(), total)})"
    )


def _print_ladder(climbed: Ladder) -> None:
    """Print the verified rungs for a reader, published bounds beside ours, then the reasons of the
    others.
    """
    published = references(climbed.config.n_ctx, climbed.config.d_vocab)
    frontier, total = climbed.frontier(), climbed.total
    numbers = (
        "operations",
        "accuracy >=",
        "error <=",
        "normalised",
        "published",
        "bytes",
        "prover s",
        "checker s",
    )
    table = Table(
        "rung", *numbers, title="* on the frontier: no other rung is both shorter and tighter"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for rung, proof in climbed.proved():
        found = published.get(rung.group)
        bounds = [
            share(proof.lower, total),
            f"{(total - proof.lower) / total:.2e}",
            f"{normalised(climbed, proof):.6f}",
        ]
        costs = [f"{proof.bytes:,}", f"{proof.prover_seconds:.1f}", f"{proof.checker_seconds:.1f}"]
        star = " *" if (rung, proof) in frontier else "  "
        reference = f"{found.mean:.3f}" if found else ""
        table.add_row(
            f"{rung.group}\n  {rung.spelled()}",
            f"{proof.operations:,}{star}",
            *bounds,
            reference,
            *costs,
        )
    Console(width=150).print(table)
    _print_unproved(climbed)
