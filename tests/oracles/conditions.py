"""The conditions of SPEC-5.3, read off the page a second time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def fulfils(condition: Mapping[str, int], values: Sequence[int]) -> bool:
    """Return whether the values of operands fulfil a condition."""
    largest = max(values)
    if "min-gap" in condition:
        gap = condition["min-gap"]
        return all(value == largest or value <= largest - gap for value in values)
    return list(values).count(largest) == condition["max-copies"]
