"""Commands about other people's files: import, inspect."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from certify.command.console import require_folder
from certify.command.group import main
from certify.command.options import EXISTING, NEW_FILE, Command
from certify.model.config import MLP_ACTIVATIONS, Config
from certify.model.facts import DIRECTIONS, NORMALIZATIONS, Told
from certify.model.file import save_model
from certify.model.importers import LAYOUT_NAMES, Imported, read_model
from certify.model.inspection import Inspection, inspect_file, json_text


class RealNumber(click.ParamType[float]):
    """A finite number from 0, decimal or hexadecimal as ``float.hex`` spells it."""

    name = "number"

    def __init__(self, most: float) -> None:
        self.most = most

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number; anything else is a usage error."""
        try:
            number = float.fromhex(value) if str(value).startswith("0x") else float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if not 0.0 <= number <= self.most or math.isinf(number):
            wanted = "a number from 0" + ("" if math.isinf(self.most) else f" to {self.most:g}")
            self.fail(f"{value!r} is not {wanted}.", param, ctx)
        return number


_LEFT_OPEN: tuple[Callable[[Command], Command], ...] = (
    click.option("--act", type=click.Choice(MLP_ACTIVATIONS), help="The activation of the MLP."),
    click.option(
        "--normalization",
        type=click.Choice(NORMALIZATIONS),
        help="The layer norm; none and LNPre leave no trace in a file, and none is assumed.",
    ),
    click.option(
        "--eps",
        type=RealNumber(math.inf),
        metavar="E",
        help="What layer norm adds to the variance, such as 1e-5.",
    ),
    click.option("--heads", type=click.IntRange(1), metavar="H", help="The number of heads."),
    click.option(
        "--attention-dir",
        type=click.Choice(DIRECTIONS),
        help="Which keys a position sees: those up to it, or all.",
    ),
    click.option(
        "--attention-mix",
        type=RealNumber(1.0),
        metavar="C",
        help="The share of softmax in the pattern C softmax + (1 - C); 1 unless told.",
    ),
    click.option(
        "--positions",
        type=click.IntRange(1),
        metavar="N",
        help="Keep the first N positions of a causal model.",
    ),
    click.option(
        "--tied-unembed", is_flag=True, help="The unembedding is the embedding transposed."
    ),
    click.option(
        "--layout",
        type=click.Choice(LAYOUT_NAMES),
        help="How the tensors are laid out, where names and shapes do not tell.",
    ),
)


def _entry_options(command: Command) -> Command:
    """Add the options that say what of a file is meant."""
    skip = click.option(
        "--skip", multiple=True, metavar="NAME", help="Leave an entry out; may be repeated."
    )
    entry = click.option(
        "--entry", metavar="NAME", help="Which state dict is meant, where a file holds several."
    )
    return skip(entry(command))


def _fact_options(command: Command) -> Command:
    """Add an option for each fact that a file may leave open."""
    for option in reversed(_LEFT_OPEN):
        command = option(command)
    return command


@main.command("import")
@click.argument("source", metavar="FILE", type=EXISTING)
@click.option("--out", type=NEW_FILE, required=True, help="The model file to write.")
@click.option(
    "--config",
    "config_file",
    type=EXISTING,
    help="A JSON file with TransformerLens's fields, or ours.",
)
@_fact_options
@_entry_options
def import_command(
    source: Path, out: Path, config_file: Path | None, skip: tuple[str, ...], **told: Any
) -> None:
    """Turn somebody's FILE into a model file, without rounding.

    FILE holds the weights of a transformer: a state dict or a training record saved by PyTorch as
    .pt or .pth (which needs PyTorch), .safetensors, an .npz archive, or a folder with
    model.safetensors and config.json.  The layouts of TransformerLens 2 to 4 and of its
    predecessors are known, modules with one module for each head, and networks with one hidden
    layer on two one-hot inputs, which are written as a transformer.

    Sizes come from the shapes.  What neither the file nor a configuration says is asked for in one
    line that names the options; what was assumed is printed.  'certify inspect FILE' shows what is
    there.

    The weights are taken as they are.  None of TransformerLens's foldings fold_ln,
    center_writing_weights, center_unembed and fold_value_biases is applied: the certificate binds
    the bytes that it is about.

    \b
      certify import state_dict.pt --act relu --out model.safetensors
      certify import state_dict.pt --config config.json --out model.safetensors
      certify import folder --out model.safetensors
    """
    require_folder(out)
    imported = read_model(source, config_file, Told(skip=skip, **told))
    save_model(out, imported.tensors, imported.config)
    sizes = " ".join(
        f"{name}={value}"
        for name, value in imported.config.as_dict().items()
        if name.startswith(("d_", "n_"))
    )
    click.echo(f"wrote {out}: {sizes}")
    click.echo(f"read as: {_how(imported)}")
    if imported.skipped:
        click.echo(f"left out: {_reasons(imported)}")


