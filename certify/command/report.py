"""The command that makes the page for people."""

from __future__ import annotations

from pathlib import Path

import click

from certify import api
from certify.command.console import progress_bar, require_folder
from certify.command.group import main
from certify.command.options import EXISTING, NEW_FILE


@main.command()
@click.argument(
    "certificates", metavar="CERTIFICATE.json...", type=EXISTING, nargs=-1, required=True
)
@click.option(
    "--model",
    "model_file",
    type=EXISTING,
    required=True,
    metavar="MODEL.safetensors",
    help="The model that the certificates are about.",
)
@click.option("--out", type=NEW_FILE, required=True, help="The HTML file to write.")
@click.option(
    "--checker-page",
    type=EXISTING,
    metavar="FILE.html",
    help="Link this page, which runs the checker in a browser, by its relative path;"
    " check/index.html beside the report is linked where it is there.",
)
@click.option(
    "--time-limit",
    type=click.IntRange(1),
    metavar="S",
    help="Seconds after which the checker declines a certificate.",
)
@click.pass_context
def report(
    ctx: click.Context,
    certificates: tuple[Path, ...],
    model_file: Path,
    out: Path,
    checker_page: Path | None,
    time_limit: int | None,
) -> None:
    """Write a page that says what was proved of a model, for anybody to read.

    The checker is run on every certificate while the page is made; one that it
    rejects or declines stands on the page in red. The page is one file that
    needs no network and no script, and it is written whatever the verdicts;
    the exit code is that of the worst one: 0, 10 or 20. Needs matplotlib and
    jinja2 (the extra certify[report]).

    \b
      certify report certificate.json --model model.safetensors --out report.html
      certify report *.json --model model.safetensors --out report.html --time-limit 600
    """
    require_folder(out)
    with progress_bar("checking") as advance:
        run = api.report(
            model_file,
            certificates,
            out,
            checker_page=checker_page,
            time_limit=time_limit,
            progress=advance,
        )
    for one in run.checked:
        click.echo(f"{one.file.name}: {one.line}")
    verified = sum(one.proof is not None for one in run.checked)
    click.echo(f"{verified} of {len(run.checked)} certificates verified; wrote {out}")
    ctx.exit(run.exit_code)
