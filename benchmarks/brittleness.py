"""How brittle a proof is: the certified share of the inputs against noise added to the weights.

    python -m benchmarks.brittleness MODEL.safetensors --strategy cascade --out noise.svg
    python -m benchmarks.brittleness MODEL.safetensors --strategy cascade,chain --noise 0,1e-6,1e-4

Every weight w becomes w (1 + s g), g a standard normal number of its own and s the noise: what a
little more training, or rounding to fewer bits, might do.  The noise of one seed points in the same
direction whatever its size.  Beside the certified share stands the accuracy itself, so that what
the proof loses can be told from what the model loses.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.scaling import rungs_of, truth_of
from certify import families
from certify.files import write_bytes
from certify.ladder.climb import file_name, run_rung
from certify.ladder.plot import STYLE, require_matplotlib, saved
from certify.ladder.rung import Rung
from certify.model.config import Config
from certify.model.file import Model, load_model, save_model
from certify.model.tensors import Tensor

Facts = dict[str, Any]
TASK = "max-of-k"
USUAL_NOISE = "0,1e-7,1e-6,1e-5,1e-4,1e-3,1e-2"


def noisy(model: Model, noise: float, seed: int) -> tuple[dict[str, Tensor], Config]:
    """Return the tensors with relative noise, in float32, and the configuration.

    Ensures: a weight that is zero stays zero; no noise changes nothing.
    """
    generator = np.random.default_rng(seed)
    found: dict[str, Tensor] = {}
    for name in sorted(model.tensors):
        weights = np.asarray(model.tensors[name], dtype=np.float64)
        direction = generator.standard_normal(weights.shape)
        found[name] = (weights * (1.0 + noise * direction)).astype(np.float32)
    return found, model.config


def measured(
    model_file: Path,
    chosen: Sequence[Rung],
    noises: Sequence[float],
    seed: int,
    folder: Path,
    time_limit: float,
) -> Iterator[Facts]:
    """Yield for each noise the accuracy and what each proof certifies; 0 where it proves nothing,
    None where there is no proof.
    """
    model = load_model(model_file)
    _, form = families.with_ladder(TASK)
    for noise in noises:
        print(f"{model_file.stem}: noise {noise:g}", file=sys.stderr)
        changed = folder / f"{model_file.stem}.noise-{noise:g}-seed-{seed}.safetensors"
        save_model(changed, *noisy(model, noise, seed))
        truth = truth_of(changed, None, 0)
        point: Facts = {"noise": noise, "accuracy": truth, "proofs": {}}
        for rung in chosen:
            out = folder / f"{changed.stem}.{file_name(rung)}.certificate.json"
            row = run_rung(changed, ("--task", TASK), rung, out, time_limit, form.details)
            total = model.config.d_vocab**model.config.n_ctx
            share = row.proof.lower / total if row.proof else None
            point["proofs"][rung.name] = {
                "verdict": row.verdict,
                "reason": row.reason,
                "certified": 0.0 if row.verdict == "PROVES 0" else share,
                "operations": row.proof.operations if row.proof else None,
            }
        yield point


def table(points: Sequence[Facts], names: Sequence[str]) -> Iterator[str]:
    """Yield a line for every noise."""
    yield f"| noise | accuracy | {' | '.join(names)} |"
    yield "|---" * (len(names) + 2) + "|"
    for point in points:
        cells = [f"{point['noise']:g}", f"{point['accuracy']['low']:.7f}"]
        for name in names:
            proof = point["proofs"][name]
            shown = proof["verdict"] if proof["certified"] is None else f"{proof['certified']:.7f}"
            length = proof["operations"]
            cells.append(shown if length is None else f"{shown} @ {length:,}")
        yield "| " + " | ".join(cells) + " |"


def picture(points: Sequence[Facts], names: Sequence[str], title: str, ending: str) -> bytes:
    """Return the plot as a file: noise on a logarithmic axis, no noise at its left end."""
    import matplotlib  # noqa: PLC0415  (optional, and slow to import)
    from matplotlib.figure import Figure  # noqa: PLC0415

    positive = [point["noise"] for point in points if point["noise"] > 0]
    left = min(positive, default=1e-7) / 10
    places = [point["noise"] or left for point in points]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7, 4.5), layout="constrained")
        axes = figure.subplots()
        accuracies = [point["accuracy"]["low"] for point in points]
        axes.plot(places, accuracies, "k--", label="accuracy (float64)")
        for name in names:
            shares = [point["proofs"][name]["certified"] for point in points]
            drawn = [math.nan if share is None else share for share in shares]
            axes.plot(places, drawn, "o-", label=f"certified by {name}")
        axes.set_xscale("log")
        axes.set_xticks([left, *positive], ["0", *(f"{noise:g}" for noise in positive)])
        axes.minorticks_off()
        axes.set_ylim(-0.03, 1.03)
        axes.set(xlabel="relative noise on every weight", ylabel="share of all inputs", title=title)
        axes.legend()
        return saved(figure, ending)


@click.command(help=__doc__)
@click.argument("model_file", metavar="MODEL.safetensors", type=click.Path(path_type=Path))
@click.option("--strategy", "strategies", default="cascade", show_default=True)
@click.option("--efforts", default="1", show_default=True)
@click.option("--noise", "noises", default=USUAL_NOISE, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="The plot to write.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("build/brittleness"),
    show_default=True,
    help="Where noisy models and certificates are kept.",
)
@click.option("--time-limit", type=click.FloatRange(1), default=600.0, show_default=True)
def main(
    model_file: Path,
    strategies: str,
    efforts: str,
    noises: str,
    seed: int,
    out: Path | None,
    folder: Path,
    time_limit: float,
) -> None:
    """Add noise, prove, tabulate and draw."""
    each = efforts.split(",")
    chosen = [rung for name in strategies.split(",") for rung in rungs_of(name, each)]
    if out is not None:
        require_matplotlib(out)
    folder.mkdir(parents=True, exist_ok=True)
    sizes = [float(noise) for noise in noises.split(",")]
    points = list(measured(model_file, chosen, sizes, seed, folder, time_limit))
    names = [rung.name for rung in chosen]
    write_bytes(
        folder / f"{model_file.stem}.noise.json", json.dumps(points, indent=1).encode() + b"\n"
    )
    if out is not None:
        title = f"{model_file.stem}: what noise leaves of a proof"
        write_bytes(out, picture(points, names, title, out.suffix))
    click.echo("\n".join(table(points, names)))


if __name__ == "__main__":
    main()
