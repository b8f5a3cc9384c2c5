"""The kinds of models that the laboratory can train, and what is asked of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

Facts = dict[str, Any]
"""JSON values by name."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of models that experiments are about: how they are trained, and what is asked.

    ``trained``: the task of ``certify train``; ``options``: what it is given besides a seed.
    ``task``: the question, as ``--task`` spells it.  ``strategy``: the proof that experiments make
    of such models where they make one only; its ``effort`` where that is not the usual one.
    """

    name: str
    trained: str
    options: Mapping[str, Any]
    task: str
    strategy: str
    effort: float | None = None


def _max_of(k: int, strategy: str = "cascade", effort: float | None = None) -> Kind:
    options = {"k": k, "vocab": 64, "d-model": 32}
    return Kind(f"max-of-{k}", "max-of-k", options, "max-of-k", strategy, effort)


def _addition(attention: str) -> Kind:
    options = {"modulus": 59, "attention": attention}
    name = f"modadd59-{attention}"
    return Kind(name, "modular-addition", options, "modular-addition:59", "brute-force")


S5 = Kind("s5", "group", {"group": "symmetric:5"}, "group:symmetric:5", "brute-force")
SMALL_MAX = Kind(
    "max-of-3-small",
    "max-of-k",
    {"k": 3, "vocab": 16, "d-model": 16, "steps": 800},
    "max-of-k",
    "cascade",
)
"""What ``--smoke`` trains: a second or two."""
SMALL_ADDITION = Kind(
    "modadd13-small",
    "modular-addition",
    {
        "modulus": 13,
        "attention": "constant",
        "steps": 600,
        "heads": 1,
        "d-model": 32,
        "d-mlp": 64,
    },
    "modular-addition:13",
    "brute-force",
)

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            _max_of(4),
            _max_of(5),
            _max_of(10),
            _max_of(20),
            _addition("constant"),
            _addition("softmax"),
            S5,
            SMALL_MAX,
            SMALL_ADDITION,
        )
    }
)
"""By name.  Sizes are those of the published models."""


def smallest(kind: Kind) -> Kind:
    """Return the kind that stands for another in ``--smoke``."""
    return SMALL_MAX if kind.trained == SMALL_MAX.trained else SMALL_ADDITION
