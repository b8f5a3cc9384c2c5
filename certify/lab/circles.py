"""The planes in which a network with two operands keeps its numbers, and what they alone certify.

With C the orthonormal functions of a frequency k on the operand's values (``certify.sums.fourier``)
and E the centred embedding, [values, d_model], the coefficients A = C^T E are two vectors of the
residual stream.  They span the *plane* of k, and C A is the curve on which the tokens run round k
times: a circle if the two are orthogonal and equally long.  On a group the part of a representation
of dimension d has d^2 functions, and what is drawn is its two leading directions.

A frequency is *key* if it is the main one of at least ``KEY_SHARE`` of the neurons, and a *double*
if it is twice a key one.  The *rest* is E less the curves of what is key.  In the residual stream
it may be orthogonal to the planes or lie in them: ``in_planes`` is the share of its variance that
lies in the span of the planes, to be compared with rank / d_model, that of random directions.

Variants are models whose embedding alone differs; the mean over the tokens stays in all of them::

    key, key+doubles   the curves of these frequencies and nothing else
    planes             what lies in the span of the key planes, whatever its frequency
    circles            key+doubles, with the two axes of every plane made orthogonal and equal
    rest               without the key curves
    without k          without the curve of one key frequency, alone k: no other curve
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from certify.errors import Unsupported
from certify.lab.bench import LENGTH, OUTCOME, Bench, accuracy_of
from certify.lab.experiment import Asked, Experiment, Extra, Subject, Unit
from certify.lab.kinds import KINDS, Facts
from certify.lab.pictures import Pictures
from certify.model.file import Model
from certify.question.question import Question
from certify.report.figure import BLUE, GREEN, PURPLE, VERMILION
from certify.sums.fourier import Basis, View, view_of

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

KEY_SHARE = 0.02
"""Share of the neurons that have a key frequency for their main one."""
ORIGINAL, KEY, DOUBLES, PLANES, CIRCLES, REST = (
    "original",
    "key",
    "key+doubles",
    "planes",
    "circles",
    "rest",
)
WITHOUT, ALONE = "without ", "alone "
EMBEDDING = "embed.W_E"
FLAT = 1e-4
"""An axis that is shorter than this share of the longest one of its plane has no length."""
MOST_DRAWN = 5
"""Planes in a row of the picture."""
DIGITS = 6
"""Decimals of coordinates in the results."""


@dataclass(frozen=True, slots=True)
class Planes:
    """The embedding of the operand's values in the basis of their functions.

    ``tokens``:       the token of each value, [values].  ``mean``: of their embedding, [d_model].
    ``coefficients``: [functions, d_model], those of one part together as in ``basis.of``.
    ``outside``:      what no function but the constant has; zero up to rounding.
    ``neurons``:      how many have a part for their main one, [parts].
    """

    view: View
    tokens: Integers
    mean: Floats
    centred: Floats
    coefficients: Floats
    neurons: Integers

    @property
    def basis(self) -> Basis:
        """Return the functions."""
        return self.view.basis

    @property
    def key(self) -> list[int]:
        """Return the parts that are the main one of many neurons, most neurons first."""
        least = KEY_SHARE * self.neurons.sum()
        order = np.argsort(-self.neurons, kind="stable")
        return [int(part) for part in order if self.neurons[part] >= least]

    @property
    def doubles(self) -> list[int]:
        """Return the frequencies that are twice a key one and not key, in the order of ``key``."""
        key = self.key
        twice = [double_of(self.basis, len(self.tokens), part) for part in key]
        found = [part for part in twice if part is not None and part not in key]
        return list(dict.fromkeys(found))

    def rows(self, part: int) -> Floats:
        """Return the coefficients of one part, [its functions, d_model]."""
        found: Floats = self.coefficients[self.basis.of == part]
        return found

    def curve(self, parts: Sequence[int]) -> Floats:
        """Return what some parts are of the centred embedding, [values, d_model]."""
        kept = np.isin(self.basis.of, list(parts))
        found: Floats = self.basis.columns[:, kept] @ self.coefficients[kept]
        return found

    def circle(self, parts: Sequence[int]) -> Floats:
        """Return the curves of some parts with axes made orthogonal and equally long, of the same
        variance; an axis of no length stays one.
        """
        found = np.zeros_like(self.centred)
        for part in parts:
            left, lengths, right = np.linalg.svd(self.rows(part), full_matrices=False)
            there = lengths > FLAT * lengths.max()
            equal = np.sqrt(np.mean(lengths[there] ** 2))
            functions = self.basis.columns[:, self.basis.of == part]
            found += functions @ (equal * left[:, there] @ right[there])
        return found

    def span(self, parts: Sequence[int]) -> Floats:
        """Return orthonormal rows that span the planes of some parts, [rank, d_model]."""
        kept = np.isin(self.basis.of, list(parts))
        _, lengths, right = np.linalg.svd(self.coefficients[kept], full_matrices=False)
        found: Floats = right[lengths > FLAT * lengths.max()]
        return found


def planes_of(model: Model, question: Question) -> Planes:
    """Return the planes of a model.

    Errors: ``Unsupported`` if the values of its operands have no Fourier view, or the two operands
            have other tokens.
    """
    view = view_of(model, question)
    domain = question.domain
    operands = [domain.tokens[at] for at in domain.operands]
    if view is None or len(set(map(tuple, operands))) != 1:
        raise Unsupported("lab circles needs two operands with the same tokens, and all residues")
    order = np.argsort(np.array(domain.values[domain.operands[0]]))
    tokens = np.array(operands[0], dtype=np.int64)[order]
    embedding = model.tensor(EMBEDDING)[tokens]
    mean = embedding.mean(axis=0)
    centred = embedding - mean
    main = view.reading.argmax(axis=1)
    return Planes(
        view=view,
        tokens=tokens,
        mean=mean,
        centred=centred,
        coefficients=view.basis.columns.T @ centred,
        neurons=np.bincount(main, minlength=len(view.basis.names)),
    )


def double_of(basis: Basis, order: int, part: int) -> int | None:
    """Return the frequency that is twice another on residues, None on a group, or for none."""
    if basis.what != "frequency":
        return None
    twice = 2 * int(basis.names[part]) % order
    nearest = min(twice, order - twice)
    return None if nearest == 0 else basis.names.index(str(nearest))


def overlap(one: Floats, other: Floats) -> float:
    """Return by how much two planes coincide: 0 if they are orthogonal, 1 if one lies in the other.

    Requires: orthonormal rows, [rank, d_model] each.
    """
    return float(np.sum((one @ other.T) ** 2) / min(len(one), len(other)))


def embedding_of(planes: Planes, variant: str) -> Floats:
    """Return the embedding of the operand's values in a variant, [values, d_model]."""
    centred, key = planes.centred, planes.key
    if variant == ORIGINAL:
        kept = centred
    elif variant == KEY:
        kept = planes.curve(key)
    elif variant == DOUBLES:
        kept = planes.curve([*key, *planes.doubles])
    elif variant == PLANES:
        span = planes.span(key)
        kept = centred @ span.T @ span
    elif variant == CIRCLES:
        kept = planes.circle([*key, *planes.doubles])
    elif variant == REST:
        kept = centred - planes.curve(key)
    else:
        curve = planes.curve([planes.basis.names.index(variant.split(" ", 1)[1])])
        kept = curve if variant.startswith(ALONE) else centred - curve
    return planes.mean + kept


