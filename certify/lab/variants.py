"""The trainings that ``lab train`` compares: one change each to a base, on grids of strength.

The base is the recipe in which the penalties of ``docs/near-linear.md`` were measured, without
them: what a variant differs in is what it is named after.  ``published`` is that of arXiv
2406.11779, which differs from the base in steps, batch and learning rate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from certify.lab.kinds import Facts, Kind
from certify.lab.washed import Noise
from certify.training.asked import spelled
from certify.training.for_proof import Temperature
from certify.training.max_of_k import RECIPES, TRAINABLE

BASE: Mapping[str, Any] = {"steps": 4000, "batch": 256, "lr": 0.003, "lr-decay": 1.0}
"""Options of ``certify train max-of-k``; a penalty of docs/near-linear.md is added to these."""
LAYER_NORM: Mapping[str, Any] = {"normalization": "LNPre", "steps": 3000}
WITHOUT_NORM = {**LAYER_NORM, "steps": 5000, "norm-removal": 0.4}
"""The first 3 000 of these steps are those of ``LAYER_NORM``: the same model, seed by seed."""
SMOKE: Mapping[str, Any] = {"steps": 400, "batch": 64, "lr": 0.003, "lr-decay": 1.0}
"""The base of ``--smoke``."""

RECIPE, WEIGHT_NOISE, STREAM_NOISE, ACTIVATION_NOISE = (
    "recipe",
    "weight noise",
    "stream noise",
    "activation noise",
)
AMPLITUDE, BITS, ROUNDED, DECAY = (
    "amplitude penalty",
    "bits in training",
    "bits after training",
    "weight decay",
)
DIRECT, RANK, BOTH, TAIL, BOUND = (
    "direct penalty",
    "rank penalty",
    "both penalties",
    "tail penalty",
    "loss of bounds",
)
MIXED, NORM = "mixed", "layer norm"

NOISES = (WEIGHT_NOISE, STREAM_NOISE, ACTIVATION_NOISE)
STRENGTHS: Mapping[str, tuple[float, ...]] = {
    WEIGHT_NOISE: (0.003, 0.01, 0.03, 0.1),
    STREAM_NOISE: (0.03, 0.1, 0.3),
    ACTIVATION_NOISE: (0.1, 0.3, 1.0),
    AMPLITUDE: (0.01, 0.1),
    BITS: (4, 6, 8),
    ROUNDED: (4, 6, 8),
    DECAY: (0.1, 1.0),
    DIRECT: (0.01, 0.03, 0.1),
    RANK: (0.01, 0.03, 0.1),
    BOTH: (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1),
    TAIL: (0.01,),
    BOUND: (0.01, 0.1, 1.0),
}
"""The grid of each change; between ``published`` and ``short-proof`` that of the penalties."""
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    WEIGHT_NOISE: ("weight-noise",),
    STREAM_NOISE: ("stream-noise",),
    ACTIVATION_NOISE: ("activation-noise",),
    AMPLITUDE: ("amplitude-penalty",),
    BITS: ("weight-bits",),
    DECAY: ("weight-decay",),
    DIRECT: ("direct-penalty",),
    RANK: ("rank-penalty",),
    BOTH: ("direct-penalty", "rank-penalty"),
    TAIL: ("tail-penalty",),
    BOUND: ("bound-weight",),
}


@dataclass(frozen=True, slots=True)
class Variant:
    """A training: its name, the group and the place in it, options besides those of the kind.

    ``bits``: of the grid that the finished model is rounded to, None if it is not.
    """

    name: str
    group: str
    strength: float
    options: Mapping[str, Any]
    bits: int | None = None

    def facts(self) -> Facts:
        """Return it as JSON values."""
        return {
            "variant": self.name,
            "group": self.group,
            "strength": self.strength,
            "options": dict(self.options),
            "bits": self.bits,
        }


def noise_of(options: Mapping[str, Any]) -> Noise:
    """Return the noise that a training was under."""
    return Noise(
        *(float(options.get(f"{name}-noise", 0.0)) for name in ("weight", "stream", "activation"))
    )


def variants(kind: Kind, *, smoke: bool) -> list[Variant]:
    """Return the table for a kind of models: its base first, then group by group.

    Requires: a kind of Max-of-K.
    """
    if smoke:
        return list(_smallest())
    vocab, width = kind.options["vocab"], kind.options["d-model"]
    named = {name: recipe(name, vocab, width) for name in RECIPES}
    found = [Variant("base", RECIPE, 0.0, BASE)]
    found += [
        Variant(name, RECIPE, float(place), options)
        for place, (name, options) in enumerate(named.items(), 1)
    ]
    for group, strengths in STRENGTHS.items():
        found += [of_group(group, strength, BASE) for strength in strengths]
    found += [
        Variant(f"{name} + weight noise {size:g}", MIXED, size, {**options, "weight-noise": size})
        for name, options, size in (
            ("short-proof", named["short-proof"], 0.003),
            ("short-proof", named["short-proof"], 0.01),
            ("line", named["line"], 0.003),
            ("both penalties 0.03", of_group(BOTH, 0.03, BASE).options, 0.01),
        )
    ]
    found.append(
        Variant(
            "both penalties 0.03 + loss of bounds 0.1",
            MIXED,
            0.1,
            {**of_group(BOTH, 0.03, BASE).options, "bound-weight": 0.1},
        )
    )
    found += [
        Variant("LNPre", NORM, 1.0, LAYER_NORM),
        Variant("LNPre taken out", NORM, 2.0, WITHOUT_NORM),
        Variant("published 5000 steps", NORM, 3.0, {"steps": WITHOUT_NORM["steps"]}),
    ]
    return found


def of_group(group: str, strength: float, base: Mapping[str, Any]) -> Variant:
    """Return a variant of a grid."""
    name = f"{group} {strength:g}"
    if group == ROUNDED:
        return Variant(name, group, strength, base, bits=int(strength))
    value = int(strength) if group == BITS else float(strength)
    return Variant(name, group, strength, {**base, **dict.fromkeys(_OPTIONS[group], value)})


def recipe(name: str, vocab: int, width: int) -> dict[str, Any]:
    """Return a named recipe as options, spelled as on the command line."""
    names = {
        one: spelled(one, setting)
        for part in TRAINABLE.parts
        for one, _, setting in part.settings()
    }
    return {
        names[one]: str(value) if isinstance(value, Temperature) else value
        for one, value in RECIPES[name](vocab, width).items()
    }


def _smallest() -> Iterator[Variant]:
    """Yield two variants of one training."""
    noisy = of_group(WEIGHT_NOISE, 0.03, SMOKE)
    yield noisy
    yield of_group(ROUNDED, 5, noisy.options)
