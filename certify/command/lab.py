"""Commands of the laboratory: one for each row of ``EXPERIMENTS``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from certify.command.console import progress_bar, report_failure
from certify.command.group import main
from certify.command.options import EXISTING, NEW_FILE
from certify.errors import BadInput
from certify.lab.experiment import Asked, Experiment, Extra, read_seeds
from certify.lab.experiments import EXPERIMENTS
from certify.lab.kinds import KINDS, smallest
from certify.lab.pictures import require_matplotlib
from certify.lab.run import run_lab


@main.group()
def lab() -> None:
    """Experiments on models, over bounds that the checker verified (docs/lab.md).

    Each takes models from files, or trains one for each seed, and writes
    results.json, results.csv, timing.json and pictures to a folder. Killed at
    any time, the same command goes on, and its results are the same bytes.

    \b
      certify lab scope --models certificates/max-of-4-seed-0/model.safetensors --out scopes
      certify lab scope --seeds 0-4 --out scopes --jobs 2
    """


class Seeds(click.ParamType[tuple[int, ...]]):
    """Seeds, written like 0-19 or 0,3,5."""

    name = "seeds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Return the seeds; another text is a usage error."""
        if isinstance(value, tuple):
            return value
        try:
            return read_seeds(value)
        except BadInput as refusal:
            self.fail(str(refusal), param, ctx)


class OfExtra(click.ParamType[Any]):
    """A value of an experiment's own option."""

    name = "text"

    def __init__(self, extra: Extra) -> None:
        self.extra = extra

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value; a text that is none is a usage error."""
        if not isinstance(value, str):
            return value
        try:
            return self.extra.read(value)
        except (ValueError, BadInput) as refusal:
            self.fail(f"{value!r}: {refusal}", param, ctx)


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return "the shipped file"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _options(experiment: Experiment) -> list[click.Parameter]:
    seeds = experiment.seeds
    shown = f"{seeds[0]}-{seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
    found: list[click.Parameter] = [
        click.Option(
            ["--out"], type=NEW_FILE, required=True, metavar="DIR", help="The folder to keep it in."
        ),
        click.Option(
            ["--models"],
            type=EXISTING,
            multiple=True,
            metavar="MODEL",
            help="A model file of the kind; may be given several times.",
        ),
        click.Option(
            ["--seeds"],
            type=Seeds(),
            metavar="0-19",
            help=f"Train a model for each of these seeds. [default: {shown}]",
        ),
        click.Option(
            ["--kind"],
            type=click.Choice(experiment.kinds),
            default=experiment.kinds[0],
            show_default=True,
            help="Which models: how they are trained, and what is asked of them.",
        ),
        click.Option(
            ["--jobs"],
            type=click.IntRange(1),
            default=1,
            show_default=True,
            help="How many units run at a time, one core each.",
        ),
        click.Option(
            ["--smoke"], is_flag=True, help="The smallest run that does everything: seconds."
        ),
    ]
    if experiment.draws is not None:
        found.append(
            click.Option(
                ["--draws"],
                type=click.IntRange(1, 1_000_000),
                metavar="N",
                help=f"Random draws of each sort. [default: {experiment.draws}]",
            )
        )
    found.extend(
        click.Option(
            [f"--{extra.name}"],
            type=OfExtra(extra),
            metavar="TEXT",
            help=f"{extra.help} [default: {_told(extra.usual)}]",
        )
        for extra in experiment.extras
    )
    return found


def _asked(experiment: Experiment, given: dict[str, Any]) -> Asked:
    """Return what the options ask for; ``--smoke`` makes what is not given small."""
    smoke = bool(given["smoke"])
    models = tuple(given["models"])
    if models and given["seeds"] is not None:
        raise click.UsageError("--seeds trains models, --models names those that are there.")
    kind = KINDS[given["kind"]]
    if smoke and not models:
        kind = smallest(kind)
    draws = given.get("draws") or (experiment.smoke_draws if smoke else experiment.draws) or 1
    seeds = given["seeds"] or (experiment.seeds[:1] if smoke else experiment.seeds)
    more = {
        extra.name: (extra.smoke if smoke else extra.usual)
        if (value := given[extra.name.replace("-", "_")]) is None
        else value
        for extra in experiment.extras
    }
    return Asked(kind, models, seeds, draws, smoke, more)


def _command(experiment: Experiment) -> click.Command:
    def run(out: Path, jobs: int, **given: Any) -> None:
        require_matplotlib()
        asked = _asked(experiment, given)
        try:
            with progress_bar(f"lab {experiment.name}") as advance:
                done = run_lab(experiment, asked, out=out, jobs=jobs, progress=advance)
        except KeyboardInterrupt:
            report_failure("interrupted: the same command goes on where this one stopped")
            click.get_current_context().exit(1)
        for line in done.failures:
            report_failure(line)
        certified = [line for line in _lines(done.results) if line]
        click.echo(f"{len(done.results['units'])} units, {len(certified)} certificates verified")
        click.echo(f"wrote {out / 'results.json'}")
        if done.failures:
            click.get_current_context().exit(20)

    return click.Command(
        experiment.name, callback=run, params=_options(experiment), help=experiment.about
    )


def _lines(value: Any) -> list[str]:
    """Return every verdict line that stands in a result, each once."""
    found: dict[str, None] = {}
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if isinstance(one.get("line"), str):
                found[one["line"]] = None
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
    return list(found)


for row in EXPERIMENTS.values():
    lab.add_command(_command(row))