# --- units ---------------------------------------------------------------------------

REDUCED = (ORIGINAL, KEY, DOUBLES, PLANES, CIRCLES)
"""Variants that every strategy is tried on; the first one alone is tried on the others."""
SINGLY = "one by one"


def _units(asked: Asked, subjects: Sequence[Subject]) -> list[Unit]:
    return [
        Unit(
            f"{subject.name}, {variant}",
            {
                **subject.about(),
                "variant": variant,
                "strategies": asked.more["strategies"][: None if variant in REDUCED else 1],
                "most": 1 if asked.smoke else None,
            },
        )
        for subject in subjects
        for variant in asked.more["variants"]
    ]


def _measure(unit: Unit, bench: Bench) -> Facts:
    about = unit.about
    kind = KINDS[about["kind"]]
    model = bench.model(about["model"])
    question = bench.question(kind, model)
    planes = planes_of(model, question)
    variants = [about["variant"]]
    if about["variant"] == SINGLY:
        variants = [begin + name for begin in (WITHOUT, ALONE) for name in names_of(planes, about)]
    found = []
    for variant in variants:
        digest = about["model"]
        if variant != ORIGINAL:
            embedding = np.array(model.tensor(EMBEDDING))
            embedding[planes.tokens] = embedding_of(planes, variant)
            tensors = {**model.tensors, EMBEDDING: embedding.astype(np.float32)}
            digest = bench.kept(tensors, model.config)
        certified = {
            strategy: bench.certified(digest, kind, strategy=strategy)
            for strategy in about["strategies"]
        }
        estimate = _estimate(bench.model(digest), question)
        found.append({"variant": variant, "estimate": estimate, "certified": certified})
    geometry = geometry_of(planes) if about["variant"] == ORIGINAL else None
    return {"subject": about["subject"], "geometry": geometry, "variants": found}


