"""The pictures of approximations: two scales, what is certified, the training."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from certify.lab.approximations import CHECKPOINTS, ORIGINAL, PATHS
from certify.lab.bench import NOT_TRIED, accuracy_of
from certify.lab.kinds import Facts
from certify.lab.pictures import Pictures
from certify.report.figure import BLUE, GREEN, PURPLE, VERMILION

BEYOND = 1.6
"""Where the picture has what was better than the training ever was."""


def draw(results: Facts, pictures: Pictures) -> None:
    """Draw both scales, what is certified, and the training of the first model."""
    kind = results["asked"]["kind"]
    models = results["summary"]["models"]
    names = [one["name"] for one in models[0]["approximations"]]
    rows = [row for unit in results["units"] for row in unit["rows"]]
    _draw_scales(kind, models, names, pictures)
    _draw_certified(kind, rows, names, pictures)
    if models[0]["steps"] is not None:
        _draw_training(kind, results["units"], models, pictures)


def _draw_scales(
    kind: str, models: Sequence[Facts], names: Sequence[str], pictures: Pictures
) -> None:
    """Draw the loss recovered, and beside it the training that was as good."""
    with pictures.picture(
        "recover-scales",
        f"What approximations recover, on two scales: {kind}, seeds: {len(models)}",
        panels=(1, 2),
        width=12.0,
        height=1.8 + 0.25 * len(names),
    ) as (_, (left, right)):
        for model in models:
            for one in model["approximations"]:
                place = names.index(one["name"])
                for name, colour, mark in (("zero", BLUE, "o"), ("uniform", VERMILION, "s")):
                    value = max(one["recovered"][name], -0.05)
                    left.plot([value], [place], mark, color=colour, alpha=0.7)
                good = one["as_good"]
                if good is None:
                    continue
                for name, colour, mark in (
                    ("cross_entropy", PURPLE, "D"),
                    ("accuracy", GREEN, "^"),
                ):
                    step = good[name]["first"]
                    share = BEYOND if step is None else max(step, 0.5) / model["steps"]
                    inside = "none" if step is None else colour
                    right.plot([share], [place], mark, color=colour, mfc=inside, alpha=0.7)
        left.plot([], [], "o", color=BLUE, label="baseline: attention moves nothing")
        left.plot([], [], "s", color=VERMILION, label="baseline: uniform guess")
        left.set(
            xlabel="loss recovered (linear; at most 0.05 below zero shown)",
            yticks=range(len(names)),
            yticklabels=names,
            xlim=(-0.08, 1.05),
        )
        left.invert_yaxis()
        left.legend(loc="upper center", bbox_to_anchor=(0.4, -0.1), fontsize=9)
        right.plot([], [], "D", color=PURPLE, label="as low a cross-entropy (hollow: never)")
        right.plot([], [], "^", color=GREEN, label="as few wrong answers")
        right.set(
            xlabel="share of its training after which the model was as good (log)",
            xscale="log",
            yticks=range(len(names)),
            yticklabels=[],
        )
        right.set_ylim(left.get_ylim())
        right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), fontsize=9)


def _draw_certified(
    kind: str, rows: Sequence[Facts], names: Sequence[str], pictures: Pictures
) -> None:
    """Draw what is wrong of each approximation, and what is not certified, on a log scale."""
    with pictures.picture(
        "recover-certified",
        f"What is wrong, and what is not proved right: {kind}",
        width=9.0,
        height=1.8 + 0.25 * len(names),
    ) as (_, panel):
        least = min(1.0 / row["accuracy"]["inputs"] for row in rows) / 2
        for row in rows:
            if row["name"] not in names:
                continue
            place = names.index(row["name"])
            panel.plot([max(1.0 - row["accuracy"]["accuracy"], least)], [place], "o", color=BLUE)
            if row["certified"] is not None and row["certified"]["verdict"] != NOT_TRIED:
                proved = accuracy_of(row["certified"])
                wrong = 1.0 - (proved or 0.0)
                mark, colour = ("s", VERMILION) if proved is not None else ("x", "#999999")
                panel.plot([max(wrong, least)], [place + 0.2], mark, color=colour)
        panel.plot([], [], "o", color=BLUE, label="wrong on the sample")
        panel.plot([], [], "s", color=VERMILION, label="not certified (verified by the checker)")
        panel.plot([], [], "x", color="#999999", label="no proof of anything")
        panel.axvline(least, color="#999999", linewidth=1)
        panel.set(
            xlabel="share of the inputs (log; the grey line: none of the sample)",
            xscale="log",
            yticks=range(len(names)),
            yticklabels=names,
        )
        panel.invert_yaxis()
        panel.legend(loc="upper center", bbox_to_anchor=(0.4, -0.1), fontsize=9, ncols=3)


def _draw_training(
    kind: str, units: Sequence[Facts], models: Sequence[Facts], pictures: Pictures
) -> None:
    """Draw the training on log scales, and on it the approximations of the first model."""
    subject = models[0]["subject"]
    rows = [row for unit in units if unit["subject"] == subject for row in unit["rows"]]
    curve = [row for row in rows if row["sort"] == CHECKPOINTS]
    marked = [row for row in rows if row["sort"] not in (CHECKPOINTS, ORIGINAL)]
    with pictures.picture(
        "recover-training",
        f"The training of {subject}, and where its approximations stand",
        width=10.0,
        height=6.5,
    ) as (_, panel):
        steps = [max(row["step"], 0.5) for row in curve]
        losses = [row["cross_entropy_estimate"] for row in curve]
        panel.plot(steps, losses, color="#000000", marker=".", label="the model in training")
        panel.axhline(
            models[0]["baselines"]["zero"],
            color=BLUE,
            linestyle="--",
            label="attention moves nothing",
        )
        panel.axhline(
            models[0]["baselines"]["uniform"], color=VERMILION, linestyle=":", label="uniform guess"
        )
        spread = _spread([row["cross_entropy_estimate"] for row in marked])
        right = steps[-1] * 1.6
        for row, height in zip(marked, spread, strict=True):
            loss = row["cross_entropy_estimate"]
            colour = GREEN if row["sort"] == PATHS else PURPLE
            panel.plot([steps[-1], right], [loss, height], color=colour, linewidth=0.6)
            panel.text(right * 1.05, height, row["name"], color=colour, fontsize=8, va="center")
        panel.set(
            xscale="log",
            yscale="log",
            xlabel=f"training steps of {kind} (log; 0 at the left edge)",
            ylabel="cross-entropy on the sample (nats, log)",
            xlim=(0.4, steps[-1] * 14),
        )
        panel.legend(loc="lower left", fontsize=9)


def _spread(values: Sequence[float]) -> list[float]:
    """Return heights near these values, on a log scale, that leave room for a line of text each."""
    if not values:
        return []
    order = np.argsort(values)
    room = 1.12
    heights = np.array([max(value, 1e-12) for value in values])
    for low, high in itertools.pairwise(order):
        heights[high] = max(heights[high], heights[low] * room)
    return [float(height) for height in heights]
