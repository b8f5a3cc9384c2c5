"""Commands that train models: one for each row of ``TRAINABLE``, its options made from the row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from certify.command.console import progress_bar, require_folder
from certify.command.group import main
from certify.command.options import NEW_FILE
from certify.errors import BadInput
from certify.evaluation.known import known_accuracy
from certify.model.file import Model, save_model
from certify.training.full_batch import quality
from certify.training.recipe import Named, Setting, Trainable
from certify.training.tasks import TRAINABLE


@main.group()
def train() -> None:
    """Train a small transformer on a task (needs PyTorch)."""


def _reader(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return how click reads a text of its own form: what ``read`` refuses is wrong usage."""

    def convert(text: Any) -> Any:
        if not isinstance(text, str):  # a default
            return text
        try:
            return read(text)
        except BadInput as refusal:
            raise click.BadParameter(str(refusal)) from refusal

    return convert


def _kind(default: Any, setting: Setting) -> Any:
    """Return how click reads a value."""
    if setting.read is not None:
        return _reader(setting.read)
    if setting.choices:
        return click.Choice(setting.choices)
    if not isinstance(default, float):
        return click.IntRange(_whole(setting.least), _whole(setting.most))
    if (setting.least, setting.above, setting.most) == (None, None, None):
        return float
    least = setting.least if setting.above is None else setting.above
    return click.FloatRange(least, setting.most, min_open=setting.above is not None)


def _whole(limit: float | None) -> int | None:
    return None if limit is None else int(limit)


def _option(name: str, default: Any, setting: Setting) -> click.Option:
    spelled = f"--{setting.name or name.replace('_', '-')}"
    if default is False:
        return click.Option([spelled, name], is_flag=True, help=setting.help)
    kind, shown = _kind(default, setting), setting.form or None
    if default is None and "none" not in setting.choices:
        return click.Option([spelled, name], type=kind, metavar=shown, help=setting.help)
    if default is MISSING:
        return click.Option(
            [spelled, name], type=kind, metavar=shown, required=True, help=setting.help
        )
    usual = "none" if default is None else default
    return click.Option(
        [spelled, name],
        type=kind,
        metavar=shown,
        default=usual,
        show_default=True,
        help=setting.help,
    )


def _recipe_option(named: Named) -> click.Option:
    kind = click.Choice(named.names)
    return click.Option(
        ["--recipe"], type=kind, default=named.usual, show_default=True, help=named.help
    )


def _objects(row: Trainable, given: dict[str, Any]) -> list[Any]:
    """Return the objects of the parts: what was typed, what the recipe says, and the defaults."""
    values = {name: None if value == "none" else value for name, value in given.items()}
    first = row.parts[0]
    if row.named is not None:
        recipe = str(values.pop("recipe"))
        sizes = first.made({name: values[name] for name, _, _ in first.settings()})
        source = click.get_current_context().get_parameter_source
        for name, value in row.named.values(recipe, sizes).items():
            if source(name) is ParameterSource.DEFAULT:
                values[name] = value
    return [part.made({name: values[name] for name, _, _ in part.settings()}) for part in row.parts]


def _command(row: Trainable) -> click.Command:
    """Return the command that trains on one task."""
    options = [_option(*one) for part in row.parts for one in part.settings()]
    if row.named is not None:
        options.append(_recipe_option(row.named))
    out_option = click.Option(
        ["--out"], type=NEW_FILE, required=True, help="The model file to write."
    )

    def run(out: Path, **given: Any) -> None:
        require_folder(out)
        objects = _objects(row, given)
        reached: list[tuple[int, float]] = [(0, 0.0)]
        steps = row.steps(*objects)
        with progress_bar("training") as advance:

            def report(step: int, measured: float) -> None:
                reached.append((step, measured))
                advance(step, steps, row.measured(measured))

            tensors, config = row.train(*objects, report)
        save_model(out, tensors, config)
        first, *rest = row.told(*objects, *reached[-1])
        click.echo(f"wrote {out}: {first}")
        for line in rest:
            click.echo(line)
        if row.domain is not None:
            inputs, answers = row.domain(*objects)
            right, smallest = quality(tensors, config, inputs, answers)
            click.echo(
                f"right: {right} of {len(answers)} inputs, smallest margin {smallest:.4f}"
                " (float64 estimates, not bounds)"
            )
        if row.names_maximum:
            with progress_bar("measuring") as advance:
                known = known_accuracy(Model(config, tensors, ""), progress=advance)
            click.echo(f"accuracy: {known.told()}")

    return click.Command(row.task, params=[*options, out_option], callback=run, help=row.about)


for _row in TRAINABLE:
    train.add_command(_command(_row))