def names_of(planes: Planes, about: Mapping[str, Any]) -> list[str]:
    """Return the names of the key parts, of so many as the unit is about."""
    return [planes.basis.names[part] for part in planes.key[: about["most"]]]


def _estimate(model: Model, question: Question) -> Facts:
    """Return accuracy and margins over all inputs in float64."""
    margins = question.margins(model, question.domain.places_between(0, question.domain.inputs))
    return {
        "accuracy": float(np.mean(margins > 0)),
        "least_margin": float(margins.min()),
        "median_margin": float(np.median(margins)),
    }


def geometry_of(planes: Planes) -> Facts:
    """Return shares, planes and how they lie to each other, in float64."""
    basis, key, doubles = planes.basis, planes.key, planes.doubles
    whole = float(np.sum(planes.centred**2))
    share = {
        part: float(np.sum(planes.rows(part) ** 2)) / whole for part in range(len(basis.names))
    }
    shown = [*key, *doubles]
    spans = {part: planes.span([part]) for part in shown}
    rests = {name: _rest(planes, parts) for name, parts in ((KEY, key), (DOUBLES, shown)) if parts}
    return {
        "what": basis.what,
        "values": len(planes.tokens),
        "d_model": planes.centred.shape[1],
        "names": list(basis.names),
        "key": [basis.names[part] for part in key],
        "doubles": [basis.names[part] for part in doubles],
        "share_estimate": {basis.names[part]: share[part] for part in share},
        "reading_estimate": dict(
            zip(basis.names, planes.view.reading.mean(axis=0).tolist(), strict=True)
        ),
        "writing_estimate": dict(
            zip(basis.names, planes.view.writing.mean(axis=0).tolist(), strict=True)
        ),
        "neurons": dict(zip(basis.names, planes.neurons.tolist(), strict=True)),
        "planes": [_plane(planes, part, share[part]) for part in shown],
        "overlap_estimate": [
            {
                "one": basis.names[one],
                "other": basis.names[other],
                "overlap": overlap(spans[one], spans[other]),
            }
            for place, one in enumerate(shown)
            for other in shown[place + 1 :]
        ],
        "rest_estimate": rests,
    }


def _plane(planes: Planes, part: int, share: float) -> Facts:
    """Return what is told of one plane: its two leading axes and the tokens in it."""
    _, lengths, right = np.linalg.svd(planes.rows(part), full_matrices=False)
    at = planes.centred @ right[:2].T
    return {
        "name": planes.basis.names[part],
        "key": part in planes.key,
        "share_estimate": share,
        "axes_estimate": lengths.tolist(),
        "roundness_estimate": float(lengths[lengths > FLAT * lengths[0]][-1] / lengths[0]),
        "coordinates_estimate": np.round(at, DIGITS).tolist(),
    }


def _rest(planes: Planes, parts: Sequence[int]) -> Facts:
    """Return what the embedding has besides the curves of some parts, and where it lies."""
    span = planes.span(parts)
    left = planes.centred - planes.curve(parts)
    rest = float(np.sum(left**2))
    inside = float(np.sum((left @ span.T) ** 2))
    return {
        "share": rest / float(np.sum(planes.centred**2)),
        "in_planes": inside / rest if rest > 0 else 0.0,
        "of_random": len(span) / planes.centred.shape[1],
        "rank": len(span),
    }


# --- results -------------------------------------------------------------------------


def _by_subject(units: Sequence[Facts]) -> dict[str, Facts]:
    """Return geometry and variants of each model."""
    found: dict[str, Facts] = {}
    for unit in units:
        about = found.setdefault(unit["subject"], {"subject": unit["subject"], "variants": []})
        about["variants"] += unit["variants"]
        if unit["geometry"] is not None:
            about["geometry"] = unit["geometry"]
    return found


