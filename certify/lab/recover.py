"""How much of a model an approximation recovers: on the usual scale, and on one that does not
flatter.

Loss recovered is (L_base - L) / (L_base - L_model), L the cross-entropy: 1 is the model, 0 the
baseline.  Nearly everything is near 1 on it, because baselines are bad.  The other scale asks how
long the model itself was trained until it was as good: its checkpoints, at steps that are even on a
log scale, are measured on the same inputs.

Baselines: ``zero`` is the model whose attention moves nothing (every value zero), ``uniform`` gives
every output the same probability.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from certify.errors import CertifyError
from certify.lab.ablate import worth_certifying
from certify.lab.approximations import (
    CHECKPOINTS,
    GRIDS,
    ORIGINAL,
    SORTS,
    approximations,
    checkpoints_of,
    step_as_good,
)
from certify.lab.bench import OUTCOME, Bench
from certify.lab.experiment import Asked, Experiment, Extra, Subject, Unit, read_numbers
from certify.lab.kinds import KINDS, Facts, Kind
from certify.lab.readers import model_of, readers_of
from certify.lab.recover_pictures import draw
from certify.lab.replacing import Path, dtype_of, edited
from certify.lab.samples import SIZE, SMALL_SIZE, Measured, sample_of
from certify.model.config import Config
from certify.model.file import Model
from certify.model.forward import logits, margins
from certify.training.asked import objects_of, trainable
from certify.training.pytorch import finished

Floats = NDArray[np.float64]
Tokens = NDArray[np.int64]

FEW = 5
"""Inputs that are named of those that became wrong."""
BATCH = 2048


def _units(asked: Asked, subjects: Sequence[Subject]) -> list[Unit]:
    found: list[Unit] = []
    for subject in subjects:
        common = {
            **subject.about(),
            "trained": None if subject.options is None else dict(subject.options),
            "size": SMALL_SIZE if asked.smoke else SIZE,
        }
        asked_of = {
            "ranks": asked.more["ranks"],
            "bits": asked.more["bits"],
            "certify": _certified_sorts(asked),
        }
        sorts: list[tuple[str, ...]] = [(ORIGINAL,), *((sort,) for sort in SORTS)]
        if asked.smoke:
            sorts = [(ORIGINAL, *SORTS)]
        if subject.options is not None:
            found.append(Unit(f"{subject.name}, {CHECKPOINTS}", {**common, "sorts": [CHECKPOINTS]}))
        for these in sorts:
            about = {**common, **asked_of, "sorts": list(these)}
            name = these[0] if len(these) == 1 else "approximations"
            found.append(Unit(f"{subject.name}, {name}", about))
    return found


def _certified_sorts(asked: Asked) -> list[str]:
    """Return which approximations are certified: in a smoke run the model and its grids."""
    return [ORIGINAL, GRIDS] if asked.smoke else [ORIGINAL, *SORTS]


# --- one unit -----------------------------------------------------------------------


def _measure(unit: Unit, bench: Bench) -> Facts:
    about = unit.about
    kind = KINDS[about["kind"]]
    model = bench.model(about["model"])
    tokens = sample_of(model.config.d_vocab, model.config.n_ctx, about["size"])
    true = _Said(model, tokens)
    rows: list[Facts] = []
    for sort in about["sorts"]:
        if sort == CHECKPOINTS:
            rows.extend(
                {
                    "name": f"step {step}",
                    "sort": sort,
                    "step": step,
                    **_against(true, digest, bench),
                }
                for step, digest in _trained(about, kind, bench)
            )
            continue
        for name, digest in _written(model, about, sort, tokens, bench):
            row = {"name": name, "sort": sort, **_against(true, digest, bench), "certified": None}
            if sort in about["certify"]:
                accuracy = row["accuracy"]["accuracy"]
                row["certified"] = worth_certifying(digest, kind, accuracy, bench)
            rows.append(row)
    found: Facts = {"subject": about["subject"], "rows": rows}
    if ORIGINAL in about["sorts"]:
        found["baselines"] = _baselines(model, tokens)
    return found


def _written(
    model: Model, about: Mapping[str, Any], sort: str, tokens: Tokens, bench: Bench
) -> list[tuple[str, str]]:
    """Return the approximations of a sort, by name, as models that are kept."""
    if sort == ORIGINAL:
        return [(ORIGINAL, about["model"])]
    made = approximations(model, sort, tokens, ranks=about["ranks"], bits=about["bits"])
    return [(name, bench.kept(*written)) for name, written in made]


class _Said:
    """What a model says of the sample: log probabilities, and which answers are right."""

    def __init__(self, model: Model, tokens: Tokens) -> None:
        self.tokens = tokens
        answers = tokens.max(axis=1)
        places = range(0, len(tokens), BATCH)
        found = np.concatenate([logits(model, tokens[at : at + BATCH]) for at in places])
        self.right = margins(found, answers) > 0
        found -= found.max(axis=1, keepdims=True)
        found -= np.log(np.exp(found).sum(axis=1, keepdims=True))
        self.log = found
        self.cross_entropy = float(-found[np.arange(len(tokens)), answers].mean())


def _against(true: _Said, digest: str, bench: Bench) -> Facts:
    """Return what a model says beside what the original says."""
    said = _Said(bench.model(digest), true.tokens)
    broken = true.right & ~said.right
    divergence = (np.exp(true.log) * (true.log - said.log)).sum(axis=1)
    return {
        "model_sha256": digest,
        "accuracy": Measured(int(np.count_nonzero(said.right)), len(true.tokens)).facts(),
        "broken": int(np.count_nonzero(broken)),
        "first_broken": true.tokens[broken][:FEW].tolist(),
        "repaired": int(np.count_nonzero(said.right & ~true.right)),
        "cross_entropy_estimate": said.cross_entropy,
        "divergence_estimate": float(divergence.mean()),
    }


def _baselines(model: Model, tokens: Tokens) -> Facts:
    """Return the cross-entropy of what a recovered loss is compared with."""
    readers = readers_of(model)
    for head in range(readers.heads):
        readers = edited(readers, Path("ov", "ov", head), "zero", tokens)
    written, config = model_of(readers, model.config, dtype_of(model))
    zero = _Said(Model(config, written, ""), tokens)
    return {"zero": zero.cross_entropy, "uniform": math.log(model.config.d_vocab_out)}


def _trained(about: Mapping[str, Any], kind: Kind, bench: Bench) -> list[tuple[int, str]]:
    """Return the checkpoints of the training that made a model: steps and hashes.

    Errors: ``CertifyError`` if the training does not end at the model.
    """
    row = trainable(kind.trained, "trained")
    objects = objects_of(row, about["trained"], "trained")
    steps = checkpoints_of(row.steps(*objects))

    def train() -> list[list[Any]]:
        kept: list[tuple[int, dict[str, Any]]] = []

        def keep(step: int, weights: Mapping[str, Any]) -> None:
            if step in steps:
                kept.append((step, finished(weights)))

        made: tuple[Any, Config] = row.train(*objects, None, keep=keep)
        return [[step, bench.kept(tensors, made[1])] for step, tensors in kept]

    asked = {"trained": about["trained"], "kind": kind.trained, "steps": steps}
    found = [(int(step), str(digest)) for step, digest in bench.step(CHECKPOINTS, asked, train)]
    if found[-1][1] != about["model"]:
        raise CertifyError("the training that is looked at does not end at the model")
    return found


# --- all of them --------------------------------------------------------------------


def _summary(_asked: Asked, units: Sequence[Facts]) -> Facts:
    subjects = list(dict.fromkeys(unit["subject"] for unit in units))
    return {"models": [_of_subject(name, units) for name in subjects]}


def _of_subject(subject: str, units: Sequence[Facts]) -> Facts:
    """Return the approximations of one model on both scales."""
    own = [unit for unit in units if unit["subject"] == subject]
    rows = [row for unit in own for row in unit["rows"]]
    baselines = next(unit["baselines"] for unit in own if "baselines" in unit)
    original = next(row for row in rows if row["sort"] == ORIGINAL)
    checkpoints = [row for row in rows if row["sort"] == CHECKPOINTS]
    best = original["cross_entropy_estimate"]
    found = [
        {
            "name": row["name"],
            "recovered": {
                name: (loss - row["cross_entropy_estimate"]) / (loss - best)
                for name, loss in baselines.items()
            },
            "as_good": _as_good(row, checkpoints),
        }
        for row in rows
        if row["sort"] != CHECKPOINTS
    ]
    return {
        "subject": subject,
        "baselines": baselines,
        "steps": checkpoints[-1]["step"] if checkpoints else None,
        "approximations": found,
    }


def _as_good(row: Facts, checkpoints: Sequence[Facts]) -> Facts | None:
    """Return when the training was as good, by cross-entropy and by wrong answers."""
    if not checkpoints:
        return None
    steps = [one["step"] for one in checkpoints]
    by_loss = [one["cross_entropy_estimate"] for one in checkpoints]
    by_wrong = [1.0 - one["accuracy"]["accuracy"] for one in checkpoints]
    return {
        "cross_entropy": step_as_good(steps, by_loss, row["cross_entropy_estimate"]),
        "accuracy": step_as_good(steps, by_wrong, 1.0 - row["accuracy"]["accuracy"]),
    }


def _rows(results: Facts) -> Iterable[Facts]:
    scales = {
        (model["subject"], one["name"]): (model, one)
        for model in results["summary"].get("models", [])
        for one in model["approximations"]
    }
    for unit in results["units"]:
        for row in unit["rows"]:
            certified = row.get("certified") or {}
            model, scale = scales.get((unit["subject"], row["name"]), ({}, {}))
            recovered, good = scale.get("recovered", {}), scale.get("as_good") or {}
            yield {
                "subject": unit["subject"],
                "name": row["name"],
                "sort": row["sort"],
                "inputs": row["accuracy"]["inputs"],
                "right": row["accuracy"]["right"],
                "accuracy_estimate": row["accuracy"]["accuracy"],
                "accuracy_low": row["accuracy"]["low"],
                "accuracy_high": row["accuracy"]["high"],
                "broken": row["broken"],
                "first_broken": row["first_broken"],
                "repaired": row["repaired"],
                "cross_entropy_estimate": row["cross_entropy_estimate"],
                "divergence_estimate": row["divergence_estimate"],
                "recovered_of_zero_estimate": recovered.get("zero"),
                "recovered_of_uniform_estimate": recovered.get("uniform"),
                **{
                    f"step_{by}_{when}": good.get(by, {}).get(when)
                    for by in ("cross_entropy", "accuracy")
                    for when in ("first", "lasting", "between")
                },
                "fraction_of_training": _fraction(good, model.get("steps")),
                "model_sha256": row["model_sha256"],
                **{name: certified.get(name) for name in OUTCOME},
                **{name: certified.get(name) for name in ("operations", "certificate_sha256")},
                "line": certified.get("line"),
            }


def _fraction(good: Facts, steps: int | None) -> float | None:
    """Return the share of the training after which the cross-entropy was as good."""
    between = good.get("cross_entropy", {}).get("between")
    return None if between is None or not steps else between / steps


EXPERIMENT = Experiment(
    name="recover",
    about="""Approximate a model - low rank, denoised, quantised, each path left out - and measure
    what is recovered: accuracy, certified accuracy, the loss on its usual scale, and the step of
    its own training at which the model was as good.
    """,
    kinds=("max-of-4", "max-of-5", "max-of-10"),
    seeds=(0, 1, 2),
    draws=None,
    units=_units,
    measure=_measure,
    summary=_summary,
    rows=_rows,
    draw=draw,
    extras=(
        Extra("ranks", "Ranks of QK and OV, by commas.", [1, 2, 4, 8, 16], [1, 4], read_numbers),
        Extra("bits", "Bits of the grids of weights.", [8, 6, 5, 4, 3], [8, 6], read_numbers),
    ),
)
