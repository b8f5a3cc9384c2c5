"""Pictures of ``lab train``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from certify.lab.kinds import Facts
from certify.lab.pictures import Pictures
from certify.lab.variants import BITS, NOISES, ROUNDED, STRENGTHS
from certify.report.figure import BLUE, GREEN, PURPLE, VERMILION

EXACT = "exact"
SHORT = (
    ("sub-cubic max_diff_subproduct_recursive / mean_query+max_diff", "quadratic QK and direct"),
    ("sub-cubic max_diff_subproduct / mean_query+max_diff", "low-rank QK and direct"),
    ("cascade effort 1", "cascade, effort 1"),
)
"""Rungs that are shown, the shortest proofs first, and what they are called."""
NEAR_LINEAR = ("chain", "near-linear chain")
"""A rung beside them that few models have: those with a hard low rank."""
_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, "#e69f00", "#56b4e9", "#000000")
_MARKS = "osD^vP*X<>hp8dH"
FEWEST_WRONG = 1e-8
"""Where a model without a wrong input stands on a log scale, which says so."""


def draw(results: Facts, pictures: Pictures) -> None:
    """Draw everything there are results for."""
    summary = results["summary"]
    rungs = [
        one for one in SHORT if any(one[0] in facts["certified"] for facts in summary.values())
    ]
    if rungs:
        chained = any(
            (facts["certified"].get(NEAR_LINEAR[0]) or {}).get("line") for facts in results["units"]
        )
        _against_truth(results, [*rungs, NEAR_LINEAR] if chained else rungs, pictures)
        _along_strengths(summary, rungs, pictures)
        _costs(summary, rungs[0], pictures)
    _bits(summary, pictures)
    _washed(summary, pictures)


def _against_truth(results: Facts, rungs: Sequence[tuple[str, str]], pictures: Pictures) -> None:
    """Draw what short proofs certify against the truth: a mark for each model."""
    groups = list(dict.fromkeys(unit["group"] for unit in results["units"]))
    with pictures.picture(
        "train-short-proofs",
        "What short proofs certify of a model, against how good the model is",
        panels=(1, len(rungs)),
        width=4.6 * len(rungs) + 1.2,
        height=6.4,
    ) as (figure, panels):
        all_axes = panels if len(rungs) > 1 else [panels]
        for axes, (rung, label) in zip(all_axes, rungs, strict=True):
            for place, group in enumerate(groups):
                at = list(_points(results, group, rung))
                axes.scatter(
                    [_missing(one["accuracy"]) for one in at],
                    [_missing(one["certified"]) for one in at],
                    label=group,
                    color=_COLOURS[place % len(_COLOURS)],
                    marker=_MARKS[place % len(_MARKS)],
                    s=38,
                    alpha=0.8,
                )
            known = [_missing(true_accuracy(unit)) for unit in results["units"]]
            ends = [min(known) / 2, min(1.0, 2 * max(known))]
            axes.plot(ends, ends, color="#555555", linewidth=1, label="all that is true")
            axes.set(xlabel="share of inputs answered wrongly (1e-8: none)", title=label)
            axes.set(xscale="log", yscale="log")
            axes.set_ylim(1.5, _best(results["units"]))
            axes.invert_xaxis()
        all_axes[0].set_ylabel("share of inputs not certified (up is better)")
        handles, labels = all_axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=9)


def _missing(accuracy: float) -> float:
    """Return the share that is wrong or not certified, as far as a log scale shows it."""
    return max(FEWEST_WRONG, 1.0 - accuracy)


def _best(units: Sequence[Mapping[str, Any]]) -> float:
    """Return where a log scale ends: below the share of wrong inputs of the best model."""
    return 0.5 * min(_missing(true_accuracy(unit)) for unit in units)


def _missing_of(spread: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spread of what is missing from the spread of an accuracy."""
    if spread["mean"] is None:
        return {"mean": None, "least": None, "most": None}
    return {
        "mean": _missing(spread["mean"]),
        "least": _missing(spread["most"]),
        "most": _missing(spread["least"]),
    }


def true_accuracy(unit: Mapping[str, Any]) -> float:
    """Return the accuracy that ``exact`` certified from both sides, or that of the sample."""
    exact = unit["certified"].get(EXACT)
    if exact is not None and exact["line"] is not None and exact["lower"] == exact["upper"]:
        return int(exact["lower"]) / int(exact["total"])
    return float(unit["estimate"]["confidence"]["accuracy"]["accuracy"])