def _summary(_asked: Asked, units: Sequence[Facts]) -> Facts:
    """Return for each model what is key and what remains, and for each variant that all have the
    least and the most that was certified.
    """
    certified: dict[str, list[float]] = {}
    for unit in units:
        for one in unit["variants"]:
            for strategy, facts in one["certified"].items():
                if one["variant"] in (*REDUCED, REST):
                    accuracy = accuracy_of(facts) or 0.0
                    certified.setdefault(f"{one['variant']}, {strategy}", []).append(accuracy)
    return {
        "models": {
            subject: {name: known["geometry"][name] for name in ("key", "doubles", "rest_estimate")}
            for subject, known in _by_subject(units).items()
        },
        "certified": {
            name: {"least": min(all_), "most": max(all_)} for name, all_ in certified.items()
        },
    }


def _rows(results: Facts) -> Iterable[Facts]:
    for unit in results["units"]:
        for one in unit["variants"]:
            for strategy, facts in one["certified"].items():
                yield {
                    "subject": unit["subject"],
                    "variant": one["variant"],
                    "strategy": strategy,
                    "accuracy_estimate": one["estimate"]["accuracy"],
                    "least_margin_estimate": one["estimate"]["least_margin"],
                    **{name: facts[name] for name in COLUMNS},
                }


COLUMNS = (*OUTCOME, "margin_lower", *LENGTH, "model_sha256", "line")

# --- pictures ------------------------------------------------------------------------


def _draw(results: Facts, pictures: Pictures) -> None:
    for number, known in enumerate(_by_subject(results["units"]).values()):
        _draw_planes(f"circles-planes-{number}", known, pictures)
        _draw_shares(f"circles-shares-{number}", known, pictures)
        _draw_certified(f"circles-certified-{number}", known, pictures)


def _draw_planes(name: str, unit: Facts, pictures: Pictures) -> None:
    geometry = unit["geometry"]
    planes = geometry["planes"]
    rows = [
        [plane for plane in planes if plane["key"] is key][:MOST_DRAWN] for key in (True, False)
    ]
    rows = [row for row in rows if row]
    columns = max((len(row) for row in rows), default=1)
    title = f"{unit['subject']}: the tokens in the plane of each key {geometry['what']}"
    if len(rows) > 1:
        title += ", and of its double"
    with pictures.picture(
        name,
        title,
        panels=(len(rows) or 1, columns),
        width=3.1 * columns + 1,
        height=3.5 * len(rows) + 0.5,
    ) as (figure, panels):
        grid = np.atleast_1d(np.array(panels, dtype=object)).reshape(len(rows) or 1, columns)
        for axes in grid.ravel():
            axes.set_visible(False)
        shown: Any = None
        for row, these in zip(rows, grid, strict=False):
            for plane, axes in zip(row, these, strict=False):
                axes.set_visible(True)
                shown = _draw_plane(plane, geometry, axes)
        if shown is not None:
            figure.colorbar(shown, ax=grid.ravel().tolist(), label="token", shrink=0.8)


def _draw_plane(plane: Facts, geometry: Facts, axes: Any) -> Any:
    """Draw one plane; on residues a line joins tokens that are neighbours on the circle."""
    at = np.array(plane["coordinates_estimate"])
    if at.shape[1] < 2:
        at = np.column_stack([np.arange(len(at)), at[:, 0]])
        axes.set_xlabel("token (one direction only)", fontsize=8)
    values = np.arange(len(at))
    if geometry["what"] == "frequency":
        order = np.argsort(values * int(plane["name"]) % len(values))
        round_ = np.append(order, order[:1])
        axes.plot(at[round_, 0], at[round_, 1], color="#b0b0b0", linewidth=0.8, zorder=1)
    shown = axes.scatter(at[:, 0], at[:, 1], c=values, cmap="viridis", s=18, zorder=2)
    kind = "key" if plane["key"] else "double"
    axes.set_title(
        f"{geometry['what']} {plane['name']} ({kind})\n{100 * plane['share_estimate']:.1f} % of the"
        f" variance, axes 1 : {plane['roundness_estimate']:.2f}",
        fontsize=9,
    )
    axes.set_aspect("equal", adjustable="datalim")
    axes.tick_params(labelsize=8)
    return shown


