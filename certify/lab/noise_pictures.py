"""The pictures of ``certify lab noise``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from certify.lab.bench import accuracy_of
from certify.lab.kinds import Facts
from certify.lab.pictures import QUIET, Pictures
from certify.lab.residual import RANDOM, REAL, ZERO
from certify.report.figure import SERIES

INK = "#000000"
LOOKS: Mapping[str, tuple[str, str, str]] = {
    REAL: (INK, "*", "-"),
    **dict(zip((*RANDOM, ZERO), SERIES, strict=True)),
}
"""Colour, mark and line of each sort of residual."""
NAMES = {
    REAL: "the model's own",
    "shuffle": "entries shuffled",
    "normal": "matched normal",
    "rotation": "randomly rotated",
    ZERO: "zero",
}
CIRCUITS = {"qk": "QK", "direct": "direct path", "ov": "OV", "embedding": "embedding", "all": "all"}
BELOW: dict[str, Any] = {"loc": "outside lower center", "fontsize": 9}
UNDER: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.11), "fontsize": 9}
"""Where a legend hides nothing: below the figure, or one of its panels."""
LEAST_ERROR = 1e-6
"""What stands for no error at all on a scale of logarithms."""


def draw(results: Facts, pictures: Pictures) -> None:
    """Draw the statistic, the looseness of bounds, accuracy, and proofs by size."""
    summary = results["summary"]
    _statistics(summary, pictures)
    _looseness(summary, pictures)
    _accuracy(results, pictures)
    sized = [unit for unit in results["units"] if unit["part"] != "draws"]
    if sized:
        _band(sized, pictures)


def _look(sort: str) -> dict[str, Any]:
    colour, mark, _ = LOOKS[sort]
    return {"color": colour, "marker": mark, "label": NAMES[sort]}


def _statistics(summary: Facts, pictures: Pictures) -> None:
    models = list(summary["models"].values())
    circuits = [name for name in CIRCUITS if name in models[0]["circuits"]]
    with pictures.picture(
        "noise-statistic",
        "How far the residual of an explanation can move a score: the model's own and random ones",
        panels=(1, len(circuits)),
        width=5.5 * len(circuits) + 1,
        height=6.0,
    ) as (figure, panels):
        for axes, circuit in zip(np.atleast_1d(panels), circuits, strict=True):
            of = [model["circuits"][circuit] for model in models]
            places = np.arange(len(of))
            for shift, sort in zip((-0.2, 0.0, 0.2), RANDOM, strict=True):
                axes.errorbar(
                    places + shift,
                    [one[sort]["mean"] for one in of],
                    [2 * (one[sort]["sd"] or 0.0) for one in of],
                    linestyle="none",
                    capsize=2,
                    **_look(sort) | {"label": f"{NAMES[sort]}: mean, two standard deviations"},
                )
            own = [one[REAL]["mean"] for one in of]
            axes.plot(places, own, linestyle="none", markersize=11, **_look(REAL))
            scores = summary["over_models"]["z"][circuit]["shuffle"]
            mean, sd = _told(scores["mean"]), _told(scores["sd"])
            axes.set_title(f"{CIRCUITS[circuit]}: z against shuffled {mean}, sd {sd}, n {len(of)}")
            axes.set(xlabel="model (by seed)", ylabel="largest row range of the residual", ylim=0)
            _models_on(axes, len(of))
        handles, labels = np.atleast_1d(panels)[0].get_legend_handles_labels()
        figure.legend(handles, labels, **BELOW, ncols=2 if len(circuits) == 1 else 4)


def _models_on(axes: Any, models: int) -> None:
    axes.set_xticks(range(models))
    axes.set_xlim(-0.6, models - 0.4)


def _told(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.1f}"


def _looseness(summary: Facts, pictures: Pictures) -> None:
    found = summary["over_models"]["looseness"]
    circuits = [name for name in CIRCUITS if any(bound["circuit"] == name for bound in found)]
    with pictures.picture(
        "noise-looseness",
        "How far each bound on the model's residual lies above the statistic of random ones",
        panels=(1, len(circuits)),
        width=6.0 * len(circuits) + 1,
    ) as (_, panels):
        for axes, circuit in zip(np.atleast_1d(panels), circuits, strict=True):
            bounds = [bound for bound in found if bound["circuit"] == circuit]
            bounds.sort(key=lambda bound: -(bound["shuffle"]["mean"] or 0.0))
            score = summary["over_models"]["z"][circuit]["shuffle"]
            rows = [
                *((bound["name"], bound["shuffle"]) for bound in bounds),
                ("the statistic itself", score),
            ]
            for place, (_, said) in enumerate(rows):
                last = place == len(rows) - 1
                axes.errorbar(
                    max(said["mean"] or 0.0, 0.1),
                    place,
                    xerr=said["sd"],
                    color=INK if last else SERIES[0][0],
                    marker="*" if last else "o",
                    markersize=11 if last else 6,
                    capsize=3,
                )
                axes.annotate(
                    f"{said['mean'] or 0.0:.3g}",
                    (max(said["mean"] or 0.0, 0.1), place),
                    xytext=(0, 7),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8,
                )
            axes.set_yticks(range(len(rows)), [name for name, _ in rows])
            axes.set_xscale("log")
            axes.set_title(f"{CIRCUITS[circuit]} (mean and sd over {score['n']} models)")
            axes.set_xlabel("standard deviations above the mean of shuffled residuals")


def _accuracy(results: Facts, pictures: Pictures) -> None:
    models: dict[str, dict[str, Facts]] = {}
    for unit in results["units"]:
        if unit["part"] == "draws":
            models.setdefault(unit["subject"], {})[unit["sort"]] = unit
    of = list(models.values())
    names = [name for name in CIRCUITS if name in of[0]["shuffle"]["accuracy_estimate"]]
    places = np.arange(len(of))
    with pictures.picture(
        "noise-accuracy",
        "What replacing residuals costs: errors of the model, of its stand-ins, and what proofs"
        " leave open",
        panels=(1, 2),
        width=14.0,
        height=6.5,
    ) as (_, (left, right)):
        marks = ("o", "s", "^", "D")
        for shift, name, (colour, _, _) in zip(
            np.linspace(-0.25, 0.25, len(names)), names, SERIES, strict=False
        ):
            for mark, sort in zip(marks, (*RANDOM, ZERO), strict=True):
                errors = [1 - one[sort]["accuracy_estimate"][name]["mean"] for one in of]
                left.plot(
                    places + shift,
                    np.maximum(errors, LEAST_ERROR),
                    color=colour,
                    marker=mark,
                    markersize=5,
                    linestyle="none",
                )
            left.plot([], [], "s", color=colour, label=f"replaced: {CIRCUITS[name]}")
        for mark, sort in zip(marks, (*RANDOM, ZERO), strict=True):
            left.plot([], [], mark, color=QUIET, label=NAMES[sort])
        own = [_own_error(one) for one in of]
        left.plot(places, own, "_", color=INK, markersize=22, label="the model")
        left.set(
            xlabel="model (by seed)", ylabel="share of inputs answered wrongly (mean of draws)"
        )
        left.set_yscale("log")
        left.set_title("float64: residuals replaced, one circuit at a time and all at once")
        left.legend(**UNDER, ncols=3)
        for shift, sort in zip((-0.2, -0.1, 0.0, 0.1, 0.2), (REAL, *RANDOM, ZERO), strict=True):
            first = [one[sort]["first"] for one in of]
            colour, mark, _ = LOOKS[sort]
            true = [max(1 - one["estimate"]["accuracy"], LEAST_ERROR) for one in first]
            open_ = [1 - (accuracy_of(one["certified"]) or 0.0) for one in first]
            right.vlines(places + shift, true, np.maximum(open_, LEAST_ERROR), color=colour, lw=1)
            right.plot(
                places + shift,
                np.maximum(open_, LEAST_ERROR),
                linestyle="none",
                color=colour,
                marker=mark,
                label=f"{NAMES[sort]}: not certified",
            )
            label = "each: wrong in float64" if sort == REAL else None
            right.plot(places + shift, true, "_", color=colour, markersize=9, label=label)
        right.set(xlabel="model (by seed)", ylabel="share of inputs", yscale="log")
        right.set_title("first draw: what is wrong, and what is not certified right")
        right.legend(**UNDER, ncols=2)
        for axes in (left, right):
            _models_on(axes, len(of))


def _own_error(sorts: Mapping[str, Facts]) -> float:
    found = next(iter(sorts[REAL]["accuracy_estimate"].values()))
    return max(1 - float(found["mean"]), LEAST_ERROR)


def _band(units: list[Facts], pictures: Pictures) -> None:
    with pictures.picture(
        "noise-band",
        "Proofs that know the residual of QK by its size alone",
        panels=(1, 2),
        width=14.0,
        height=7.5,
    ) as (_, (left, right)):
        shown: dict[tuple[str, str], list[tuple[int, float, float, str]]] = {}
        for unit in units:
            for sort, found in unit["sorts"].items():
                for proof in found["proofs"]:
                    accuracy = accuracy_of(proof)
                    if accuracy is None:
                        continue
                    sized = "one bound" if unit["part"] == "bounds" else proof["strategy"]
                    name = unit["bound"] if unit["part"] == "bounds" else str(unit["rank"])
                    true = found["estimate"]["accuracy"]
                    place = (proof["operations"], accuracy, true, name)
                    shown.setdefault((sized, sort), []).append(place)
        sizes = list(dict.fromkeys(sized for sized, _ in shown))
        for (sized, sort), places in shown.items():
            colour, mark = LOOKS[sort][0], ("o", "s", "^")[sizes.index(sized) % 3]
            operations, certified, true, names = zip(*sorted(places), strict=True)
            label = f"{NAMES[sort]}, {_kind_of(sized)}"
            look = {"color": colour, "marker": mark, "linestyle": "none", "markersize": 7}
            left.plot(operations, certified, label=label, **look)
            left.plot(operations, true, "_", color=colour, markersize=12)
            lost = [max(t - c, LEAST_ERROR) for t, c in zip(true, certified, strict=True)]
            right.plot(operations, lost, label=label, **look)
            if sort == REAL:
                for at, height, gap, name in zip(operations, certified, lost, names, strict=True):
                    text = name.replace("max_diff_", "").replace("_", " ")
                    for axes, value in ((left, height), (right, gap)):
                        axes.annotate(
                            text, (at, value), (5, 4), textcoords="offset points", fontsize=8
                        )
        left.plot([], [], "_", color=QUIET, markersize=12, label="true (float64)")
        left.set(ylabel="accuracy", title="certified accuracy, and the true one above it")
        right.set(
            ylabel="true less certified accuracy",
            yscale="log",
            title="right and not provable at this length (numbers: rank kept)",
        )
        for axes in (left, right):
            axes.set(xlabel="proof length (operations)", xscale="log")
        left.legend(**UNDER, ncols=2)


def _kind_of(sized: str) -> str:
    return {
        "cascade": "best rank, cascade",
        "subcubic": "best rank, sub-cubic",
        "one bound": "published bounds, sub-cubic",
    }.get(sized, sized)
