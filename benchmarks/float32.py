"""Run a shipped model in float32 over every input, in several ways, and compare each stage with
float64.

    python -m benchmarks.float32 certificates/max-of-4-seed-0
    python -m benchmarks.float32 certificates/max-of-10-seed-0 --samples 1000000

Every input is run where there are at most 2^25, a random sample elsewhere; the emulated ways of
``tests.oracles.float32`` always run on a sample.  For every way and stage the table gives the
largest |float32 - float64| of any entry (of ``logits``: of the logits less that of the maximum),
then how many inputs are wrong, how many of those float64 gets right, and the reverse.  A tie is
wrong.  Where bounds are claimed, each is compared with the worst of all ways: a ratio below one
refutes the claim.

The float64 run is a measurement too: its own error is some 1e-14.  All nine ways together take a
quarter of an hour of processor time for 64^4 inputs, and 1 GB.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from certify.cells.slack import slack
from certify.model.file import Model, load_model
from certify.model.paths import decompose
from certify.question.float32 import Float32
from tests.oracles.float32 import Execution, Stages, bounded_exp, forward

BATCH = 1 << 14
ENUMERABLE = 1 << 25
EMULATED_SHARE = 1 << 8
NAMES = Stages.names()

Tokens = NDArray[np.int64]
Run = Callable[[Tokens], Stages]


@dataclass(frozen=True, slots=True)
class Way:
    """One way of running the model: its name, the run of a batch, and whether only a sample of each
    batch is run.
    """

    name: str
    run: Run
    is_emulated: bool = False


@dataclass(slots=True)
class Measured:
    """What one way did: the largest error of each stage, and the inputs that it gets wrong.

    ``wrong`` holds the numbers of the inputs, ``sum(token[i] * V**(k-1-i))``
    (their places in the sample where inputs are drawn); ``lost`` counts those
    that float64 gets right, ``won`` the inputs that only float64 gets wrong.
    """

    inputs: int = 0
    errors: dict[str, float] = field(default_factory=lambda: dict.fromkeys(NAMES, 0.0))
    wrong: list[NDArray[np.int64]] = field(default_factory=list)
    lost: int = 0
    won: int = 0


def all_inputs(model: Model, samples: int | None) -> Iterator[tuple[NDArray[np.int64], Tokens]]:
    """Yield batches (numbers, tokens) of every input, or of ``samples`` random ones."""
    vocab, length = model.config.d_vocab, model.config.n_ctx
    generator = np.random.default_rng(0)
    for start in range(0, samples or vocab**length, BATCH):
        numbers = np.arange(start, min(start + BATCH, samples or vocab**length), dtype=np.int64)
        if samples is None:
            yield numbers, numbers[:, None] // vocab ** np.arange(length - 1, -1, -1) % vocab
        else:
            yield numbers, generator.integers(0, vocab, size=(len(numbers), length))


def all_inputs_float32(
    model: Model, ways: Sequence[Way], samples: int | None = None
) -> Iterator[tuple[NDArray[np.int64], Tokens, Stages, dict[str, Stages]]]:
    """Yield, batch by batch, the numbers and tokens of the inputs, the float64 stages, and those of
    every way.

    An emulated way runs every 256th input only.
    """
    exact = torch_run(model, torch.float64, batch=1024)
    for numbers, tokens in all_inputs(model, samples):
        runs = {
            way.name: way.run(tokens[:: EMULATED_SHARE if way.is_emulated else 1]) for way in ways
        }
        yield numbers, tokens, exact(tokens), runs


def torch_run(
    model: Model,
    dtype: Any = torch.float32,
    *,
    batch: int = BATCH,
    threads: int = 1,
    permutation: int | None = None,
    by_reciprocal: bool = False,
    product: Callable[[Any, Any], Any] = torch.matmul,
) -> Run:
    """Return a run with PyTorch's own operations, ``batch`` inputs at a time.

    Requires: ``permutation`` seeds a permutation of the hidden axes, which
              changes orders of summation and nothing else; ``by_reciprocal``
              multiplies scores by 1/sqrt(d_head) instead of dividing.
    """
    config = model.config
    p, h = np.arange(config.d_model), np.arange(config.d_head)
    if permutation is not None:
        generator = np.random.default_rng(permutation)
        p, h = generator.permutation(p), generator.permutation(h)
    heads = {letter: model.tensor(f"blocks.0.attn.W_{letter}")[0][p][:, h] for letter in "QKV"}
    arrays = {f"W_{letter}": matrix for letter, matrix in heads.items()}
    arrays |= {f"b_{letter}": model.bias(f"blocks.0.attn.b_{letter}")[0][h] for letter in "QKV"}
    arrays |= {
        "W_E": model.tensor("embed.W_E")[:, p],
        "W_pos": model.tensor("pos_embed.W_pos")[:, p],
    }
    arrays |= {
        "W_O": model.tensor("blocks.0.attn.W_O")[0][h][:, p],
        "b_O": model.bias("blocks.0.attn.b_O")[p],
    }
    arrays |= {"W_U": model.tensor("unembed.W_U")[p], "b_U": model.bias("unembed.b_U")}
    w = {
        name: torch.from_numpy(np.ascontiguousarray(array)).to(dtype)
        for name, array in arrays.items()
    }
    back, head_back = torch.from_numpy(np.argsort(p)), torch.from_numpy(np.argsort(h))
    root = math.sqrt(config.d_head)

    def run(tokens: Tokens) -> Stages:
        torch.set_num_threads(threads)
        parts = []
        for start in range(0, len(tokens), batch):
            chosen = torch.from_numpy(tokens[start : start + batch])
            x = w["W_E"][chosen] + w["W_pos"]
            query = product(x[:, -1], w["W_Q"]) + w["b_Q"]
            key, value = product(x, w["W_K"]) + w["b_K"], product(x, w["W_V"]) + w["b_V"]
            dots = product(key, query[:, :, None])[:, :, 0]
            scores = dots * (1 / root) if by_reciprocal else dots / root
            pattern = torch.softmax(scores, -1)
            mixed = product(pattern[:, None], value)[:, 0]
            output = product(mixed, w["W_O"]) + w["b_O"]
            residual = x[:, -1] + output
            logits = product(residual, w["W_U"]) + w["b_U"]
            parts.append(
                (scores, pattern, mixed[:, head_back], output[:, back], residual[:, back], logits)
            )
        return Stages(*(torch.cat(column).numpy() for column in zip(*parts, strict=True)))

    return run


def _in_float64(left: Any, right: Any) -> Any:
    """Return a matrix product accumulated in float64, then rounded to float32."""
    return torch.matmul(left.double(), right.double()).float()


def ways_of(model: Model, seed: int = 0) -> list[Way]:
    """Return the ways that are compared."""
    generator = np.random.default_rng(seed)
    worst_exp = bounded_exp(2.0**-22, 2.0**-126, generator)

    def emulated(name: str, execution: Execution) -> Way:
        return Way(
            f"{name} (sample)",
            lambda tokens: forward(model, tokens, execution, generator),
            is_emulated=True,
        )

    return [
        Way(f"torch, batches of {BATCH}, 1 thread", torch_run(model)),
        Way("torch, batches of 1000, 2 threads", torch_run(model, batch=1000, threads=2)),
        Way("torch, batches of 37", torch_run(model, batch=37)),
        Way("torch, hidden axes permuted", torch_run(model, permutation=seed + 1)),
        Way(
            "torch, permuted, 1/sqrt(d_head)",
            torch_run(model, permutation=seed + 2, by_reciprocal=True),
        ),
        Way("torch, products in float64, rounded", torch_run(model, product=_in_float64)),
        emulated("random trees", Execution()),
        emulated(
            "random trees, fma, reciprocals",
            Execution(fma=True, reciprocal_scale=True, reciprocal_softmax=True),
        ),
        emulated("random trees, fma, worst exp", Execution(fma=True, exp=worst_exp)),
    ]


def measure(
    model: Model, ways: Sequence[Way], samples: int | None = None, *, show: bool = True
) -> dict[str, Measured]:
    """Return what every way did over all inputs, or over ``samples`` random ones."""
    measured = {way.name: Measured() for way in ways}
    batches = -(-(samples or model.config.d_vocab**model.config.n_ctx) // BATCH)
    running = all_inputs_float32(model, ways, samples)
    for numbers, tokens, exact, runs in track(
        running, total=batches, console=Console(stderr=True), disable=not show
    ):
        answers = tokens.max(axis=1)
        exact_logits, exact_right = _against(exact.logits, answers)
        for way in ways:
            step = EMULATED_SHARE if way.is_emulated else 1
            result, stages = measured[way.name], runs[way.name]
            logits, right = _against(stages.logits, answers[::step])
            for name in NAMES:
                pair = (
                    (getattr(stages, name), getattr(exact, name)[::step])
                    if name != "logits"
                    else (logits, exact_logits[::step])
                )
                # NaN is the largest error of all, and stays.
                result.errors[name] = float(
                    np.maximum(result.errors[name], np.abs(pair[0] - pair[1]).max())
                )
            result.inputs += len(right)
            result.wrong.append(numbers[::step][~right])
            result.lost += int(np.count_nonzero(exact_right[::step] & ~right))
            result.won += int(np.count_nonzero(~exact_right[::step] & right))
    return measured


def claims(model: Model) -> dict[str, Fraction]:
    """Return what SPEC-12 allows every stage to be off, for all inputs at once, weights' errors
    included.

    Log-weights that are off by theta move attention weights by at most tanh(theta)/2 each, and in
    sum by tanh(theta): that times the range of what they weigh comes on top of the errors of the
    products.
    Cost: the path decomposition, in float64.
    """
    found, paths = slack(model, Float32()), decompose(model)
    moved = math.tanh(found.theta)
    size = {name: float(np.linalg.norm(model.tensor(f"blocks.0.attn.W_{name}"))) for name in "VO"}
    values = (model.tensor("embed.W_E")[:, None] + model.tensor("pos_embed.W_pos")) @ model.tensor(
        "blocks.0.attn.W_V"
    )[0]
    output = values @ model.tensor("blocks.0.attn.W_O")[0]
    logits = paths.EVOU[:, None] + paths.PVOU
    reach = {"mixed": values, "output": output, "residual": output}
    widest = {name: float(np.ptp(table, axis=(0, 1)).max()) for name, table in reach.items()}
    ranges = [
        float(np.ptp(logits - logits[..., m : m + 1], axis=(0, 1)).max())
        for m in range(model.config.d_vocab)
    ]
    rounding = {
        **found.stages,
        "output": found.stages["mixed"] * size["O"] + found.stages["residual"],
        "pattern": 2.0**-20,
    }
    weighed = {**widest, "scores": 0.0, "pattern": 1.0, "logits": max(ranges)}
    return {name: Fraction(rounding[name] + moved / 2 * weighed[name]) for name in NAMES}


def _against(
    logits: Any, answers: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the logits less that of the maximum, exactly enough, and which inputs are right."""
    rows = np.arange(len(answers))
    less = logits.astype(np.float64)
    less -= less[rows, answers][:, None].copy()
    right = less < 0
    right[rows, answers] = True
    return less, right.all(axis=1)


