"""Which training makes the short proofs tight, and what it costs in accuracy, confidence and
structure.

Every unit trains one variant (``certify.lab.variants``) with one seed and measures, of the stored
weights and without noise: how often it is right, on a fixed sample and by the count that the rung
``exact`` certifies; every rung of the quick ladder; margins; confidence (entropy of the softmax,
its mean largest probability, cross-entropy, calibration error); structure (shares of the first
singular directions, how far the largest row range of the QK residual is from that of shuffled
factors); and what noise washes out (``certify.lab.washed``): under the noise of its own training
if there was any, and under one reference noise on the weights that is the same for all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from certify.errors import BadInput
from certify.evaluation.tally import BATCH
from certify.lab.bench import OUTCOME, Bench, accuracy_of
from certify.lab.circuits import circuits_of
from certify.lab.experiment import Asked, Experiment, Extra, Subject, Unit, read_names
from certify.lab.kinds import KINDS, Facts, Kind
from certify.lab.residual import deviations, moments, statistic
from certify.lab.samples import SIZE, SMALL_SIZE, Measured, sample_of
from certify.lab.splits import QK, split_of
from certify.lab.train_pictures import EXACT, draw, true_accuracy
from certify.lab.variants import Variant, noise_of, variants
from certify.lab.washed import Noise, washed
from certify.model.config import is_one_layer
from certify.model.file import Model
from certify.model.forward import logits
from certify.training.perturbed import rounded_array

Floats = NDArray[np.float64]
Tokens = NDArray[np.int64]

BINS = 15
"""Of the calibration error: equal widths of confidence."""
REFERENCE = Noise(weights=0.01)
NOISY_INPUTS, NOISY_DRAWS = 512, 100
"""Inputs and draws of the sampled level."""
SHUFFLES = 100
"""Random residuals that the real one is compared with."""
SHUFFLE_SEED = 1234
NOTHING = 1e-6
"""A residual whose rows have no larger range, in scores, is rounding."""
ALL = "all"


@dataclass(frozen=True, slots=True)
class Confidence:
    """What the softmax of the logits says of itself on a sample."""

    measured: Measured
    margins: Floats
    entropy: float
    largest: float
    cross_entropy: float
    calibration_error: float

    def facts(self) -> Facts:
        """Return it as JSON values."""
        return {
            "accuracy": self.measured.facts(),
            "margins": {
                name: float(np.quantile(self.margins, share))
                for name, share in (("one_percent", 0.01), ("median", 0.5))
            },
            "entropy": self.entropy,
            "largest_probability": self.largest,
            "cross_entropy": self.cross_entropy,
            "calibration_error": self.calibration_error,
        }


def confidence_of(model: Model, tokens: Tokens) -> Confidence:
    """Return accuracy and confidence of a model that names the maximum, on a sample.

    Cost: the network on each input: seconds for 131 072 inputs at width 32.
    """
    parts = [
        _batch(logits(model, tokens[at : at + BATCH]), tokens[at : at + BATCH].max(axis=1))
        for at in range(0, len(tokens), BATCH)
    ]
    margins, entropy, largest, losses = (np.concatenate(part) for part in zip(*parts, strict=True))
    right = margins > 0
    return Confidence(
        Measured(int(np.count_nonzero(right)), len(tokens)),
        margins,
        float(entropy.mean()),
        float(largest.mean()),
        float(losses.mean()),
        calibration_error(largest, right),
    )


def _batch(scores: Floats, answers: Tokens) -> tuple[Floats, Floats, Floats, Floats]:
    """Return margin, entropy (nats), largest probability and cross-entropy of each input."""
    places = np.arange(len(scores))
    shifted = scores - scores.max(axis=1, keepdims=True)
    log_shares = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    shares = np.exp(log_shares)
    own = scores[places, answers]
    others = scores.copy()
    others[places, answers] = -np.inf
    return (
        own - others.max(axis=1),
        -(shares * log_shares).sum(axis=1),
        shares.max(axis=1),
        -log_shares[places, answers],
    )


def calibration_error(confidence: Floats, right: NDArray[np.bool_]) -> float:
    """Return the mean, over inputs, of |accuracy - confidence| in the input's bin of confidence."""
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    gaps = [
        abs(float(np.sum(right[bins == one]) - np.sum(confidence[bins == one])))
        for one in range(BINS)
    ]
    return math.fsum(gaps) / len(confidence)


def structure_of(model: Model, shuffles: int) -> Facts:
    """Return shares of leading singular directions, the reach of the direct path, and how random
    the residual of the QK circuit is.

    Requires: one layer and one head without layer norm.
    """
    circuits = circuits_of(model)
    scores = np.linalg.svd(circuits.query @ circuits.key.T, compute_uv=False) ** 2
    value = circuits.value - circuits.value.mean(axis=0)
    out = circuits.out - circuits.out.mean(axis=1, keepdims=True)
    moved = np.linalg.svd(value @ out, compute_uv=False) ** 2
    away = np.abs(circuits.direct - circuits.direct.mean(axis=0))
    return {
        "qk_first_share": float(scores[0] / scores.sum()),
        "ov_first_two_share": float(moved[:2].sum() / moved.sum()),
        "direct_reach": float((away @ np.ptp(circuits.unembed, axis=1)).mean()),
        "residual": z_score(model, shuffles),
    }