def _draw_shares(name: str, unit: Facts, pictures: Pictures) -> None:
    geometry = unit["geometry"]
    names = geometry["names"]
    rest = geometry["rest_estimate"].get(KEY)
    told = ""
    if rest:
        told = (
            f"\nkey curves leave {100 * rest['share']:.2g} % of the variance;"
            f" {100 * rest['in_planes']:.2g} % of that lies in their planes"
            f" (random directions: {100 * rest['of_random']:.2g} %)"
        )
    with pictures.picture(
        name,
        f"{unit['subject']}: which {geometry['what']} holds how much{told}",
        width=11.0,
    ) as (_, axes):
        places = np.arange(len(names))
        series = (
            ("share_estimate", "embedding", BLUE),
            ("reading_estimate", "read by the neurons", VERMILION),
            ("writing_estimate", "written by the neurons", GREEN),
        )
        for offset, (key, label, colour) in enumerate(series):
            shares = [100 * geometry[key][one] for one in names]
            axes.bar(places + 0.27 * (offset - 1), shares, 0.27, color=colour, label=label)
        axes.set_xticks(places, names, fontsize=8)
        for tick, one in zip(axes.get_xticklabels(), names, strict=True):
            if one in geometry["key"]:
                tick.set_fontweight("bold")
        axes.set(xlabel=f"{geometry['what']} (bold: key)", ylabel="share of the variance, %")
        axes.legend(loc="upper center")


def _draw_certified(name: str, unit: Facts, pictures: Pictures) -> None:
    variants = unit["variants"]
    rungs = list(variants[0]["certified"])
    tried = [[rung for rung in rungs if rung in one["certified"]] for one in variants]
    looks = ((BLUE, "o"), (VERMILION, "s"), (GREEN, "^"), (PURPLE, "D"))
    with pictures.picture(
        name,
        f"{unit['subject']}: certified accuracy and margins when the embedding keeps only this",
        panels=(1, 2),
        width=12.0,
        height=0.34 * len(variants) + 2.2,
    ) as (_, (left, right)):
        places = np.arange(len(variants))[::-1]
        truth = [one["estimate"]["accuracy"] for one in variants]
        left.scatter(truth, places, marker="|", s=220, color="#000000", label="true (float64)")
        for number, (rung, (colour, mark)) in enumerate(zip(rungs, looks, strict=False)):
            known = [
                (accuracy_of(one["certified"][rung]), place)
                for one, place, these in zip(variants, places.tolist(), tried, strict=True)
                if rung in these
            ]
            at = [(value, place) for value, place in known if value is not None]
            shift = 0.16 * (number - (len(rungs) - 1) / 2)
            left.scatter(
                [value for value, _ in at],
                [place - shift for _, place in at],
                color=colour,
                marker=mark,
                s=30,
                label=rung,
            )
        chance = 1 / unit["geometry"]["values"]
        left.axvline(chance, color="#555555", linestyle=":", linewidth=1, label="guessing")
        left.set_yticks(places, [one["variant"] for one in variants])
        left.set(xlabel="certified accuracy", xlim=(-0.03, 1.03))
        for key, colour, mark, label in (
            ("least_margin", VERMILION, "o", "least"),
            ("median_margin", BLUE, "s", "median"),
        ):
            right.scatter(
                [one["estimate"][key] for one in variants],
                places,
                color=colour,
                marker=mark,
                label=label,
            )
        right.axvline(0, color="#000000", linewidth=0.8)
        right.set_yticks(places, [""] * len(places))
        right.set(xlabel="margin over all inputs (logits, float64)")
        right.legend(loc="upper left")
        left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, fontsize=9)


def _variants(text: str) -> list[str]:
    found = text.split(",")
    if ORIGINAL not in found or not set(found) <= {*REDUCED, REST, SINGLY}:
        raise ValueError(f"variants are {', '.join((*REDUCED, REST, SINGLY))}")
    return found


EXPERIMENT = Experiment(
    name="circles",
    about="""Show the planes in which a model of modular addition, or of a group, keeps its numbers,
    and certify it with its embedding reduced to them.

    For each key frequency: its share of the variance, the tokens in its plane, how round they lie,
    and how the planes lie to each other and to the rest.  Every variant of the embedding is written
    as a model file and certified by each rung of the quick ladder.
    """,
    kinds=("modadd59-constant", "modadd59-softmax", "s5"),
    seeds=(0,),
    draws=None,
    units=_units,
    measure=_measure,
    summary=_summary,
    rows=_rows,
    draw=_draw,
    extras=(
        Extra(
            "strategies",
            "Proof strategies, by commas; the first one alone is tried on what is left out.",
            ["brute-force", "low-rank", "own-frequency", "quadrature"],
            ["brute-force", "quadrature"],
            lambda text: text.split(","),
        ),
        Extra(
            "variants",
            "Variants of the embedding, by commas; original has to be one.",
            [*REDUCED, REST, SINGLY],
            [ORIGINAL, DOUBLES, SINGLY],
            _variants,
        ),
    ),
)