@main.command()
@click.argument("source", metavar="FILE", type=EXISTING)
@_entry_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def inspect(source: Path, entry: str | None, skip: tuple[str, ...], *, as_json: bool) -> None:
    """Show what is in somebody's FILE, what it looks like, and the command that imports it.

    Nothing in it is run.  Ends with 20 where nothing can be imported.

    \b
      certify inspect state_dict.pt
      certify inspect state_dict.pt --json
    """
    found = inspect_file(source, Told(entry=entry, skip=skip))
    if as_json:
        click.echo(json_text(found))
    else:
        _print_inspection(found)
    if found.refusal is not None:
        raise found.refusal


def _print_inspection(found: Inspection) -> None:
    """Print what was found for a reader."""
    click.echo(f"looks like: {found.title}")
    for name, (dtype, shape) in found.tensors.items():
        click.echo(f"  {_printable(name)} {list(shape)} {dtype}")
    if found.config:
        shown = " ".join(f"{name}={_shown(value)}" for name, value in found.config.items())
        click.echo(f"configuration: {shown}")
    for note in found.notes:
        click.echo(f"read as: {_printable(note)}")
    heading = "left out" if found.layout else "to choose from"
    for name, why in found.skipped.items():
        click.echo(f"{heading}: {_printable(name)}: {why}")
    for fact, option in found.missing:
        click.echo(f"missing: {fact} ({_printable(option)})")
    if found.command is not None:
        click.echo(f"try: {_printable(found.command)}")


def _how(imported: Imported) -> str:
    """Return how a file was read, in one line."""
    parts = [*imported.notes, *_described(imported.config, imported.assumed)]
    return f"{_printable(', '.join(parts))}; weights as given, nothing folded or centred"


def _described(config: Config, assumed: Mapping[str, str]) -> list[str]:
    """Return what a configuration says besides its sizes, and what of it was assumed."""
    why = {field: f" (assumed: {reason})" for field, reason in assumed.items()}
    parts = [f"{config.attention_dir} attention{why.get('attention_dir', '')}"]
    if config.mix != 0.0:
        parts.append("scores divided by sqrt(d_head)")
    parts.append("learned positions")
    parts.append("no MLP" if config.attn_only else f"MLP with {config.act_fn}")
    parts.append(
        f"no layer norm{why.get('normalization_type', '')}"
        if config.normalization_type is None
        else f"layer norm {config.normalization_type} with eps {config.variance_offset:g}"
    )
    if config.mix != 1.0:
        parts.append(f"pattern {config.mix:g} softmax + {1.0 - config.mix:g}")
    return [*parts, f"readout {config.read}"]


def _reasons(imported: Imported) -> str:
    """Return what was left out, names with the same reason together."""
    by_reason: dict[str, list[str]] = {}
    for name, why in imported.skipped.items():
        by_reason.setdefault(why, []).append(_printable(name))
    return "; ".join(f"{', '.join(names)} ({why})" for why, names in by_reason.items())


def _printable(text: str) -> str:
    """Return text that stays on its line."""
    return "".join(one if one.isprintable() else "?" for one in text)


def _shown(value: object) -> str:
    """Return a value of a configuration as text."""
    return value if isinstance(value, str) else json.dumps(value)
