"""The pictures of ablations: paths, shares of variances, claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from certify.lab.bench import NOT_TRIED, accuracy_of
from certify.lab.kinds import Facts
from certify.lab.pictures import Pictures
from certify.lab.replacing import PESSIMAL
from certify.report.figure import BLUE, GREEN, PURPLE, VERMILION


def draw(results: Facts, pictures: Pictures) -> None:
    """Draw the paths, the shares of variances, and the claims."""
    rows = [
        {"subject": unit["subject"], **row} for unit in results["units"] for row in unit["rows"]
    ]
    names = list(dict.fromkeys((row["path"], row["method"]) for row in rows))
    _draw_paths(rows, names, results, pictures)
    _draw_shares(rows, [name for name in names if name[1] != PESSIMAL], results, pictures)
    _draw_claims(results, pictures)


def _these(rows: Sequence[Facts], name: tuple[str, str]) -> list[Facts]:
    return [row for row in rows if (row["path"], row["method"]) == name]


def _draw_paths(
    rows: Sequence[Facts], names: Sequence[tuple[str, str]], results: Facts, pictures: Pictures
) -> None:
    """Draw what is wrong and what is not certified; beside it margins: mean and spread."""
    models = len(results["models"])
    title = f"Each path replaced: {results['asked']['kind']}, {models} model{'s'[: models > 1]}"
    with pictures.picture(
        "ablate-paths", title, panels=(1, 2), width=12.0, height=1.8 + 0.27 * len(names)
    ) as (_, (left, right)):
        least = min(0.5 / row["accuracy"]["inputs"] for row in rows if "accuracy" in row)
        for place, name in enumerate(names):
            for row in _these(rows, name):
                if "accuracy" in row:
                    one, margin = row["accuracy"], row["margin_estimate"]
                    ends = [max(1.0 - one[side], least) for side in ("high", "low")]
                    left.plot(ends, [place, place], color=BLUE, linewidth=2)
                    left.plot([max(1.0 - one["estimate"], least)], [place], "o", color=BLUE)
                    spread = margin["variance"] ** 0.5
                    ends = [margin["mean"] - spread, margin["mean"] + spread]
                    right.plot(ends, [place, place], color=PURPLE, linewidth=2)
                    right.plot([margin["mean"]], [place], "D", color=PURPLE, markersize=5)
                certified = row["certified"]
                if certified is not None and certified["verdict"] != NOT_TRIED:
                    proved = accuracy_of(certified)
                    mark, colour = ("s", VERMILION) if proved is not None else ("x", "#999999")
                    open_ = max(1.0 - (proved or 0.0), least)
                    left.plot([open_], [place + 0.25], mark, color=colour, markersize=5)
        left.axvline(least, color="#999999", linewidth=1)
        left.plot([], [], "-o", color=BLUE, label="wrong (estimate, 99 % interval)")
        left.plot([], [], "s", color=VERMILION, label="not certified (verified by the checker)")
        left.plot([], [], "x", color="#999999", label="no proof of anything")
        left.set(
            xlabel="share of the inputs (log; the grey line: none of those looked at)",
            xscale="log",
            yticks=range(len(names)),
            yticklabels=[f"{path}: {method}" for path, method in names],
        )
        left.invert_yaxis()
        left.legend(loc="upper center", bbox_to_anchor=(0.4, -0.08), fontsize=9, ncols=2)
        right.plot([], [], "-D", color=PURPLE, label="mean, one standard deviation either side")
        right.set(
            xlabel="margin (logits), over the inputs", yticks=range(len(names)), yticklabels=[]
        )
        right.set_ylim(left.get_ylim())
        right.axvline(0.0, color="#000000", linewidth=1)
        right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), fontsize=9)


def _draw_shares(
    rows: Sequence[Facts], names: Sequence[tuple[str, str]], results: Facts, pictures: Pictures
) -> None:
    """Draw which factor explains how much of the variance of margins and of correctness."""
    factors = list(rows[0]["shares"]["margin"])
    with pictures.picture(
        "ablate-shares",
        f"Share of a variance that one factor of the input explains: {results['asked']['kind']}",
        panels=(1, 3),
        width=13.0,
        height=1.8 + 0.27 * len(names),
    ) as (figure, panels):
        image = None
        for panel, quantity in zip(panels, ("margin", "correct", "effect"), strict=True):
            table = np.full((len(names), len(factors)), np.nan)
            for place, name in enumerate(names):
                for column, factor in enumerate(factors):
                    table[place, column] = _mean_share(_these(rows, name), quantity, factor)
            image = panel.imshow(table, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
            for (place, column), value in np.ndenumerate(table):
                text = "" if np.isnan(value) else f"{max(value, 0.0):.2f}"
                dark = "white" if value > 0.6 else "black"
                panel.text(column, place, text, ha="center", va="center", color=dark, fontsize=8)
            about = {
                "margin": "variance of the margin",
                "correct": "variance of being right",
                "effect": "variance of the change of margin",
            }[quantity]
            panel.set(title=about, xticks=range(len(factors)), yticks=range(len(names)))
            panel.set_xticklabels(factors, rotation=30, ha="right")
            panel.set_yticklabels(
                [f"{path}: {method}" for path, method in names] if quantity == "margin" else []
            )
            panel.grid(visible=False)
        figure.colorbar(image, ax=list(panels), label="share (epsilon squared), mean over models")


def _mean_share(rows: Sequence[Facts], quantity: str, factor: str) -> float:
    found = [row["shares"][quantity][factor]["share"] for row in rows]
    known = [share for share in found if share is not None]
    return sum(known) / len(known) if known else float("nan")


_LOOKS = {"supported": (GREEN, "o"), "refuted": (VERMILION, "X"), "open": ("#999999", "s")}
"""Colour and mark of a verdict."""


def _draw_claims(results: Facts, pictures: Pictures) -> None:
    """Draw every claim with what was found of each model, and where the claim draws the line."""
    claims = results["summary"]["claims"]
    with pictures.picture(
        "ablate-claims",
        "Claims that were fixed beforehand, and what was found",
        width=12.0,
        height=1.6 + 0.36 * max(1, len(claims)),
    ) as (_, panel):
        for place, claim in enumerate(claims):
            side = "least" if "least" in claim else "most"
            panel.plot(
                [claim[side]],
                [place],
                marker=">" if side == "least" else "<",
                color="#000000",
                markersize=8,
                linestyle="none",
            )
            for one in claim["found"]:
                if one["value"] is not None:
                    colour, mark = _LOOKS[one["verdict"]]
                    panel.plot([one["value"]], [place], marker=mark, color=colour, alpha=0.8)
        for verdict, (colour, mark) in _LOOKS.items():
            panel.plot([], [], mark, color=colour, label=verdict)
        panel.plot([], [], ">", color="#000000", label="claimed: at least")
        panel.plot([], [], "<", color="#000000", label="claimed: at most")
        labels = [
            f"{claim['text']}  [{claim['path']}, {claim['method']}: {_measured(claim)}]"
            for claim in claims
        ]
        panel.set(
            yticks=range(len(claims)),
            xlabel="what the claim measures, for each model",
            xlim=(-0.03, 1.03),
        )
        panel.set_yticklabels(labels, fontsize=8)
        panel.invert_yaxis()
        panel.legend(loc="upper center", bbox_to_anchor=(0.3, -0.08), ncols=5, fontsize=9)


def _measured(claim: Mapping[str, Any]) -> str:
    if claim["measure"] == "share":
        return f"{claim['factor']} in {claim['of']}"
    return str(claim["measure"])
