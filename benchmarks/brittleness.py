"""How much of a proof is left when noise is added to the weights.

    python -m benchmarks.brittleness MODEL.safetensors --strategy chain --out table.csv

Every weight is multiplied by 1 + noise * x, x normal, for each size of noise and some seeds; the
model is proved again with the same strategy.  One row each: the share of the inputs that is
certified, and the operations.  A weight that is zero stays zero, so with ``--everywhere`` the noise
is added instead, noise times the root mean square of the tensor: then structure goes too.
"""

from __future__ import annotations

import csv
import io
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from certify import prove
from certify.decimals import cut
from certify.errors import CertifyError, ProvesNothing
from certify.files import write_bytes
from certify.model.file import Model, load_model, save_model
from certify.progress import Progress, silent

NOISES = (0.0, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)
COLUMNS = ("noise", "seed", "certified", "total", "share", "operations")


@dataclass(frozen=True, slots=True)
class Row:
    """What is certified of a model with noise of this size."""

    noise: float
    seed: int
    certified: int
    total: int
    operations: int

    def cells(self) -> tuple[object, ...]:
        """Return the row of the table."""
        share = cut(self.certified, self.total)
        return (f"{self.noise:g}", self.seed, self.certified, self.total, share, self.operations)


def noisy(model: Model, noise: float, seed: int, *, everywhere: bool) -> dict[str, np.ndarray]:
    """Return the tensors of a model with noise, in float32."""
    rng = np.random.default_rng(seed)
    found = {}
    for name in sorted(model.tensors):
        values = np.array(model.tensor(name), dtype=np.float64)
        sizes = np.sqrt(np.mean(values**2)) if everywhere else values
        found[name] = (values + noise * sizes * rng.normal(size=values.shape)).astype(np.float32)
    return found


def rows(
    model: Model,
    strategy: str,
    noises: Sequence[float],
    seeds: int,
    *,
    everywhere: bool,
    progress: Progress = silent,
) -> Iterator[Row]:
    """Yield a row for each size of noise and seed; without noise, one.

    Cost: that of as many proofs.
    """
    total = model.config.d_vocab**model.config.n_ctx
    cases = [(noise, seed) for noise in noises for seed in range(seeds if noise else 1)]
    with tempfile.TemporaryDirectory(prefix="certify-noise-") as folder:
        file = Path(folder) / "model.safetensors"
        for done, (noise, seed) in enumerate(cases):
            progress(done, len(cases), f"noise {noise:g}")
            save_model(file, noisy(model, noise, seed, everywhere=everywhere), model.config)
            try:
                verdict = prove(file, task="max-of-k", strategy=strategy).verdict
            except ProvesNothing:
                yield Row(noise, seed, 0, total, 0)
            else:
                yield Row(noise, seed, verdict.correct_lower, total, verdict.operations)
    progress(len(cases), len(cases), "")


def table(found: Sequence[Row]) -> str:
    """Return the rows as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(row.cells() for row in found)
    return text.getvalue()


@click.command()
@click.argument("model_file", metavar="MODEL.safetensors", type=click.Path(path_type=Path))
@click.option("--strategy", default="chain", show_default=True, help="How to prove it.")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--everywhere", is_flag=True, help="Add noise to zeros too.")
@click.option("--out", type=click.Path(path_type=Path), help="The CSV file to write.")
def main(
    model_file: Path, strategy: str, seeds: int, out: Path | None, *, everywhere: bool
) -> None:
    """Write how much is certified of a model with noise on its weights."""
    try:
        model = load_model(model_file)
        found = list(rows(model, strategy, NOISES, seeds, everywhere=everywhere))
    except CertifyError as error:
        click.echo(f"brittleness: {error}", err=True)
        sys.exit(error.exit_code)
    text = table(found)
    if out is not None:
        write_bytes(out, text.encode())
    click.echo(text, nl=False)


if __name__ == "__main__":
    main()