def _points(results: Facts, group: str, rung: str) -> Iterable[dict[str, float]]:
    """Yield accuracy and certified accuracy of each model of a group, 0 without a proof."""
    for unit in results["units"]:
        facts = unit["certified"].get(rung)
        if unit["group"] == group and facts is not None:
            proved = facts["line"] is not None
            certified = int(facts["lower"]) / int(facts["total"]) if proved else 0.0
            yield {"accuracy": true_accuracy(unit), "certified": certified}


def _along_strengths(summary: Facts, rungs: Sequence[tuple[str, str]], pictures: Pictures) -> None:
    """Draw each grid: what the rungs certify, and the truth, against the strength."""
    groups = [
        group for group in STRENGTHS if any(one["group"] == group for one in summary.values())
    ]
    if not groups:
        return
    columns = min(4, len(groups))
    rows = math.ceil(len(groups) / columns)
    with pictures.picture(
        "train-strengths",
        "What is wrong, and what is not certified, along each grid of strengths\n"
        "mean over seeds; bars: least and most; dotted: the base, strength 0",
        panels=(rows, columns),
        width=3.7 * columns + 1,
        height=3.3 * rows + 1.2,
    ) as (figure, panels):
        grid = [panels] if rows * columns == 1 else list(panels.ravel())
        base = next((one for name, one in summary.items() if name == "base"), None)
        best = 0.5 * min(_missing_of(one["accuracy"])["least"] for one in summary.values())
        for axes in grid[len(groups) :]:
            axes.set_visible(False)
        for axes, group in zip(grid, groups, strict=False):
            these = sorted(
                (one for one in summary.values() if one["group"] == group),
                key=lambda one: one["strength"],
            )
            strengths = [one["strength"] for one in these]
            series = [
                (
                    "wrong",
                    [one["accuracy"] for one in these],
                    "#000000",
                    "|",
                    base and base["accuracy"],
                )
            ]
            for (rung, label), colour, mark in zip(rungs, _COLOURS, "osD", strict=False):
                found = [_certified(one, rung) for one in these]
                series.append((label, found, colour, mark, base and _certified(base, rung)))
            for label, found, colour, mark, before in series:
                missing = [_missing_of(one) for one in found]
                _with_bars(axes, strengths, missing, label, colour, mark)
                if before and before["mean"] is not None:
                    level = _missing(before["mean"])
                    axes.axhline(level, color=colour, linewidth=0.8, linestyle=":")
            if group not in (BITS, ROUNDED):
                axes.set_xscale("log")
            axes.set_xticks(strengths, [f"{one:g}" for one in strengths])
            axes.minorticks_off()
            axes.set_title(group, fontsize=10)
            axes.set_yscale("log")
            axes.set_ylim(1.5, best)
            axes.tick_params(labelsize=8)
        for axes in grid[::columns]:
            axes.set_ylabel("share of inputs (up is better)", fontsize=9)
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9)


def _certified(facts: Mapping[str, Any], rung: str) -> dict[str, Any]:
    """Return the spread of what a rung certifies, zero without a proof."""
    none = {"mean": 0.0, "least": 0.0, "most": 0.0}
    found = facts["certified"].get(rung)
    if found is None or found["accuracy"]["mean"] is None:
        return none
    return dict(found["accuracy"])


def _with_bars(
    axes: Any,
    places: Sequence[float],
    found: Sequence[Mapping[str, Any]],
    label: str,
    colour: str,
    mark: str,
) -> None:
    known = [(at, one) for at, one in zip(places, found, strict=True) if one["mean"] is not None]
    below = [one["mean"] - one["least"] for _, one in known]
    above = [one["most"] - one["mean"] for _, one in known]
    axes.errorbar(
        [at for at, _ in known],
        [one["mean"] for _, one in known],
        yerr=[below, above],
        label=label,
        color=colour,
        marker=mark,
        linewidth=1.2,
        capsize=2,
        markersize=9 if mark == "|" else 5,
    )