def z_score(model: Model, draws: int) -> Facts:
    """Return the largest row range of the residual of the QK circuit after the published peeling,
    that of shuffled factors, and by how many of their standard deviations it is larger; None where
    there is no residual.
    """
    residual = split_of(model, 2, 1).residuals[QK]
    real = statistic(residual.factors)
    generator = np.random.default_rng([SHUFFLE_SEED, draws])
    drawn = moments(
        [statistic(residual.replaced("shuffle", generator).factors) for _ in range(draws)]
    )
    z = deviations(real, drawn) if real > NOTHING else None
    return {"real": real, "shuffle": {**drawn, "z": z}}


# --- units ---------------------------------------------------------------------------


def _chosen(asked: Asked) -> list[Variant]:
    found = variants(_kind(asked), smoke=asked.smoke)
    groups = asked.more["variants"]
    known = list(dict.fromkeys([*(one.group for one in found), *(one.name for one in found)]))
    if groups == [ALL]:
        return found
    if unknown := [name for name in groups if name not in known]:
        raise BadInput(
            f"lab train: no variant or group is named {unknown[0]!r}: {', '.join(known)}"
        )
    return [one for one in found if one.group in groups or one.name in groups]


def _kind(asked: Asked) -> Kind:
    """Return the kind with the vocabulary that is asked for."""
    return _with_vocab(asked.kind, asked.more["vocab"])


def _with_vocab(kind: Kind, vocab: int | None) -> Kind:
    if vocab is None:
        return kind
    options = {**kind.options, "vocab": vocab}
    return Kind(kind.name, kind.trained, options, kind.task, kind.strategy, kind.effort)


def _units(asked: Asked, _subjects: Sequence[Subject]) -> list[Unit]:
    if asked.models:
        raise BadInput("lab train trains its models: it takes --seeds, no --models")
    return [
        Unit(
            f"{variant.name}, seed {seed}",
            {
                **variant.facts(),
                "kind": asked.kind.name,
                "vocab": asked.more["vocab"],
                "seed": seed,
                "rungs": asked.more["rungs"],
                "inputs": SMALL_SIZE if asked.smoke else SIZE,
                "draws": 4 if asked.smoke else NOISY_DRAWS,
                "shuffles": 4 if asked.smoke else SHUFFLES,
            },
        )
        for seed in asked.seeds
        for variant in _chosen(asked)
    ]


def _measure(unit: Unit, bench: Bench) -> Facts:
    about = unit.about
    kind = _with_vocab(KINDS[about["kind"]], about["vocab"])
    digest = bench.trained(kind, {**about["options"], "seed": about["seed"]})
    model = bench.model(digest)
    if about["bits"] is not None:
        tensors = {
            name: rounded_array(tensor, about["bits"]) for name, tensor in model.tensors.items()
        }
        digest = bench.kept(tensors, model.config)
        model = bench.model(digest)
    plain = is_one_layer(model.config)
    tokens = sample_of(model.config.d_vocab, model.config.n_ctx, about["inputs"])
    inputs, draws, shuffles = (about[key] for key in ("inputs", "draws", "shuffles"))

    def washed_by(noise: Noise) -> Facts | None:
        if not (plain and noise.any):
            return None
        sizes = [noise.weights, noise.stream, noise.activations]
        return dict(
            bench.step(
                "washed",
                {"model": digest, "noise": sizes, "draws": draws, "inputs": inputs},
                lambda: washed(model, noise, tokens[:NOISY_INPUTS], draws),
            )
        )

    measured = {
        "confidence": bench.step(
            "confidence",
            {"model": digest, "inputs": inputs},
            lambda: confidence_of(model, tokens).facts(),
        ),
        "structure": bench.step(
            "structure",
            {"model": digest, "shuffles": shuffles},
            lambda: structure_of(model, shuffles),
        )
        if plain
        else None,
        "washed": {
            "own": washed_by(noise_of(about["options"])),
            "reference": washed_by(REFERENCE),
        },
    }
    found = {name: about[name] for name in ("variant", "group", "strength", "seed", "bits")}
    return {
        **found,
        "model_sha256": digest,
        "normalization": model.config.normalization_type,
        "estimate": measured,
        "certified": _certified(bench, kind, digest, about["rungs"], plain=plain),
    }


def _certified(
    bench: Bench, kind: Kind, digest: str, names: Sequence[str], *, plain: bool
) -> dict[str, Facts]:
    """Return what each rung certifies; a model with layer norm has one proof, of wide cells."""
    rungs = bench.rungs(kind, "quick") if plain else [(EXACT, EXACT, {})]
    return {
        name: bench.certified(digest, kind, strategy=strategy, options=options)
        for name, strategy, options in rungs
        if names == [ALL] or name in names
    }


# --- results -------------------------------------------------------------------------


