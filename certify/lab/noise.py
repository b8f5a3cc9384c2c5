"""Is what an explanation leaves out like noise?  Random residuals beside that of the model.

A model is split into what the explanation keeps and residual factors (``certify.lab.splits``).
Each sort of replacement (``certify.lab.residual``) is drawn many times.  For every draw: the
statistic, every bound that the rules give for it, and accuracy on one fixed sample with its
interval.  For the first draw, and for the model itself written in the same coordinates: every input
evaluated, and what is certified.  For the draw with the largest statistic, and the model's own: the
statistic in integers.  Over the rank of what is kept: proofs that know the residual by its size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from certify.api import evaluate
from certify.cells.enclosures import is_name
from certify.lab.bench import LENGTH, OUTCOME, Bench
from certify.lab.circuits import model_of
from certify.lab.experiment import Asked, Experiment, Extra, Subject, Unit, read_names, read_numbers
from certify.lab.kinds import KINDS, SMALL_MAX, Facts, Kind
from certify.lab.noise_pictures import draw
from certify.lab.residual import (
    RANDOM,
    REAL,
    SORTS,
    ZERO,
    Residual,
    bounds_of,
    deviations,
    exact_statistic,
    moments,
    outward,
    statistic,
)
from certify.lab.samples import SIZE, SMALL_SIZE, Measured, measured, sample_of
from certify.lab.splits import (
    ALL_CIRCUITS,
    CIRCUITS,
    EMBEDDING,
    QK,
    SVD,
    Split,
    frequencies_of,
    split_of,
    with_embedding,
)
from certify.model.file import Model

DRAWS, RANKS, BOUNDS = "draws", "ranks", "bounds"
"""The parts of the study."""
ORIGINAL = "original"
"""The model as it was trained, in its own coordinates."""
CASCADE: tuple[str, Facts] = ("cascade", {})
SUBCUBIC: tuple[str, Facts] = ("subcubic", {"direct": "max_diff_exact"})
"""Proofs that take an enclosure of QK."""
ALL = "all"
"""Every residual replaced at once."""
EXACT_PATHS = {"qk": "exact"}
"""The usual proof of a Max-of-K model: no path is enclosed, for models written in any way."""
SEED = 1117
AGREES = 1e-9
"""The largest relative difference between a statistic in float64 and in integers."""

Residuals = Mapping[str, Residual]


# --- units ------------------------------------------------------------------------


def _units(asked: Asked, subjects: Sequence[Subject]) -> list[Unit]:
    size = SMALL_SIZE if asked.smoke else SIZE
    found = []
    for subject in subjects:
        about = {
            **subject.about(),
            "rank": asked.more["rank"],
            "ov-rank": asked.more["ov-rank"],
            "inputs": size,
        }
        for sort in SORTS:
            draws = asked.draws if sort in RANDOM else 1
            unit = {"part": DRAWS, "sort": sort, "draws": draws, **about}
            found.append(Unit(f"{subject.name}, {sort}", unit))
    ranked = [one for one in subjects if is_max_of_k(one.kind)][: asked.more["rank-models"]]
    for subject in ranked:
        for rank in asked.more["ranks"]:
            about = {
                "part": RANKS,
                **subject.about(),
                "rank": rank,
                "ov-rank": asked.more["ov-rank"],
            }
            found.append(Unit(f"{subject.name}, rank {rank}", about))
        for bound in asked.more["bounds"]:
            about = {
                "part": BOUNDS,
                **subject.about(),
                "rank": asked.more["rank"],
                "ov-rank": asked.more["ov-rank"],
                "bound": bound,
            }
            found.append(Unit(f"{subject.name}, bound {bound}", about))
    return found


def is_max_of_k(kind: Kind) -> bool:
    """Return whether models of a kind have the circuits of Max-of-K."""
    return kind.trained == SMALL_MAX.trained


def _measure(unit: Unit, bench: Bench) -> Facts:
    about = unit.about
    kind, model = KINDS[about["kind"]], bench.model(about["model"])
    known = {name: about[name] for name in ("part", "subject")}
    known |= {"model_sha256": about["model"], "rank": about["rank"]}
    if about["part"] == RANKS:
        return known | {"sorts": _over_ranks(about, kind, model, bench)}
    if about["part"] == BOUNDS:
        sorts = _over_bounds(about, kind, model, bench)
        return known | {"bound": about["bound"], "sorts": sorts}
    network = MaxNetwork(about, model, kind) if is_max_of_k(kind) else AdditionNetwork(model, kind)
    found = _drawn(about, network)
    first = found.pop("first")
    written = bench.kept(*network.written(first))
    said = {**known, "sort": about["sort"], **found, "first": known_of(bench, kind, written)}
    if about["sort"] == REAL:
        said["original"] = known_of(bench, kind, about["model"])
        said["explanation"] = network.explanation()
    return said


def known_of(bench: Bench, kind: Kind, digest: str) -> Facts:
    """Return what is known of a model: its accuracy in float64, and what is certified of it."""
    return {
        "model_sha256": digest,
        "estimate": evaluated(bench, kind, digest),
        "certified": usually_certified(bench, kind, digest),
    }


def evaluated(bench: Bench, kind: Kind, digest: str) -> Facts:
    """Return how often a model is right in float64, of all inputs where they can be enumerated."""

    def work() -> Facts:
        found = evaluate(bench.model(digest), task=kind.task)
        return {
            "exhaustive": found.exhaustive,
            "inputs": found.inputs,
            "right": found.inputs - found.wrong,
            "accuracy": found.accuracy,
            "low": found.low,
            "high": found.high,
        }

    step: Facts = bench.step("evaluate", {"model": digest, "task": kind.task}, work)
    return step


def usually_certified(bench: Bench, kind: Kind, digest: str) -> Facts:
    """Return what the usual proof of a kind certifies of a model, no path of it enclosed."""
    if not is_max_of_k(kind):
        return bench.certified(digest, kind)
    options: Facts = dict(EXACT_PATHS)
    if kind.effort is not None:
        options["effort"] = kind.effort
    return bench.certified(digest, kind, strategy=kind.strategy, options=options)


# --- the networks -----------------------------------------------------------------


class MaxNetwork:
    """A one-head model, its circuits split."""

    circuits = CIRCUITS

    def __init__(self, about: Mapping[str, Any], model: Model, kind: Kind) -> None:
        """Split a model, the QK circuit by the published peeling."""
        self.split: Split = split_of(model, about["rank"], about["ov-rank"])
        self.residuals: Residuals = self.split.residuals
        self.tokens = sample_of(model.config.d_vocab, model.config.n_ctx, about["inputs"])

    def explanation(self) -> Facts:
        """Return what is kept, in numbers."""
        return {"ranks": dict(self.split.ranks)}

    def alternatives(self, replaced: Residuals) -> Iterator[tuple[str, Residuals]]:
        """Yield what is replaced at a time: each circuit by itself, then all."""
        for name in self.circuits:
            yield name, {name: replaced[name]}
        yield ALL, replaced

    def measured(self, residuals: Residuals) -> Measured:
        """Return accuracy with these residuals."""
        return measured(self.split.paths(residuals), self.tokens)

    def written(self, replaced: Residuals) -> tuple[Any, Any]:
        """Return the model with the residual of its QK circuit replaced."""
        return model_of(self.split.circuits({QK: replaced[QK]}))


class AdditionNetwork:
    """A model for modular addition, its embedding split."""

    circuits = (EMBEDDING,)

    def __init__(self, model: Model, kind: Kind) -> None:
        """Split a model at the key frequencies of its embedding."""
        self.model, self.kind = model, kind
        self.split = frequencies_of(model, int(kind.options["modulus"]))
        self.residuals: Residuals = {EMBEDDING: self.split.residual}

    def explanation(self) -> Facts:
        """Return what is kept, in numbers."""
        shares = [float(share) for share in self.split.shares]
        return {"key_frequencies": list(self.split.keys), "shares": shares}

    def alternatives(self, replaced: Residuals) -> Iterator[tuple[str, Residuals]]:
        """Yield what is replaced at a time."""
        yield EMBEDDING, replaced

    def measured(self, residuals: Residuals) -> Measured:
        """Return accuracy with this residual, of all inputs."""
        tensors, config = self.written(residuals)
        found = evaluate(Model(config, tensors, ""), task=self.kind.task)
        return Measured(found.inputs - found.wrong, found.inputs)

    def written(self, residuals: Residuals) -> tuple[Any, Any]:
        """Return the model with this residual."""
        return with_embedding(self.model, self.split.embedding(residuals[EMBEDDING]))


Network = MaxNetwork | AdditionNetwork


# --- draws ------------------------------------------------------------------------


def replaced(model: str, residuals: Residuals, sort: str, number: int) -> dict[str, Residual]:
    """Return one draw of every residual of a model: always the same for the same number.

    Requires: ``model`` is its hash, so that draws for different models have nothing in common;
              a sort of ``SORTS``.
    """
    if sort == REAL:
        return dict(residuals)
    return {
        name: residual.replaced(
            sort,
            np.random.default_rng([SEED, int(model[:8], 16), SORTS.index(sort), place, number]),
        )
        for place, (name, residual) in enumerate(residuals.items())
    }


@dataclass(slots=True)
class _Circuit:
    """What the draws of one circuit said so far; ``largest`` has the largest statistic."""

    statistics: list[float]
    bounds: list[dict[str, float]]
    largest: tuple[int, Residual] | None = None

    def take(self, number: int, residual: Residual) -> None:
        """Take in one draw."""
        value = statistic(residual.factors)
        if self.largest is None or value > max(self.statistics):
            self.largest = number, residual
        self.statistics.append(value)
        self.bounds.append(bounds_of(residual.factors))

    def facts(self) -> Facts:
        """Return it as JSON values."""
        if self.largest is None:
            raise ValueError("no draws")
        number, residual = self.largest
        names = list(self.bounds[0])
        return {
            "statistics_estimate": self.statistics,
            "statistic": moments(self.statistics),
            "bounds_estimate": {
                name: moments([bounds[name] for bounds in self.bounds]) for name in names
            },
            "largest": _derived(number, residual, max(self.statistics)),
        }


def _derived(number: int, residual: Residual, estimate: float) -> Facts:
    """Return a statistic derived in integers, and whether it agrees with its estimate."""
    exact = exact_statistic(residual.factors)
    difference = abs(float(exact) - estimate)
    return {
        "draw": number,
        "estimate": estimate,
        "exact": outward(exact),
        "agrees": difference <= AGREES * max(abs(float(exact)), AGREES),
    }


def _drawn(about: Mapping[str, Any], network: Network) -> Facts:
    """Return what all draws of one sort said; ``first`` is the first draw."""
    circuits = {name: _Circuit([], []) for name in network.circuits}
    right: dict[str, list[Measured]] = {}
    first: Residuals = {}
    for number in range(about["draws"]):
        drawn = replaced(about["model"], network.residuals, about["sort"], number)
        first = first or drawn
        for name, circuit in circuits.items():
            circuit.take(number, drawn[name])
        alternatives = list(network.alternatives(drawn))
        for name, residuals in alternatives[-1:] if about["sort"] == REAL else alternatives:
            right.setdefault(name, []).append(network.measured(residuals))
    return {
        "circuits": {name: circuit.facts() for name, circuit in circuits.items()},
        "accuracy_estimate": {name: _accuracies(found) for name, found in right.items()},
        "first": first,
    }


def _accuracies(found: Sequence[Measured]) -> Facts:
    """Return how many inputs each draw has right, each with its interval."""
    facts = [_facts(one) for one in found]
    return {
        "inputs": found[0].inputs,
        "right": [one.right for one in found],
        "low": [one["low"] for one in facts],
        "high": [one["high"] for one in facts],
        **moments([one.accuracy for one in found]),
    }


@lru_cache(maxsize=4096)
def _facts(one: Measured) -> Facts:
    return one.facts()


# --- proofs that know the residual by its size --------------------------------------


def _over_ranks(about: Mapping[str, Any], kind: Kind, model: Model, bench: Bench) -> Facts:
    """Return what proofs certify that know the best approximation of QK and the size of the rest,
    of the model, as it was trained and in coordinates of its own, and of its stand-ins.
    """
    split = split_of(model, about["rank"], about["ov-rank"], SVD)
    enclosure = f"rank-{about['rank']}"
    found = {}
    for sort in (REAL, RANDOM[0], ZERO):
        several = (CASCADE,) if sort == ZERO else (CASCADE, SUBCUBIC)
        proofs = [(strategy, {"qk": enclosure, **more}) for strategy, more in several]
        found[sort] = _sized(bench, kind, _stand_in(about["model"], split, sort, bench), proofs)
        if sort == REAL:
            size = found[sort]["statistic_estimate"]
            found[ORIGINAL] = _sized(bench, kind, (about["model"], size), proofs)
    return found


def _over_bounds(about: Mapping[str, Any], kind: Kind, model: Model, bench: Bench) -> Facts:
    """Return what sub-cubic proofs certify that know the residual of the peeling by one bound."""
    split = split_of(model, about["rank"], about["ov-rank"])
    strategy, more = SUBCUBIC
    proofs = [(strategy, {"qk": about["bound"], **more})]
    return {
        sort: _sized(bench, kind, _stand_in(about["model"], split, sort, bench), proofs)
        for sort in (REAL, RANDOM[0])
    }


def _stand_in(model: str, split: Split, sort: str, bench: Bench) -> tuple[str, float]:
    """Return the hash of a model with the first draw of the residual of QK, and its statistic."""
    drawn = replaced(model, split.residuals, sort, 0)[QK]
    return bench.kept(*model_of(split.circuits({QK: drawn}))), statistic(drawn.factors)


def _sized(
    bench: Bench, kind: Kind, stand_in: tuple[str, float], proofs: Sequence[tuple[str, Facts]]
) -> Facts:
    digest, size = stand_in
    return {
        "model_sha256": digest,
        "statistic_estimate": size,
        "estimate": evaluated(bench, kind, digest),
        "proofs": [
            bench.certified(digest, kind, strategy=strategy, options=options)
            for strategy, options in proofs
        ],
    }


# --- what all of them say ---------------------------------------------------------


def _summary(_asked: Asked, units: Sequence[Facts]) -> Facts:
    """Return how residuals compare with their stand-ins, for every model and over all."""
    models: dict[str, dict[str, Facts]] = {}
    for unit in units:
        if unit["part"] == DRAWS:
            models.setdefault(unit["subject"], {})[unit["sort"]] = unit
    found = {name: _model_summary(sorts) for name, sorts in models.items()}
    return {"models": found, "over_models": _over_models(list(found.values()))}


def _model_summary(sorts: Mapping[str, Facts]) -> Facts:
    """Return the statistic of every sort with z-scores, the bounds with their looseness, and what
    is certified.
    """
    real = sorts[REAL]
    names = [name for name in ALL_CIRCUITS if name in real["circuits"]]
    circuits = {name: _compared(name, sorts) for name in names}
    first = names[0]
    return {
        "model_sha256": real["model_sha256"],
        "statistic": circuits[first]["statistic"],
        "bounds": [
            {"circuit": name, **bound}
            for name, compared in circuits.items()
            for bound in compared["bounds"]
        ],
        "certified": {
            sort: {
                name: unit["first"]["certified"][name]
                for name in (
                    *("strategy", "lower", "upper", "total", "verdict", "certificate_sha256"),
                    *("accuracy_lower", "operations", "line"),
                )
            }
            for sort, unit in sorts.items()
        },
        "circuits": {name: compared["statistic"] for name, compared in circuits.items()},
    }


def _compared(circuit: str, sorts: Mapping[str, Facts]) -> Facts:
    """Return statistic and bounds of one circuit.

    ``z``: by how many standard deviations of a sort's draws the statistic of the model exceeds
    their mean; ``looseness`` of a bound the same for the bound on the residual of the model, and
    ``draws`` what the bound is for draws.
    """
    of = {sort: unit["circuits"][circuit] for sort, unit in sorts.items()}
    value = of[REAL]["statistic"]["mean"]
    statistics = {sort: one["statistic"] for sort, one in of.items()}
    bounds = of[REAL]["bounds_estimate"]
    return {
        "statistic": {
            sort: {**said, "z": None if sort == REAL else deviations(value, said)}
            for sort, said in statistics.items()
        },
        "bounds": [
            {
                "name": name,
                "real": said["mean"],
                "over_statistic": said["mean"] / value if value else None,
                "looseness": {sort: deviations(said["mean"], statistics[sort]) for sort in RANDOM},
                "draws": {sort: of[sort]["bounds_estimate"][name] for sort in RANDOM},
            }
            for name, said in sorted(bounds.items(), key=lambda bound: bound[1]["mean"])
        ],
    }


def _over_models(models: Sequence[Facts]) -> Facts:
    """Return mean, standard deviation and number, over models, of z-scores and of looseness."""
    if not models:
        return {}
    scores = {
        circuit: {
            sort: _known([model["circuits"][circuit][sort]["z"] for model in models])
            for sort in RANDOM
        }
        for circuit in models[0]["circuits"]
    }
    bounds: dict[tuple[str, str], list[Facts]] = {}
    for model in models:
        for bound in model["bounds"]:
            bounds.setdefault((bound["circuit"], bound["name"]), []).append(bound)
    looseness = [
        {
            "circuit": circuit,
            "name": name,
            "over_statistic": _known(bound["over_statistic"] for bound in found),
            **{sort: _known(bound["looseness"][sort] for bound in found) for sort in RANDOM},
        }
        for (circuit, name), found in bounds.items()
    ]
    return {"z": scores, "looseness": looseness}


def _known(values: Iterable[float | None]) -> Facts:
    return moments([value for value in values if value is not None])


def _rows(results: Facts) -> Iterable[Facts]:
    summary = results["summary"].get("models", {})
    for unit in results["units"]:
        if unit["part"] != DRAWS:
            yield from _rows_of_proofs(unit)
            continue
        compared = summary.get(unit["subject"], {}).get("circuits", {})
        names = [name for name in ALL_CIRCUITS if name in unit["circuits"]]
        for place, name in enumerate(names):
            circuit = unit["circuits"][name]
            accuracy = unit["accuracy_estimate"].get(name, {})
            row = {
                **{column: unit[column] for column in ("part", "subject", "sort", "rank")},
                "circuit": name,
                "draws": circuit["statistic"]["n"],
                "statistic_mean_estimate": circuit["statistic"]["mean"],
                "statistic_sd_estimate": circuit["statistic"]["sd"],
                "z_estimate": compared.get(name, {}).get(unit["sort"], {}).get("z"),
                "largest_low": circuit["largest"]["exact"]["low"],
                "largest_high": circuit["largest"]["exact"]["high"],
                "accuracy_mean_estimate": accuracy.get("mean"),
                "accuracy_sd_estimate": accuracy.get("sd"),
            }
            if place == 0:
                row |= _certified_columns(unit["first"], unit["first"]["certified"])
            yield row


def _rows_of_proofs(unit: Facts) -> Iterator[Facts]:
    for sort, found in unit["sorts"].items():
        for certified in found["proofs"]:
            yield {
                **{column: unit[column] for column in ("part", "subject", "rank")},
                "sort": sort,
                "circuit": QK,
                "draws": 1,
                "statistic_mean_estimate": found["statistic_estimate"],
                **_certified_columns(found, certified),
            }


def _certified_columns(found: Facts, certified: Facts) -> Facts:
    names = ("strategy", "options", *OUTCOME, *LENGTH, "model_sha256", "line")
    return {
        "exhaustive_estimate" if found["estimate"]["exhaustive"] else "sampled_estimate": found[
            "estimate"
        ]["accuracy"],
        **{name: certified[name] for name in names},
    }


def _rank(text: str) -> int:
    if int(text) < 1:
        raise ValueError("a rank is at least 1")
    return int(text)


def _count(text: str) -> int:
    if int(text) < 0:
        raise ValueError("a number is not negative")
    return int(text)


def _texts(text: str) -> list[str]:
    found = read_names(text)
    for name in found:
        if not is_name(QK, name):
            raise ValueError("there is no such enclosure of the QK circuit")
    return found


EXPERIMENT = Experiment(
    name="noise",
    about="""Replace what an explanation leaves out by random stand-ins: is it like noise, how
    loose is every bound on it, and what can be proved of either?
    """,
    kinds=("max-of-4", "max-of-10", "modadd59-constant", "modadd59-softmax"),
    seeds=tuple(range(20)),
    draws=100,
    units=_units,
    measure=_measure,
    summary=_summary,
    rows=_rows,
    draw=draw,
    extras=(
        Extra("rank", "Directions of the embeddings that are kept of QK.", 2, 2, _rank),
        Extra("ov-rank", "Singular directions that are kept of OV.", 8, 4, _rank),
        Extra("ranks", "Ranks of QK whose proofs are made.", [1, 2, 4, 8, 16], [2], read_numbers),
        Extra(
            "bounds",
            "Enclosures of QK whose sub-cubic proofs are made.",
            ["svd", "max_diff", "max_diff_subproduct", "max_diff_subproduct_recursive"],
            ["max_diff"],
            _texts,
        ),
        Extra("rank-models", "How many models these proofs are made of.", 1, 1, _count),
    ),
)
