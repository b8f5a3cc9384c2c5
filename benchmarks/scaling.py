"""How proof length grows with the vocabulary and with the length of the input, at equal tightness.

    python -m benchmarks.scaling                            V = 64 to 256 and k = 4, 5, 10, 20
    python -m benchmarks.scaling --k 4 --recipe published   models of the published recipe
    python -m benchmarks.scaling --k 4 --recipe line,short-proof --vocab 64,128,256,512 \\
        --strategy cascade,chain --efforts 1

A gap is truth less proved accuracy.  For k = 4 and V up to 512 the truth is counted in float64 over
every input (``certify.evaluation.known``); elsewhere it is not known, and the gap is taken to the
least upper bound at hand: that of a certificate, or the upper end of a 99 % interval of a random
sample, which the column says.  Models are trained when they are first asked for.

Exponents are fitted by least squares to logarithms, over all vocabularies that have a proof with
such a gap.  Seconds are those of the checker's processor; memory is the most that its process held,
10 MiB of Python included.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.memory import mebibytes_of_checker
from benchmarks.recipes import trained
from certify import families
from certify.certificate.job import EFFORT
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
MEASURES = {"operations": "operations", "seconds": "checker_seconds", "memory": "mebibytes"}
"""What an exponent is fitted to, and the key of a point that holds it."""


def truth_of(model_file: Path, samples: int | None, seed: int) -> Facts:
    """Return what is known of the accuracy without a proof: an interval, and how it was found."""
    known = known_accuracy(load_model(model_file), samples, seed)
    return {"how": known.how(), "low": known.low, "high": known.high}


def study(
    model_file: Path,
    recipe: str,
    chosen: Sequence[Rung],
    folder: Path,
    time_limit: float,
    samples: int | None,
) -> Facts:
    """Return everything measured on one model."""
    model = load_model(model_file)
    truth = truth_of(model_file, samples, 0)
    inputs = UNIFORM.total(read_domain(model.config))
    points = []
    for rung in chosen:
        print(f"{model_file.stem}: {rung.spelled()}", file=sys.stderr)
        out = folder / f"{model_file.stem}.{file_name(rung)}.certificate.json"
        point = _point(_row(model_file, rung, out, time_limit), inputs)
        if point["verdict"] == "VERIFIED":
            point["mebibytes"] = mebibytes_of_checker(["--", str(model_file), str(out)])
        points.append(point)
    known = [point["upper"] for point in points if point["verdict"] == "VERIFIED"]
    limit = min([truth["high"], *known])
    for point in points:
        if point["verdict"] == "VERIFIED":
            point["gap"] = limit - point["lower"]
    return {
        "model": model_file.stem,
        "recipe": recipe,
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
    known: Facts = {
        "strategy": row.rung.strategy,
        "rung": row.rung.spelled(),
        "verdict": row.verdict,
        "reason": row.reason,
    }
    if row.proof is None:
        return known
    return {
        **known,
        "lower": row.proof.lower / total,
        "upper": row.proof.upper / total,
        "prover_seconds": row.proof.prover_seconds,
        "checker_seconds": row.proof.processor_seconds,
        "operations": row.proof.operations,
        "bytes": row.proof.bytes,
    }


def shortest(found: Facts, strategy: str, gap: float) -> Facts | None:
    """Return the shortest proof by a strategy on this model whose gap is no larger."""
    fitting = [
        point
        for point in found["points"]
        if point["strategy"] == strategy and point.get("gap", math.inf) <= gap
    ]
    return min(fitting, key=lambda point: int(point["operations"]), default=None)


def exponent(values: Mapping[int, float]) -> float | None:
    """Return the exponent e of the curve c V^e that fits values by V best in logarithms; None for
    fewer than two.
    """
    if len(values) < 2:
        return None
    sizes, found = np.log(list(values)), np.log(list(values.values()))
    centred = sizes - sizes.mean()
    return float(centred @ found / (centred @ centred))


def points_table(studies: Sequence[Facts]) -> Iterator[str]:
    """Yield a line for every proof."""
    heads = ["recipe", "k", "V", "accuracy", "known by", "proof", "operations", "/ V", "/ V^2"]
    heads += ["proved", "gap", "prover s", "checker s", "checker MiB"]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for found in studies:
        vocab, truth = found["vocab"], found["truth"]
        accuracy = f"{truth['low']:.7f}" + (
            "" if truth["low"] == truth["high"] else f" to {truth['high']:.7f}"
        )
        for point in found["points"]:
            cells = [found["recipe"], str(found["k"]), str(vocab), accuracy, truth["how"]]
            cells.append(point["rung"])
            if point["verdict"] != "VERIFIED":
                cells.append(f"{point['verdict']}: {point['reason']}")
                cells += [""] * (len(heads) - len(cells))
            else:
                length = point["operations"]
                cells += [f"{length:,}", f"{length / vocab:.0f}", f"{length / vocab**2:.1f}"]
                cells += [f"{point['lower']:.7f}", f"{point['gap']:.1e}"]
                cells += [f"{point['prover_seconds']:.1f}", f"{point['checker_seconds']:.2f}"]
                cells.append(f"{point['mebibytes']:.0f}")
            yield "| " + " | ".join(cells) + " |"


def exponents_table(studies: Sequence[Facts], gaps: Sequence[float]) -> Iterator[str]:
    """Yield, for every recipe, k, strategy and gap, the shortest proofs and the fitted exponents of
    their lengths, seconds and memory.
    """
    sizes = sorted({found["vocab"] for found in studies})
    heads = ["recipe", "k", "strategy", "gap at most", *(f"V = {size}" for size in sizes)]
    heads += [f"exponent of {measure}" for measure in MEASURES]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    kinds = dict.fromkeys(
        (found["recipe"], found["k"], point["strategy"])
        for found in studies
        for point in found["points"]
    )
    for recipe, k, strategy in kinds:
        same = [found for found in studies if (found["recipe"], found["k"]) == (recipe, k)]
        for gap in gaps:
            best = {found["vocab"]: shortest(found, strategy, gap) for found in same}
            there = {vocab: point for vocab, point in sorted(best.items()) if point is not None}
            cells = [recipe, str(k), strategy, f"{gap:g}"]
            cells += [f"{there[size]['operations']:,}" if size in there else "-" for size in sizes]
            for key in MEASURES.values():
                fitted = exponent({vocab: point[key] for vocab, point in there.items()})
                cells.append("-" if fitted is None else f"{fitted:.2f}")
            yield f"| {' | '.join(cells)} |"


def rungs_of(strategy: str, efforts: Sequence[str]) -> list[Rung]:
    """Return the proofs by a strategy: one for each effort, if it takes one."""
    known = {one.name: one for one in families.strategies()}
    if strategy not in known:
        raise click.BadParameter(f"there is no strategy {strategy}", param_hint="--strategy")
    if EFFORT not in known[strategy].takes:
        return [Rung(strategy, strategy, (), strategy)]
    return [
        Rung(f"{strategy} effort {effort}", strategy, ((EFFORT, effort),), strategy)
        for effort in efforts
    ]


def _list(_context: click.Context, _option: click.Parameter, text: str) -> list[str]:
    """Return the parts of a list separated by commas."""
    return [part.strip() for part in text.split(",")]


def _recipes(context: click.Context, option: click.Parameter, text: str) -> list[str]:
    """Return the names of recipes in a list."""
    names = _list(context, option, text)
    for name in names:
        if name not in RECIPES:
            raise click.BadParameter(f"there is no recipe {name}: {', '.join(RECIPES)}")
    return names


@click.command(help=__doc__)
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("build/scaling"), show_default=True
)
@click.option("--vocab", default="64,128,256", show_default=True, callback=_list)
@click.option("--k", "ks", default="4,5,10,20", show_default=True, callback=_list)
@click.option("--recipe", "named", default="converged", show_default=True, callback=_recipes)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--strategy", "strategies", default="cascade", show_default=True, callback=_list)
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
    help="Where inputs are not counted; by default 10^6, fewer for many outputs.",
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
    named: list[str],
    seed: int,
    strategies: list[str],
    efforts: list[str],
    gaps: list[str],
    samples: int | None,
    time_limit: float,
) -> None:
    """Train, prove, tabulate."""
    chosen = [rung for strategy in strategies for rung in rungs_of(strategy, efforts)]
    studies = [
        study(
            trained(folder, recipe, int(k), int(size), seed),
            recipe,
            chosen,
            folder,
            time_limit,
            samples,
        )
        for recipe in named
        for k in ks
        for size in vocab
    ]
    title = f"# Scaling of {', '.join(strategies)}, recipe {', '.join(named)}, seed {seed}"
    lines = [title, "", *points_table(studies), ""]
    lines += ["## Shortest proof at equal gap", ""]
    lines += [*exponents_table(studies, [float(gap) for gap in gaps]), ""]
    name = f"scaling-{'+'.join(strategies)}-{'+'.join(named)}-seed-{seed}"
    write_bytes(folder / f"{name}.md", "\n".join(lines).encode())
    write_bytes(
        folder / f"{name}.json", json.dumps({"studies": studies}, indent=1).encode() + b"\n"
    )
    click.echo("\n".join(lines))


if __name__ == "__main__":
    main()