def _spread(values: Sequence[float | None]) -> Facts:
    """Return mean, least and most of what is known."""
    known = [value for value in values if value is not None]
    if not known:
        return {"mean": None, "least": None, "most": None, "n": 0}
    return {
        "mean": math.fsum(known) / len(known),
        "least": min(known),
        "most": max(known),
        "n": len(known),
    }


def _summary(_asked: Asked, units: Sequence[Facts]) -> Facts:
    """Return for each variant the spread over the seeds of all that is measured."""
    found: Facts = {}
    for name in dict.fromkeys(unit["variant"] for unit in units):
        these = [unit for unit in units if unit["variant"] == name]
        rungs = dict.fromkeys(rung for unit in these for rung in unit["certified"])
        found[name] = {
            "group": these[0]["group"],
            "strength": these[0]["strength"],
            "accuracy": _spread([true_accuracy(unit) for unit in these]),
            **{
                f"{key}_estimate": _spread([_at(unit["estimate"], path) for unit in these])
                for key, path in ESTIMATES.items()
            },
            "certified": {
                rung: {
                    "accuracy": _spread([accuracy_of(unit["certified"][rung]) for unit in these]),
                    "share_of_true": _spread([share_of_true(unit, rung) for unit in these]),
                    "operations": _spread(
                        [unit["certified"][rung]["operations"] for unit in these]
                    ),
                    "bytes": _spread([unit["certified"][rung]["bytes"] for unit in these]),
                }
                for rung in rungs
            },
        }
    return found


def share_of_true(unit: Mapping[str, Any], rung: str) -> float | None:
    """Return the certified accuracy as a share of the true one, 0 without a proof."""
    true = true_accuracy(unit)
    return None if true == 0.0 else (accuracy_of(unit["certified"][rung]) or 0.0) / true


ESTIMATES: Mapping[str, tuple[str, ...]] = {
    "sampled_accuracy": ("confidence", "accuracy", "accuracy"),
    "median_margin": ("confidence", "margins", "median"),
    "one_percent_margin": ("confidence", "margins", "one_percent"),
    "entropy": ("confidence", "entropy"),
    "cross_entropy": ("confidence", "cross_entropy"),
    "largest_probability": ("confidence", "largest_probability"),
    "calibration_error": ("confidence", "calibration_error"),
    "qk_first_share": ("structure", "qk_first_share"),
    "ov_first_two_share": ("structure", "ov_first_two_share"),
    "direct_reach": ("structure", "direct_reach"),
    "residual": ("structure", "residual", "real"),
    "z": ("structure", "residual", "shuffle", "z"),
    "own_level_qk": ("washed", "own", "level", "QK"),
    "own_level_direct": ("washed", "own", "level", "direct"),
    "own_level_sampled": ("washed", "own", "sampled"),
    "own_below_qk": ("washed", "own", "below", "QK"),
    "own_below_direct": ("washed", "own", "below", "direct"),
    "reference_below_qk": ("washed", "reference", "below", "QK"),
    "reference_below_direct": ("washed", "reference", "below", "direct"),
}
"""Columns of estimates, and where they stand in a unit."""


def _at(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        if value is None:
            return None
        value = value[name]
    return value


def _rows(results: Facts) -> Iterable[Facts]:
    for unit in results["units"]:
        estimates = {
            f"{name}_estimate": _at(unit["estimate"], path) for name, path in ESTIMATES.items()
        }
        for rung, facts in unit["certified"].items():
            yield {
                **{name: unit[name] for name in ("variant", "group", "strength", "seed")},
                "rung": rung,
                "accuracy": true_accuracy(unit),
                **{name: facts[name] for name in COLUMNS},
                **estimates,
                "model_sha256": unit["model_sha256"],
                "certificate_sha256": facts["certificate_sha256"],
                "line": facts["line"],
            }


COLUMNS = (*OUTCOME, "margin_lower", "operations", "bytes")


def _whole(text: str) -> int:
    found = int(text)
    if not 2 <= found <= 4096:
        raise ValueError("a vocabulary has 2 to 4096 tokens")
    return found


CASCADE = "cascade effort 1"

EXPERIMENT = Experiment(
    name="train",
    about="""Train variants of Max-of-K models and certify each by every rung of the ladder: which
    training makes the short proofs tight, and what does it cost?

    Noise in weights, residual stream or activations, grids of weights in and after training,
    weight decay, penalties, a loss of bounds, and layer norm that is taken out: one change each to
    one recipe, on a grid of strengths, for each seed.
    """,
    kinds=("max-of-4", "max-of-5", "max-of-10"),
    seeds=(0, 1),
    draws=None,
    units=_units,
    measure=_measure,
    summary=_summary,
    rows=_rows,
    draw=draw,
    trains=False,
    extras=(
        Extra(
            "variants",
            "Names of variants or groups of them, by commas, or all.",
            [ALL],
            [ALL],
            read_names,
        ),
        Extra(
            "rungs",
            "Names of rungs of the ladder, by commas, or all.",
            [ALL],
            [EXACT, CASCADE],
            read_names,
        ),
        Extra("vocab", "Tokens, if not as many as the kind has.", None, None, _whole),
    ),
)
