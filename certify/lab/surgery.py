"""Surgery: what an explanation leaves out is taken out of a model, or replaced by a stand-in, and
the result is a model file that is proved like any other.

Each circuit has coordinates of its own (``certify.lab.circuits``), so that the proof lengths to
compare are those of the models written that way: ``written`` is the model itself in these
coordinates.  What the operation loses of true accuracy is behaviour that the explanation missed;
what it gains of certified accuracy was lost to noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from certify.lab.bench import LENGTH, OUTCOME, Bench, accuracy_of
from certify.lab.circuits import model_of
from certify.lab.experiment import Asked, Experiment, Extra, Subject, Unit
from certify.lab.kinds import KINDS, Facts, Kind
from certify.lab.noise import (
    ALL,
    ORIGINAL,
    AdditionNetwork,
    MaxNetwork,
    is_max_of_k,
    known_of,
    replaced,
)
from certify.lab.pictures import QUIET, Pictures
from certify.lab.residual import REAL, REPLACEMENTS, ZERO, moments
from certify.lab.samples import SIZE, SMALL_SIZE, Floats, Tokens, margins_of, sample_of
from certify.lab.splits import CIRCUITS, EMBEDDING
from certify.model.file import Model
from certify.model.forward import logits, margins
from certify.model.paths import decompose
from certify.report.figure import SERIES

WRITTEN = "written"
QUANTILES = (0.0, 0.001, 0.01, 0.05, 0.25, 0.5, 0.75)
"""Of margins: the least, one in a thousand and so on."""
MOST_SHOWN = 5
"""Inputs that became wrong of which tokens and margins are listed."""
LEAST_ERROR = 1e-6
"""What stands for no error at all on a scale of logarithms."""


def _units(asked: Asked, subjects: Sequence[Subject]) -> list[Unit]:
    found = []
    for subject in subjects:
        circuits = (*CIRCUITS, ALL) if is_max_of_k(subject.kind) else (EMBEDDING,)
        variants = [
            (ORIGINAL, ALL, REAL),
            (WRITTEN, ALL, REAL),
            *(
                (f"{circuit} {sort}", circuit, sort)
                for sort in asked.more["sorts"]
                for circuit in circuits
            ),
        ]
        for variant, circuit, sort in variants:
            about = {
                **subject.about(),
                "variant": variant,
                "circuit": circuit,
                "sort": sort,
                "rank": asked.more["rank"],
                "ov-rank": asked.more["ov-rank"],
                "inputs": SMALL_SIZE if asked.smoke else SIZE,
            }
            found.append(Unit(f"{subject.name}, {variant}", about))
    return found


def _measure(unit: Unit, bench: Bench) -> Facts:
    about = unit.about
    kind, model = KINDS[about["kind"]], bench.model(about["model"])
    digest = about["model"] if about["variant"] == ORIGINAL else _operated(about, kind, bench)
    tokens = tokens_of(kind, model, about["inputs"])
    before, after = (margins_on(one, kind, tokens) for one in (model, bench.model(digest)))
    return {
        **{name: about[name] for name in ("subject", "variant", "circuit", "sort", "rank")},
        "original_sha256": about["model"],
        **known_of(bench, kind, digest),
        "d_model": bench.model(digest).config.d_model,
        "sample_estimate": changes(tokens, before, after),
    }


def _operated(about: Mapping[str, Any], kind: Kind, bench: Bench) -> str:
    """Return the hash of the model of a variant."""
    model = bench.model(about["model"])
    if not is_max_of_k(kind):
        addition = AdditionNetwork(model, kind)
        drawn = replaced(about["model"], addition.residuals, about["sort"], 0)
        return bench.kept(*addition.written(drawn))
    network = MaxNetwork(about, model, kind)
    drawn = replaced(about["model"], network.residuals, about["sort"], 0)
    chosen = drawn if about["circuit"] == ALL else {about["circuit"]: drawn[about["circuit"]]}
    return bench.kept(*model_of(network.split.circuits(chosen)))


def tokens_of(kind: Kind, model: Model, size: int) -> Tokens:
    """Return the inputs on which models are compared: a sample, or all sums.

    Ensures: [inputs, n_ctx], the same for all models of a kind.
    """
    if is_max_of_k(kind):
        return sample_of(model.config.d_vocab, model.config.n_ctx, size)
    numbers = np.arange(int(kind.options["modulus"]))
    return np.stack(np.meshgrid(numbers, numbers, indexing="ij"), axis=-1).reshape(-1, 2)


def margins_on(model: Model, kind: Kind, tokens: Tokens) -> Floats:
    """Return the margin of each input in float64, of the right answer over the best other one."""
    if is_max_of_k(kind):
        return margins_of(decompose(model), tokens)
    answers = tokens.sum(axis=1) % int(kind.options["modulus"])
    return margins(logits(model, tokens), answers)


def changes(tokens: Tokens, before: Floats, after: Floats) -> Facts:
    """Return what became of inputs whose margins are known before and after, as JSON.

    Ensures: ``became_wrong`` and ``became_right`` count them; ``by_gap`` counts those that became
             wrong by the distance of the largest token to the next smaller one, 0 if all are equal
             (of sums: of the two numbers); ``shown`` are the worst.  Quantiles are of the margins
             after.
    """
    wrong = (before > 0) & ~(after > 0)
    worst = np.flatnonzero(wrong)[np.argsort(after[wrong], kind="stable")][:MOST_SHOWN]
    top = tokens.max(axis=1)
    below = np.where(tokens < top[:, None], tokens, -1).max(axis=1)
    gaps = np.where(below < 0, 0, top - below)[wrong]
    values, counts = np.unique(gaps, return_counts=True)
    return {
        "inputs": len(tokens),
        "right": int(np.count_nonzero(after > 0)),
        "became_wrong": int(np.count_nonzero(wrong)),
        "became_right": int(np.count_nonzero(~(before > 0) & (after > 0))),
        "by_gap": {str(gap): int(count) for gap, count in zip(values, counts, strict=True)},
        "shown": [
            {
                "tokens": tokens[place].tolist(),
                "before": float(before[place]),
                "after": float(after[place]),
            }
            for place in worst
        ],
        "margins": {str(q): float(np.quantile(after, q)) for q in QUANTILES},
    }


def _summary(_asked: Asked, units: Sequence[Facts]) -> Facts:
    """Return for every variant what it has, and what it has less than the model written the same
    way: mean, standard deviation and number over models.
    """
    written = {unit["subject"]: unit for unit in units if unit["variant"] == WRITTEN}
    found: dict[str, dict[str, list[float]]] = {}
    for unit in units:
        known = found.setdefault(unit["variant"], {})
        for name, value in _numbers(unit).items():
            known.setdefault(name, []).append(value)
        for name, value in _numbers(written[unit["subject"]]).items():
            known.setdefault(f"{name} less", []).append(value - _numbers(unit)[name])
    return {
        variant: {name: moments(values) for name, values in known.items()}
        for variant, known in found.items()
    }


def _numbers(unit: Facts) -> dict[str, float]:
    """Return accuracy, certified accuracy (0 without a proof), proof length and share changed."""
    sample = unit["sample_estimate"]
    return {
        "accuracy": unit["estimate"]["accuracy"],
        "certified": accuracy_of(unit["certified"]) or 0.0,
        "operations": float(unit["certified"]["operations"] or 0),
        "became_wrong": sample["became_wrong"] / sample["inputs"],
        "became_right": sample["became_right"] / sample["inputs"],
    }


def _rows(results: Facts) -> Iterable[Facts]:
    for unit in results["units"]:
        sample, certified = unit["sample_estimate"], unit["certified"]
        names = ("strategy", "options", *OUTCOME, *LENGTH)
        yield {
            **{name: unit[name] for name in ("subject", "variant", "circuit", "sort", "d_model")},
            "accuracy_estimate": unit["estimate"]["accuracy"],
            "right_estimate": unit["estimate"]["right"],
            "of": unit["estimate"]["inputs"],
            "exhaustive": unit["estimate"]["exhaustive"],
            **{name: certified[name] for name in names},
            "sampled": sample["inputs"],
            "became_wrong_estimate": sample["became_wrong"],
            "became_right_estimate": sample["became_right"],
            **{f"margin_{q}_estimate": value for q, value in _sorted(sample["margins"])},
            "model_sha256": unit["model_sha256"],
            "line": certified["line"],
        }


def _sorted(quantiles: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(quantiles.items(), key=lambda one: float(one[0]))


def _draw(results: Facts, pictures: Pictures) -> None:
    variants = list(dict.fromkeys(unit["variant"] for unit in results["units"]))
    models = list(dict.fromkeys(unit["subject"] for unit in results["units"]))
    with pictures.picture(
        "surgery",
        f"Residuals taken out or replaced, each variant a model file ({len(models)} models)",
        panels=(1, 3),
        width=17.0,
        height=0.5 * len(variants) + 3.0,
    ) as (figure, (errors, lengths, margins_axes)):
        for place, variant in enumerate(reversed(variants)):
            units = [unit for unit in results["units"] if unit["variant"] == variant]
            numbers = [_numbers(unit) for unit in units]
            for shift, one in zip(_shifts(len(numbers)), numbers, strict=True):
                wrong = max(1 - one["accuracy"], LEAST_ERROR)
                open_ = max(1 - one["certified"], LEAST_ERROR)
                at = place + shift
                errors.plot([wrong, open_], [at, at], color=QUIET, linewidth=0.8)
                errors.plot(wrong, at, "o", color=SERIES[0][0], markersize=5)
                errors.plot(open_, at, "s", color=SERIES[1][0], markersize=5)
                if one["operations"]:
                    lengths.plot(one["operations"], at, "s", color=SERIES[1][0], markersize=5)
            _margins(margins_axes, units, place)
        for axes in (errors, lengths, margins_axes):
            axes.set_yticks(range(len(variants)), list(reversed(variants)))
            axes.set_ylim(-0.6, len(variants) - 0.4)
        errors.set(xscale="log", xlabel=f"share of inputs ({LEAST_ERROR:g} stands for none)")
        errors.set_title("wrong in float64, and not certified right")
        lengths.set(xlabel="operations of the checker")
        lengths.set_xlim(0, 1.05 * lengths.get_xlim()[1])
        lengths.set_title("proof length")
        margins_axes.set_xscale("symlog", linthresh=1.0)
        margins_axes.axvline(0, color="#000000", linewidth=0.8)
        margins_axes.set_xlabel("margin in logits, mean over models (left of 0: wrong)")
        margins_axes.set_title("margins: least, 0.1, 1, 5, 25, 50, 75 %")
        errors.plot([], [], "o", color=SERIES[0][0], label="wrong in float64")
        errors.plot([], [], "s", color=SERIES[1][0], label="not certified right")
        handles, labels = errors.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)


def _shifts(many: int) -> list[float]:
    """Return offsets of points that share a line."""
    return [0.0] if many == 1 else [float(x) for x in np.linspace(-0.25, 0.25, many)]


def _margins(axes: Any, units: Sequence[Facts], place: int) -> None:
    found = [_sorted(unit["sample_estimate"]["margins"]) for unit in units]
    means = [float(np.mean([one[i][1] for one in found])) for i in range(len(QUANTILES))]
    axes.plot([means[0], means[-1]], [place, place], color=QUIET, linewidth=0.8)
    axes.plot(
        means, [place] * len(means), "|", color=SERIES[2][0], markersize=14, markeredgewidth=2
    )


def _sorts(text: str) -> list[str]:
    found = [part for part in text.split(",") if part]
    for sort in found:
        if sort not in REPLACEMENTS:
            raise ValueError(f"{sort} is none of {', '.join(REPLACEMENTS)}")
    return list(dict.fromkeys(found))


def _rank(text: str) -> int:
    if int(text) < 1:
        raise ValueError("a rank is at least 1")
    return int(text)


EXPERIMENT = Experiment(
    name="surgery",
    about="""Take what an explanation leaves out of a model, or replace it by a random stand-in,
    and prove what is left: how much of the noise was behaviour?
    """,
    kinds=("max-of-4", "max-of-10", "modadd59-constant", "modadd59-softmax"),
    seeds=tuple(range(5)),
    draws=None,
    units=_units,
    measure=_measure,
    summary=_summary,
    rows=_rows,
    draw=_draw,
    extras=(
        Extra("rank", "Directions of the embeddings that are kept of QK.", 2, 2, _rank),
        Extra("ov-rank", "Singular directions that are kept of OV.", 8, 4, _rank),
        Extra(
            "sorts",
            "What replaces residuals: zero, shuffle, normal, rotation.",
            [ZERO, "shuffle"],
            [ZERO],
            _sorts,
        ),
    ),
)
