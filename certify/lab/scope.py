"""Where an explanation holds: one model under a family of scopes (SPEC-5.3).

``min-gap:G`` keeps the inputs in which every token is the maximum or at least G below it;
``max-copies:C`` those with exactly C copies of the maximum.  For each scope: how much is certified,
of how many inputs, at which proof length, and how much of it is true in float64.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from certify.api import evaluate
from certify.lab.bench import LENGTH, OUTCOME, UNIFORM, Bench, accuracy_of
from certify.lab.experiment import Asked, Experiment, Extra, Subject, Unit, read_names, read_numbers
from certify.lab.kinds import KINDS, Facts
from certify.lab.pictures import Pictures
from certify.report.figure import SERIES

GAP, COPIES = "min-gap", "max-copies"


def _units(asked: Asked, subjects: Sequence[Subject]) -> list[Unit]:
    scopes = [
        UNIFORM,
        *(f"{GAP}:{gap}" for gap in asked.more["gaps"]),
        *(f"{COPIES}:{copies}" for copies in asked.more["copies"]),
    ]
    return [
        Unit(
            f"{subject.name}, {scope}, {strategy}",
            {
                **subject.about(),
                "scope": scope,
                "strategy": strategy,
            },
        )
        for subject in subjects
        for scope in scopes
        for strategy in asked.more["strategies"]
    ]


def _measure(unit: Unit, bench: Bench) -> Facts:
    about = unit.about
    kind = KINDS[about["kind"]]
    model = bench.model(about["model"])
    estimate = evaluate(model, task=kind.task, scope=about["scope"])
    certified = bench.certified(
        about["model"], kind, strategy=about["strategy"], scope=about["scope"]
    )
    return {
        "subject": about["subject"],
        "scope": about["scope"],
        "strategy": about["strategy"],
        "estimate": {
            "accuracy": estimate.accuracy,
            "low": estimate.low,
            "high": estimate.high,
            "exhaustive": estimate.exhaustive,
        },
        "certified": certified,
    }


def _summary(_asked: Asked, units: Sequence[Facts]) -> Facts:
    """Return for each scope the least and most that was certified over the models."""
    found: dict[str, list[float]] = {}
    for unit in units:
        accuracy = accuracy_of(unit["certified"])
        if accuracy is not None:
            found.setdefault(f"{unit['scope']}, {unit['strategy']}", []).append(accuracy)
    return {name: {"least": min(all_), "most": max(all_)} for name, all_ in found.items()}


def _rows(results: Facts) -> Iterable[Facts]:
    for unit in results["units"]:
        certified = unit["certified"]
        yield {
            "subject": unit["subject"],
            "scope": unit["scope"],
            "strategy": unit["strategy"],
            "accuracy_estimate": unit["estimate"]["accuracy"],
            **{name: certified[name] for name in (*OUTCOME, *LENGTH)},
            "model_sha256": certified["model_sha256"],
            "line": certified["line"],
        }


def _draw(results: Facts, pictures: Pictures) -> None:
    strategies = results["asked"]["strategies"]
    for name, key, label, whole in (
        (GAP, "gaps", "G: others at least G below the maximum (1: any input)", 1),
        (COPIES, "copies", "C: positions that hold the maximum", None),
    ):
        places = sorted({*results["asked"][key], *([whole] if whole else [])})
        with pictures.picture(
            f"scope-{name}", f"What stating the condition {name} buys", panels=(1, 2), width=11.0
        ) as (_, (left, right)):
            for strategy, (colour, mark, line) in zip(strategies, SERIES, strict=False):
                look: dict[str, Any] = {"color": colour, "marker": mark, "linestyle": line}
                found = [_mean(results, name, place, strategy) for place in places]
                missing = [1.0 - one["certified"] for one in found]
                left.plot(places, missing, label=f"not certified: {strategy}", **look)
                right.plot(places, [one["operations"] for one in found], label=strategy, **look)
            found = [_mean(results, name, place, strategies[0]) for place in places]
            wrong = [1.0 - one["estimate"] for one in found]
            left.plot(places, wrong, color="#000000", linewidth=1, label="wrong (float64)")
            left.set(xlabel=label, ylabel="share of the inputs of the scope", yscale="log")
            right.set(xlabel=label, ylabel="proof length (operations)", yscale="log")
            for panel in (left, right):
                panel.set_xticks(places)
                panel.legend()


def _mean(results: Facts, name: str, place: int, strategy: str) -> dict[str, float]:
    """Return means over the models: certified accuracy, 0 without a proof; operations; truth."""
    scope = UNIFORM if name == GAP and place == 1 else f"{name}:{place}"
    units = [
        unit for unit in results["units"] if unit["scope"] == scope and unit["strategy"] == strategy
    ]
    certified = [accuracy_of(unit["certified"]) or 0.0 for unit in units]
    operations = [unit["certified"]["operations"] or float("nan") for unit in units]
    estimates = [unit["estimate"]["accuracy"] for unit in units]
    return {
        "certified": sum(certified) / len(units),
        "operations": sum(operations) / len(units),
        "estimate": sum(estimates) / len(units),
    }


EXPERIMENT = Experiment(
    name="scope",
    about="""Certify models under conditions on their inputs: where does the explanation hold, and
    what does stating its condition buy?
    """,
    kinds=("max-of-4", "max-of-5"),
    seeds=(0,),
    draws=None,
    units=_units,
    measure=_measure,
    summary=_summary,
    rows=_rows,
    draw=_draw,
    extras=(
        Extra(
            "gaps", "Values of G for min-gap:G, by commas.", [2, 3, 4, 6, 8, 12], [2], read_numbers
        ),
        Extra("copies", "Values of C for max-copies:C.", [1, 2, 3], [1], read_numbers),
        Extra(
            "strategies",
            "Proof strategies, by commas.",
            ["cubic", "subcubic", "cascade"],
            ["cascade"],
            read_names,
        ),
    ),
)
