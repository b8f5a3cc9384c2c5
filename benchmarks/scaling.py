"""How proof length grows with the vocabulary and with the length of the input, at equal tightness.

    python -m benchmarks.scaling                            V = 64 to 256 and k = 4, 5, 10, 20
    python -m benchmarks.scaling --k 4 --recipe published   models of the published recipe
    python -m benchmarks.scaling --k 4 --vocab 64,128,256,512 --efforts 1,10

A gap is truth less proved accuracy.  For k = 4 and V up to 512 the truth is counted in float64 over
every input (``certify.evaluation.known``); elsewhere it is not known, and the gap is taken to the
least upper bound at hand: that of a certificate, or the upper end of a 99 % interval of a random
sample, which the column says.  Models are trained when they are first asked for.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.recipes import trained
from certify import families
from certify.evaluation.known import known_accuracy
from certify.files import write_bytes
from certify.ladder.climb import Row, file_name, run_rung
from certify.ladder.rung import Rung
from certify.model.file import load_model
from certify.question.domain import read_domain
from certify.question.scope import UNIFORM
from certify.training.max_of_k import RECIPES

Facts = dict[str, Any]
TASK = "max-of-k"


def truth_of(model_file: Path, samples: int, seed: int) -> Facts:
    """Return what is known of the accuracy without a proof: an interval, and how it was found."""
    known = known_accuracy(load_model(model_file), samples, seed)
    return {"how": known.how(), "low": known.low, "high": known.high}


def study(
    model_file: Path, chosen: Sequence[Rung], folder: Path, time_limit: float, samples: int
) -> Facts:
    """Return everything measured on one model."""
    model = load_model(model_file)
    truth = truth_of(model_file, samples, 0)
    inputs = UNIFORM.total(read_domain(model.config))
    points = []
    for rung in chosen:
        print(f"{model_file.stem}: {rung.spelled()}", file=sys.stderr)
        out = folder / f"{model_file.stem}.{file_name(rung)}.certificate.json"
        points.append(_point(_row(model_file, rung, out, time_limit), inputs))
    known = [point["upper"] for point in points if point["verdict"] == "VERIFIED"]
    limit = min([truth["high"], *known])
    for point in points:
        if point["verdict"] == "VERIFIED":
            point["gap"] = limit - point["lower"]
    return {
        "model": model_file.stem,
        "k": model.config.n_ctx,
        "vocab": model.config.d_vocab,
        "truth": truth,
        "points": points,
    }


def _row(model_file: Path, rung: Rung, out: Path, time_limit: float) -> Row:
    """Return the row of one rung of Max-of-K."""
    _, form = families.with_ladder(TASK)
    return run_rung(model_file, ("--task", TASK), rung, out, time_limit, form.details)


def _point(row: Row, total: int) -> Facts:
    """Return one proof as JSON values."""
    known: Facts = {"rung": row.rung.spelled(), "verdict": row.verdict, "reason": row.reason}
    if row.proof is None:
        return known
    seconds = {
        "prover_seconds": row.proof.prover_seconds,
        "checker_seconds": row.proof.checker_seconds,
    }
    bounds = {"lower": row.proof.lower / total, "upper": row.proof.upper / total}
    return {
        **known,
        **bounds,
        **seconds,
        "operations": row.proof.operations,
        "bytes": row.proof.bytes,
    }


def shortest(found: Facts, gap: float) -> int | None:
    """Return the length of the shortest proof on this model whose gap is no larger."""
    lengths = [
        point["operations"] for point in found["points"] if point.get("gap", math.inf) <= gap
    ]
    return min(lengths, default=None)


def points_table(studies: Sequence[Facts]) -> Iterator[str]:
    """Yield a line for every proof."""
    yield (
        "| k | V | accuracy | known by | proof | operations | / V^2 | / V^3 | proved | gap |"
        " prover s | checker s |"
    )
    yield "|---" * 12 + "|"
    for found in studies:
        vocab, truth = found["vocab"], found["truth"]
        accuracy = f"{truth['low']:.7f}" + (
            "" if truth["low"] == truth["high"] else f" to {truth['high']:.7f}"
        )
        for point in found["points"]:
            cells = [str(found["k"]), str(vocab), accuracy, truth["how"], point["rung"]]
            if point["verdict"] != "VERIFIED":
                yield (
                    "| "
                    + " | ".join([*cells, f"{point['verdict']}: {point['reason']}", *[""] * 6])
                    + " |"
                )
                continue
            length = point["operations"]
            cells += [
                f"{length:,}",
                f"{length / vocab**2:.0f}",
                f"{length / vocab**3:.2f}",
                f"{point['lower']:.7f}",
            ]
            cells += [
                f"{point['gap']:.1e}",
                f"{point['prover_seconds']:.1f}",
                f"{point['checker_seconds']:.1f}",
            ]
            yield "| " + " | ".join(cells) + " |"


def exponents_table(studies: Sequence[Facts], gaps: Sequence[float]) -> Iterator[str]:
    """Yield, for every k and gap, the shortest proofs and the local exponents: log of the ratio of
    lengths over that of V.
    """
    sizes = sorted({found["vocab"] for found in studies})
    steps = list(itertools.pairwise(sizes))
    heads = [*(f"V = {size}" for size in sizes), *(f"exponent {a} to {b}" for a, b in steps)]
    yield f"| k | gap at most | {' | '.join(heads)} |"
    yield "|---" * (len(heads) + 2) + "|"
    for k in sorted({found["k"] for found in studies}):
        for gap in gaps:
            lengths = {found["vocab"]: shortest(found, gap) for found in studies if found["k"] == k}
            cells = ["-" if lengths.get(size) is None else f"{lengths[size]:,}" for size in sizes]
            for a, b in steps:
                short, long = lengths.get(a), lengths.get(b)
                cells.append(
                    "-"
                    if short is None or long is None
                    else f"{math.log(long / short) / math.log(b / a):.2f}"
                )
            yield f"| {k} | {gap:g} | {' | '.join(cells)} |"


def _list(_context: click.Context, _option: click.Parameter, text: str) -> list[str]:
    """Return the parts of a list separated by commas."""
    return [part.strip() for part in text.split(",")]


@click.command(help=__doc__)
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("build/scaling"), show_default=True
)
@click.option("--vocab", default="64,128,256", show_default=True, callback=_list)
@click.option("--k", "ks", default="4,5,10,20", show_default=True, callback=_list)
@click.option("--recipe", type=click.Choice(list(RECIPES)), default="converged", show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--strategy", default="cascade", show_default=True)
@click.option("--efforts", default="0.1,1,10", show_default=True, callback=_list)
@click.option(
    "--gaps",
    default="1e-3,4e-4,1e-4,4e-5",
    show_default=True,
    callback=_list,
    help="Gaps to compare lengths at.",
)
@click.option(
    "--samples",
    type=click.IntRange(1),
    default=1_000_000,
    show_default=True,
    help="For k other than 4.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(1),
    default=1800.0,
    show_default=True,
    help="Seconds for each proof.",
)
def main(
    folder: Path,
    vocab: list[str],
    ks: list[str],
    recipe: str,
    seed: int,
    strategy: str,
    efforts: list[str],
    gaps: list[str],
    samples: int,
    time_limit: float,
) -> None:
    """Train, prove, tabulate."""
    chosen = [
        Rung(f"{strategy} effort {effort}", strategy, (("effort", effort),), strategy)
        for effort in efforts
    ]
    models = [trained(folder, recipe, int(k), int(size), seed) for k in ks for size in vocab]
    studies = [study(model, chosen, folder, time_limit, samples) for model in models]
    lines = [
        f"# Scaling of {strategy}, recipe {recipe}, seed {seed}",
        "",
        *points_table(studies),
        "",
    ]
    lines += [
        "## Shortest proof at equal gap",
        "",
        *exponents_table(studies, [float(gap) for gap in gaps]),
        "",
    ]
    name = f"scaling-{strategy}-{recipe}-seed-{seed}"
    write_bytes(folder / f"{name}.md", "\n".join(lines).encode())
    write_bytes(
        folder / f"{name}.json", json.dumps({"studies": studies}, indent=1).encode() + b"\n"
    )
    click.echo("\n".join(lines))


if __name__ == "__main__":
    main()