def report(measured: Mapping[str, Measured], claimed: Mapping[str, Fraction]) -> Table:
    """Return the table: a row for every way, and the claims, with the ratio claimed/measured,
    below.

    Requires: the keys of ``claimed`` are names of stages.
    """
    table = Table("way", "inputs", *NAMES, "wrong", "only float32", "only float64")
    for name, result in measured.items():
        errors = [f"{result.errors[stage]:.2e}" for stage in NAMES]
        counts = [sum(map(len, result.wrong)), result.lost, result.won]
        table.add_row(name, f"{result.inputs:,}", *errors, *(f"{count:,}" for count in counts))
    if claimed:
        worst = {
            stage: np.max([result.errors[stage] for result in measured.values()]) for stage in NAMES
        }
        bounds = {stage: float(claimed[stage]) if stage in claimed else None for stage in NAMES}
        table.add_section()
        table.add_row(
            "claimed", "", *("" if bound is None else f"{bound:.2e}" for bound in bounds.values())
        )
        ratios = [
            "" if bound is None else f"{bound / worst[stage] if worst[stage] else math.inf:.1f}"
            for stage, bound in bounds.items()
        ]
        table.add_row("claimed / worst measured", "", *ratios)
    return table


def run(
    model_file: Path, samples: int | None = None, claimed: Mapping[str, Fraction] | None = None
) -> dict[str, Measured]:
    """Measure one model, print the table and return what was measured."""
    model = load_model(model_file)
    total = model.config.d_vocab**model.config.n_ctx
    if samples is None and total > ENUMERABLE:
        samples = 1_000_000
    measured = measure(model, ways_of(model), samples)
    Console(width=180).print(report(measured, claims(model) if claimed is None else claimed))
    return measured


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--samples", type=click.IntRange(1), help="Run this many random inputs instead of all."
)
def main(folder: Path, samples: int | None) -> None:
    """Run one shipped model; fail if an exhaustive way is right on fewer or more inputs than a
    certificate allows.
    """
    measured = run(folder / "model.safetensors", samples)
    for file in sorted(folder.glob("*-float32.json")):
        said = json.loads(file.read_bytes())["statement"]
        lower, upper, total = (
            int(said[key]) for key in ("correct_lower", "correct_upper", "total")
        )
        for name, result in measured.items():
            right = result.inputs - sum(map(len, result.wrong))
            if result.inputs == total and not lower <= right <= upper:
                raise SystemExit(
                    f"{name}: {right} inputs are right, {file} says {lower} to {upper}"
                )
        click.echo(
            f"{file.stem}: every way over all inputs is right on {lower} to {upper} of {total}"
        )


if __name__ == "__main__":
    main()