def _costs(summary: Facts, rung: tuple[str, str], pictures: Pictures) -> None:
    """Draw what tight short proofs go with: confidence and structure, a mark for each variant."""
    shown = (
        ("entropy_estimate", "entropy of the softmax (nats)", "log"),
        ("calibration_error_estimate", "calibration error", "log"),
        ("median_margin_estimate", "median margin (logits)", "linear"),
        ("z_estimate", "QK residual: standard deviations\nabove shuffled factors", "linear"),
    )
    groups = list(dict.fromkeys(one["group"] for one in summary.values()))
    best = 0.5 * min(_missing(_certified(one, rung[0])["most"]) for one in summary.values())
    with pictures.picture(
        "train-costs",
        f"What goes with a tight short proof ({rung[1]}): confidence, margins, structure",
        panels=(1, len(shown)),
        width=4.0 * len(shown) + 1,
        height=5.8,
    ) as (figure, panels):
        for axes, (key, label, scale) in zip(panels, shown, strict=True):
            for place, group in enumerate(groups):
                at = [
                    (one[key]["mean"], _missing(_certified(one, rung[0])["mean"]))
                    for one in summary.values()
                    if one["group"] == group and rung[0] in one["certified"]
                ]
                known = [(x, y) for x, y in at if x is not None and (scale != "log" or x > 0)]
                axes.scatter(
                    [x for x, _ in known],
                    [y for _, y in known],
                    label=group,
                    color=_COLOURS[place % len(_COLOURS)],
                    marker=_MARKS[place % len(_MARKS)],
                    s=38,
                    alpha=0.8,
                )
            axes.set(xlabel=label, xscale=scale, yscale="log")
            axes.set_ylim(1.5, best)
        panels[0].set_ylabel("share of inputs not certified (up is better)")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=9)


def _bits(summary: Facts, pictures: Pictures) -> None:
    """Draw certificate bytes and accuracy against the bits of the weights."""
    groups = [
        group for group in (BITS, ROUNDED) if any(one["group"] == group for one in summary.values())
    ]
    if not groups:
        return
    with pictures.picture(
        "train-bits",
        "Weights on grids of few bits: accuracy, and bytes of certificates",
        panels=(1, 2),
        width=11.0,
    ) as (_, (left, right)):
        for group, colour, mark in zip(groups, _COLOURS, "os", strict=False):
            these = sorted(
                (one for one in summary.values() if one["group"] == group),
                key=lambda one: one["strength"],
            )
            bits = [one["strength"] for one in these]
            wrong = [_missing_of(one["accuracy"]) for one in these]
            _with_bars(left, bits, wrong, group, colour, mark)
            for rung, line in ((EXACT, "-"), (SHORT[0][0], "--")):
                bytes_ = [
                    one["certified"].get(rung, {}).get("bytes", {}).get("mean") for one in these
                ]
                known = [(at, one) for at, one in zip(bits, bytes_, strict=True) if one is not None]
                right.plot(
                    [at for at, _ in known],
                    [one for _, one in known],
                    label=f"{group}: {'exact' if rung == EXACT else SHORT[0][1]}",
                    color=colour,
                    marker=mark,
                    linestyle=line,
                )
        for axes in (left, right):
            axes.set_xticks(sorted({int(one) for group in groups for one in STRENGTHS[group]}))
        left.set(xlabel="bits of each weight", ylabel="share of inputs answered wrongly")
        left.set(yscale="log")
        right.set(xlabel="bits of each weight", ylabel="bytes of the certificate", ylim=(0, None))
        left.legend()
        right.legend(fontsize=9)


def _washed(summary: Facts, pictures: Pictures) -> None:
    """Draw the share of what the explanation leaves out that lies below the noise's level."""
    groups = [group for group in NOISES if any(one["group"] == group for one in summary.values())]
    if not groups:
        return
    with pictures.picture(
        "train-washed",
        "How much of what the explanation leaves out lies below the noise of training",
        panels=(1, 2),
        width=11.0,
    ) as (_, panels):
        for axes, (key, name) in zip(
            panels,
            (
                ("own_below_qk_estimate", "QK circuit, past rank 1"),
                ("own_below_direct_estimate", "direct path, past its mean row"),
            ),
            strict=True,
        ):
            for group, colour, mark in zip(groups, _COLOURS, "osD", strict=False):
                these = sorted(
                    (one for one in summary.values() if one["group"] == group),
                    key=lambda one: one["strength"],
                )
                strengths = [one["strength"] for one in these]
                _with_bars(axes, strengths, [one[key] for one in these], group, colour, mark)
            known = sorted({at for group in groups for at in STRENGTHS[group]})
            axes.set_xscale("log")
            axes.set_xticks(known, [f"{at:g}" for at in known])
            axes.minorticks_off()
            axes.axhline(0.683, color="#555555", linestyle=":", linewidth=1)
            axes.text(
                0.02,
                0.69,
                "if it were noise of this size",
                fontsize=8,
                transform=axes.get_yaxis_transform(),
            )
            axes.set(
                xlabel="standard deviation of the noise in training",
                ylim=(-0.03, 1.03),
                title=name,
            )
        panels[0].set_ylabel("share of differences below one level")
        panels[0].legend()
