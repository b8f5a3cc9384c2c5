"""Each path of a model replaced: by zero, its mean, another input, one of its class, its worst.

What the replacements are, and which verified bound is the pessimal value of a path, says
``hypotheses.toml``, which also holds the claims that are tested.  A model in which a path is zero
or its mean is written as a model file and certified; one that sees random inputs is no model, and
has an estimate only.  Beside the accuracy stands how much the margins vary over the population,
how much of that is due to the replacement itself, and which factor of the input explains it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from certify.errors import Unsupported
from certify.evaluation.tally import clopper_pearson
from certify.lab.ablate_pictures import draw
from certify.lab.bench import CERTIFIED, NOT_TRIED, Bench, accuracy_of, not_tried
from certify.lab.circles import planes_of
from certify.lab.experiment import Asked, Experiment, Extra, Subject, Unit
from certify.lab.hypotheses import SHIPPED, judged, read_hypotheses
from certify.lab.kinds import KINDS, Facts, Kind
from certify.lab.readers import Readers, logits_of, model_of, readers_of
from certify.lab.replacing import (
    EDITS,
    NONE,
    PESSIMAL,
    TRUE_MODEL,
    Path,
    drawn,
    dtype_of,
    edited,
    methods_of,
    paths_of,
)
from certify.lab.samples import SEED, SIZE, SMALL_SIZE, sample_of
from certify.lab.shares import share_of
from certify.model.file import Model
from certify.model.forward import margins
from certify.question.question import Question

Floats = NDArray[np.float64]
Tokens = NDArray[np.int64]

ALL, BOUNDS = "all", "bounds"
ADDITION = "modular-addition"
WORTH_PROVING = 0.9
"""A changed model that is right less often is not certified: proofs about it take long."""
SURE = 2.576
"""Standard errors on either side of an estimate: 99 % of a normal distribution."""


def _units(asked: Asked, subjects: Sequence[Subject]) -> list[Unit]:
    found: list[Unit] = []
    for subject in subjects:
        sorts, certify = _sorts(subject.kind), asked.more["certify"]
        bounds = asked.more["hypotheses"]["pessimal"].get(_task(subject.kind), [])
        if certify != ALL and BOUNDS not in certify:
            bounds = []
        common = {
            **subject.about(),
            "draws": asked.draws,
            "size": SMALL_SIZE if asked.smoke else SIZE,
            "certify": sorts if certify == ALL else certify,
        }
        if asked.smoke:
            bounds = [*bounds[:1], *bounds[1:][-1:]]
        parts = [
            *_chosen(sorts, together=asked.smoke),
            *_chosen(bounds, together=asked.smoke),
        ]
        for name, part in parts:
            found.append(Unit(f"{subject.name}, {name}", {**common, "parts": part}))
    return found


def _chosen(parts: Sequence[Any], *, together: bool) -> list[tuple[str, list[Any]]]:
    """Return units by name: each part by itself, or all together."""
    if together and parts:
        return [(BOUNDS if isinstance(parts[0], dict) else "paths", list(parts))]
    return [(f"bound of {one['path']}" if isinstance(one, dict) else one, [one]) for one in parts]


def _task(kind: Kind) -> str:
    return kind.task.partition(":")[0]


def _sorts(kind: Kind) -> list[str]:
    """Return the sorts of paths; those that a model does not have take no time."""
    if _task(kind) == ADDITION:
        return [NONE, "frequency", "residual", "direct", "attention", "mlp"]
    return [NONE, "direct", "qk", "ov", "positions", "mlp", "all"]


# --- one unit -----------------------------------------------------------------------


def _measure(unit: Unit, bench: Bench) -> Facts:
    about = unit.about
    kind = KINDS[about["kind"]]
    model = bench.model(about["model"])
    readers = readers_of(model)
    addition = _task(kind) == ADDITION
    keys = _key_frequencies(model, bench.question(kind, model)) if addition else None
    paths = [Path(NONE, NONE), *paths_of(readers, keys)]
    case = _Case(
        kind, readers, _inputs(model.config, about["size"], addition=addition), addition=addition
    )
    rows: list[Facts] = []
    for part in about["parts"]:
        if isinstance(part, dict):
            rows.append(_bound(part, about["model"], kind, bench))
            continue
        for path in paths:
            if path.sort == part:
                rows.extend(_row(case, path, method, about, bench) for method in methods_of(path))
    return {"subject": about["subject"], "rows": rows}


def _key_frequencies(model: Model, question: Question) -> list[int]:
    """Return the key frequencies, ascending."""
    planes = planes_of(model, question)
    return sorted(int(planes.basis.names[part]) for part in planes.key)


class _Case:
    """A model with the inputs it is tried on, and what it says of them."""

    def __init__(self, kind: Kind, readers: Readers, tokens: Tokens, *, addition: bool) -> None:
        self.kind, self.readers, self.tokens, self.addition = kind, readers, tokens, addition
        vocab = len(readers.seen)
        self.answers = tokens.sum(axis=1) % vocab if addition else tokens.max(axis=1)
        self.true = margins(logits_of(readers, tokens), self.answers)

    def factors(self) -> dict[str, Tokens]:
        """Return the factors that may explain a variance, each with a number for every input."""
        tokens, vocab = self.tokens, len(self.readers.seen)
        if self.addition:
            return {
                "first": tokens[:, 0],
                "second": tokens[:, 1],
                "answer": self.answers,
                "difference": (tokens[:, 0] - tokens[:, 1]) % vocab,
            }
        largest = tokens == self.answers[:, None]
        return {
            "query": tokens[:, -1],
            "position": largest.argmax(axis=1),
            "maximum": self.answers,
            "copies": largest.sum(axis=1),
        }


def _inputs(config: Any, size: int, *, addition: bool) -> Tokens:
    """Return the inputs: every pair of residues, or the fixed sample."""
    if addition:
        p = config.d_vocab
        return np.stack(np.divmod(np.arange(p * p), p), axis=1)
    return sample_of(config.d_vocab, config.n_ctx, size)


def _row(case: _Case, path: Path, method: str, about: Mapping[str, Any], bench: Bench) -> Facts:
    """Return what one replacement of one path does."""
    certified: Facts | None = None
    changed = method in (TRUE_MODEL, *EDITS)
    if changed:
        readers = case.readers
        if method != TRUE_MODEL:
            readers = edited(readers, path, method, case.tokens)
        found = [margins(logits_of(readers, case.tokens), case.answers)]
        if path.sort in about["certify"]:
            accuracy = float(np.mean(found[0] > 0))
            certified = _certified(readers, about["model"], case.kind, accuracy, bench)
    else:
        found = [_drawn(case, path, method, draw) for draw in range(about["draws"])]
    first = found[0]
    right = first > 0
    exact = case.addition and changed
    return {
        "path": path.name,
        "sort": path.sort,
        "method": method,
        "accuracy": _accuracy(right, exact=exact),
        "accuracy_of_draws": [float(np.mean(one > 0)) for one in found],
        "changed": int(np.count_nonzero(right != (case.true > 0))),
        "margin_estimate": {
            "mean": float(first.mean()),
            "variance": float(first.var()),
            "within": float(np.var(found, axis=0, ddof=1).mean()) if len(found) > 1 else 0.0,
            "least": float(first.min()),
        },
        "correct_variance": float(right.mean() * (1 - right.mean())),
        "shares": _shares(case, first, whole=exact),
        "certified": certified,
    }


def _drawn(case: _Case, path: Path, method: str, draw: int) -> Floats:
    """Return margins with fresh replacements; the draw is fixed by its number and its path."""
    names = [*path.name.encode(), 0, *method.encode()]
    generator = np.random.default_rng([SEED, draw, *names])
    seen = drawn(generator, case.readers, path, method, case.tokens, addition=case.addition)
    return margins(logits_of(case.readers, case.tokens, seen), case.answers)


def _accuracy(right: NDArray[np.bool_], *, exact: bool) -> Facts:
    count, inputs = int(np.count_nonzero(right)), len(right)
    low, high = (count / inputs,) * 2 if exact else clopper_pearson(count, inputs)
    return {"right": count, "inputs": inputs, "estimate": count / inputs, "low": low, "high": high}


def _shares(case: _Case, found: Floats, *, whole: bool) -> Facts:
    """Return the share of each factor in the variances of margin, correctness and effect."""
    quantities = {
        "margin": found,
        "correct": (found > 0).astype(np.float64),
        "effect": found - case.true,
    }
    return {
        quantity: {
            factor: {
                "share": (one := share_of(values, labels, whole=whole)).share,
                "eta_squared": one.eta_squared,
                "error": one.error,
            }
            for factor, labels in case.factors().items()
        }
        for quantity, values in quantities.items()
    }


def _certified(readers: Readers, original: str, kind: Kind, accuracy: float, bench: Bench) -> Facts:
    """Return what the checker verified of changed readers, written as a model."""
    model = bench.model(original)
    try:
        tensors, config = model_of(
            readers, model.config, dtype_of(model), compact=_task(kind) == ADDITION
        )
    except Unsupported as refusal:
        return not_tried(str(refusal))
    return worth_certifying(bench.kept(tensors, config), kind, accuracy, bench)


def worth_certifying(model: str, kind: Kind, accuracy: float, bench: Bench) -> Facts:
    """Return what the checker verified of a model, if enough of it may be right."""
    if accuracy < WORTH_PROVING:
        return not_tried(f"less than {WORTH_PROVING} of the inputs are right", model)
    return bench.certified(model, kind)


def _bound(part: Mapping[str, Any], model: str, kind: Kind, bench: Bench) -> Facts:
    """Return the pessimal value of a path: a bound that the checker verified with that path
    enclosed.
    """
    certified = bench.certified(
        model, kind, strategy=part["strategy"], options=dict(part["options"])
    )
    return {
        "path": part["path"],
        "sort": part["path"],
        "method": PESSIMAL,
        "why": " ".join(part["why"].split()),
        "certified": certified,
    }


# --- all of them --------------------------------------------------------------------


def _summary(asked: Asked, units: Sequence[Facts]) -> Facts:
    rows = [{"subject": unit["subject"], **row} for unit in units for row in unit["rows"]]
    task = _task(asked.kind)
    claims = [
        {**claim, **_verdicts(claim, rows)}
        for claim in asked.more["hypotheses"]["claims"]
        if claim["task"] == task
    ]
    found: dict[str, list[Facts]] = {}
    for row in rows:
        found.setdefault(f"{row['path']}, {row['method']}", []).append(row)
    return {
        "claims": claims,
        "paths": {name: _over(these) for name, these in found.items()},
    }


def _over(rows: Sequence[Facts]) -> Facts:
    """Return mean, least and most of accuracy and certified accuracy over the models."""
    sides = {
        "accuracy": [row["accuracy"]["estimate"] for row in rows if "accuracy" in row],
        "certified": [
            accuracy_of(row["certified"]) or 0.0
            for row in rows
            if row["certified"] is not None and row["certified"]["verdict"] != NOT_TRIED
        ],
    }
    return {
        name: {"mean": sum(all_) / len(all_), "least": min(all_), "most": max(all_), "n": len(all_)}
        for name, all_ in sides.items()
        if all_
    }


def _verdicts(claim: Mapping[str, Any], rows: Sequence[Facts]) -> Facts:
    """Return how many models support a claim, and what was found of each."""
    whole = {
        row["subject"]: accuracy_of(row["certified"])
        for row in rows
        if row["method"] == TRUE_MODEL and row["certified"] is not None
    }
    found = []
    for row in rows:
        if claim["path"] not in (row["path"], row["sort"]) or claim["method"] != row["method"]:
            continue
        value, low, high = _value(claim, row, whole.get(row["subject"]))
        found.append(
            {
                "subject": row["subject"],
                "path": row["path"],
                "value": value,
                "low": low,
                "high": high,
                "verdict": judged(claim, low, high),
            }
        )
    counts: dict[str, int] = {}
    for one in found:
        counts[one["verdict"]] = counts.get(one["verdict"], 0) + 1
    return {"found": found, "verdicts": counts}


def _value(
    claim: Mapping[str, Any], row: Facts, whole: float | None
) -> tuple[float | None, float | None, float | None]:
    """Return what a claim is about, with its interval; what is certified of nothing is 0."""
    if claim["measure"] == "accuracy":
        accuracy = row["accuracy"]
        return accuracy["estimate"], accuracy["low"], accuracy["high"]
    if claim["measure"] == "certified":
        value = None if not whole else (accuracy_of(row["certified"]) or 0.0) / whole
        return value, value, value
    share = row["shares"][claim["of"]][claim["factor"]]
    if share["share"] is None or share["error"] is None:
        return share["share"], None, None
    reach = SURE * share["error"]
    return share["share"], share["share"] - reach, share["share"] + reach


_CERTIFIED = tuple(name for name in CERTIFIED if name not in ("scope", "semantics"))


def _rows(results: Facts) -> Iterable[Facts]:
    for unit in results["units"]:
        for row in unit["rows"]:
            accuracy, margin = row.get("accuracy", {}), row.get("margin_estimate", {})
            certified = row["certified"] or {}
            yield {
                "subject": unit["subject"],
                "path": row["path"],
                "method": row["method"],
                "right": accuracy.get("right"),
                "inputs": accuracy.get("inputs"),
                "accuracy_estimate": accuracy.get("estimate"),
                "accuracy_low": accuracy.get("low"),
                "accuracy_high": accuracy.get("high"),
                "changed": row.get("changed"),
                "correct_variance": row.get("correct_variance"),
                **{f"margin_{name}_estimate": margin.get(name) for name in _MARGIN},
                **{
                    f"share_{quantity}_{factor}_estimate": one["share"]
                    for quantity, shares in row.get("shares", {}).items()
                    for factor, one in shares.items()
                },
                **{name: certified.get(name) for name in _CERTIFIED},
            }


_MARGIN = ("mean", "variance", "within", "least")


def _certify(text: str) -> str | list[str]:
    return ALL if text == ALL else [part for part in text.split(",") if part and part != "nothing"]


EXPERIMENT = Experiment(
    name="ablate",
    about="""Replace each path of a model by zero, its mean, another input, an input of its class,
    and by its certified worst case: accuracy, the variance of margins and what explains it, and
    certified accuracy, beside claims that were fixed beforehand.
    """,
    kinds=("max-of-4", "max-of-5", "max-of-10", "modadd59-constant", "modadd59-softmax"),
    seeds=(0, 1, 2, 3, 4),
    draws=4,
    units=_units,
    measure=_measure,
    summary=_summary,
    rows=_rows,
    draw=draw,
    extras=(
        Extra(
            "hypotheses",
            "A file of classes, bounds and claims in place of the shipped one.",
            read_hypotheses(SHIPPED),
            read_hypotheses(SHIPPED),
            read_hypotheses,
        ),
        Extra(
            "certify",
            "Sorts of paths whose models are certified, by commas, with bounds for the pessimal"
            " values; all; or nothing.",
            ALL,
            [NONE, "direct", BOUNDS],
            _certify,
        ),
    ),
)
